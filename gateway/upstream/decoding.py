"""Bodies of answers as rows: a single one, or a list with the links beside it.

This module must not know how a body was asked for, nor what is done with its rows.

Note [Piece by piece]. A body is decoded straight into typed rows, which is fast and all or nothing.
Only where that fails it is read piece by piece: row by row, and where a row fails, property by
property. So what cannot be read costs as little as it can: a row that is no object or has no
readable SID is left out and counted; any other bad property costs itself, when it is read. A list
that is no list, and a single row that is none, are UpstreamInvalid.

Note [Mended text]. JSON has no room for a byte that is not UTF-8, half a surrogate pair, an escape
that is none, or a control character as it is; one of them in one caller's name makes a whole body
unreadable. So what is read piece by piece has U+FFFD in the place of each, and its control
characters escaped. What is decoded can always be encoded again as UTF-8.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import msgspec

from gateway.errors import UpstreamInvalid
from gateway.upstream.descriptors import ResourceDescriptor

__all__ = ["RowList", "first_that_reads", "list_of", "mended", "row_of"]

T = TypeVar("T")
Body = bytes | msgspec.Raw

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# Stands for a value that the parser refuses: no property can be read from it.
NO_VALUE: dict[str, Any] = {}

# An escape of JSON's, its first group empty where it is none or half a surrogate pair.
ESCAPE = re.compile(
    r"""\\(?:
        (["\\/bfnrt]
        | u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}
        | u(?![dD][89a-fA-F])[0-9a-fA-F]{4})
        | u[0-9a-fA-F]{4}
        | .?
    )""",
    re.VERBOSE | re.DOTALL,
)
CONTROL = re.compile("[\x00-\x1f]")
# From quotation mark to quotation mark, or to the end.
TEXT = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


@dataclass(frozen=True, slots=True)
class RowList:
    """The rows of a list, how many were left out, and the links beside it as they came."""

    rows: list[Any]
    left_out: int
    next_page_uri: Any
    previous_page_uri: Any


def _list_decoder(name: str, row: Any) -> msgspec.json.Decoder[Any]:
    """The list envelope (FACTS section 5), with its rows under one name; other keys are ignored."""
    envelope = msgspec.defstruct(
        f"{name}_envelope",
        [
            ("rows", list[row], msgspec.field(name=name)),
            ("next_page_uri", Any, None),
            ("previous_page_uri", Any, None),
        ],
    )
    return msgspec.json.Decoder(envelope)


class Decoders:
    """How the bodies of one resource are read."""

    def __init__(self, resource: ResourceDescriptor[Any]) -> None:
        self.row = msgspec.json.Decoder(resource.row)
        self.list = _list_decoder(resource.name, resource.row)
        self.raw_list = _list_decoder(resource.name, msgspec.Raw)


decoders = cache(Decoders)


def row_of(
    resource: ResourceDescriptor[Any], body: bytes, sid: str | None, account_sid: str
) -> Any:
    """The row of this resource, of the account that was asked unless it says otherwise.

    Raises UpstreamInvalid where it is no such row, or not the one asked for.
    """
    row = first_that_reads(
        lambda: decoders(resource).row.decode(body),
        lambda: _by_property(resource, mended(body)),
    )
    if sid is not None and row.sid != sid:
        raise UpstreamInvalid("Upstream answered with another resource than the one asked for")
    _complete(row, account_sid)
    return row


def list_of(resource: ResourceDescriptor[Any], body: bytes, account_sid: str) -> RowList:
    """The rows of this resource, each of the account that was asked unless it says otherwise.

    Raises UpstreamInvalid where the body holds no list of this resource.
    """
    listed = first_that_reads(
        lambda: _whole(decoders(resource).list.decode(body)),
        lambda: _by_row(resource, decoders(resource).raw_list.decode(mended(body))),
    )
    for row in listed.rows:
        _complete(row, account_sid)
    return listed


def first_that_reads(*ways: Callable[[], T]) -> T:
    """What the first way that succeeds reads. Raises UpstreamInvalid where none does."""
    for way in ways:
        try:
            return way()
        except UNREADABLE:
            continue
    raise UpstreamInvalid("Upstream sent something that is not the JSON of this API")


def mended(body: bytes) -> bytes:
    """See Note [Mended text]."""
    text = body.decode("utf-8-sig", "replace")
    text = ESCAPE.sub(lambda found: found[0] if found[1] else "\ufffd", text)
    if CONTROL.search(text):  # between texts some of them are mere space
        text = TEXT.sub(lambda found: CONTROL.sub(_escaped, found[0]), text)
    return text.encode()


def _escaped(control: re.Match[str]) -> str:
    return f"\\u{ord(control[0]):04x}"


def _whole(envelope: Any) -> RowList:
    return RowList(envelope.rows, 0, envelope.next_page_uri, envelope.previous_page_uri)


def _by_row(resource: ResourceDescriptor[Any], envelope: Any) -> RowList:
    rows = [row for raw in envelope.rows if (row := _row_or_none(resource, raw)) is not None]
    left_out = len(envelope.rows) - len(rows)
    return RowList(rows, left_out, envelope.next_page_uri, envelope.previous_page_uri)


def _row_or_none(resource: ResourceDescriptor[Any], raw: Body) -> Any | None:
    try:
        return decoders(resource).row.decode(raw)
    except msgspec.ValidationError:
        pass
    try:
        return _by_property(resource, raw)
    except msgspec.ValidationError:
        return None


def _by_property(resource: ResourceDescriptor[Any], raw: Body) -> Any:
    """Raises ValidationError where it is no object, or has no readable SID."""
    properties = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    given = {name: _value(value) for name, value in properties.items()}
    return msgspec.convert(given, resource.row)


def _value(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.ValidationError:  # a number that is out of range
        return NO_VALUE


def _complete(row: Any, account_sid: str) -> None:
    """A row that does not say its account has the one that was asked (SCHEMA rule 3)."""
    if row.wire_account_sid == account_sid:
        return
    try:
        is_told = row.account_sid is not None
    except UpstreamInvalid:
        is_told = False
    if not is_told:
        msgspec.structs.force_setattr(row, "wire_account_sid", account_sid)
