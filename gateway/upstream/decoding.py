"""Decodes response bodies into rows: a single row, or a list with its page links.

This module must not know which request a body answers, nor what is done with its rows.

Note [Piece by piece]. A body is decoded straight into typed rows, which is fast and all or nothing.
If that fails, it is decoded row by row, and a row that fails property by property. So bad data
costs as little as possible: a row that is no object or has no readable SID is left out and counted;
any other bad property raises only when it is read. A body that holds no list, or no single row, is
UpstreamInvalid.

Note [Repaired text]. JSON forbids bytes that are not UTF-8, half a surrogate pair, invalid escapes
and raw control characters; one of them in one caller's name makes a whole body unreadable. So
before a body is decoded piece by piece, control characters in its texts are escaped and U+FFFD
replaces each of the others. Every decoded text can be encoded again as UTF-8.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from gateway.errors import UpstreamInvalid
from gateway.upstream.descriptors import ResourceDescriptor

__all__ = ["RowList", "first_that_decodes", "list_of", "repaired", "row_of"]

T = TypeVar("T")
Body = bytes | msgspec.Raw

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
ACCOUNT_OF = attrgetter("wire_account_sid")
# Replaces a value that the parser refuses; every property rejects it.
NO_VALUE: dict[str, Any] = {}

# A JSON escape; its first group is empty if it is invalid or half a surrogate pair.
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
    """The rows of a list, how many were left out, and its page links as upstream sent them."""

    rows: list[Any]
    left_out: int
    next_page_uri: Any
    previous_page_uri: Any


def _list_decoder(name: str, row: Any) -> msgspec.json.Decoder[Any]:
    """The list envelope, with its rows under one name; other keys are ignored.

    See docs/twilio.md#5-lists.
    """
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
    """The decoders of one resource."""

    def __init__(self, resource: ResourceDescriptor[Any]) -> None:
        self.row = msgspec.json.Decoder(resource.row)
        self.list = _list_decoder(resource.name, resource.row)
        self.raw_list = _list_decoder(resource.name, msgspec.Raw)


decoders = cache(Decoders)


def row_of(
    resource: ResourceDescriptor[Any], body: bytes, sid: str | None, account_sid: str
) -> Any:
    """The row in a body; a row that names no account gets `account_sid`.

    Raises UpstreamInvalid where the body is no row of this resource, or has another SID than `sid`.
    """
    row = first_that_decodes(
        lambda: decoders(resource).row.decode(body),
        lambda: _by_property(resource, repaired(body)),
    )
    if sid is not None and row.sid != sid:
        raise UpstreamInvalid("Upstream sent another resource than the requested one")
    _set_default_account(row, account_sid)
    return row


def list_of(resource: ResourceDescriptor[Any], body: bytes, account_sid: str) -> RowList:
    """The rows in a body; a row that names no account gets `account_sid`.

    Raises UpstreamInvalid where the body holds no list of this resource.
    """
    row_list = first_that_decodes(
        lambda: _row_list(decoders(resource).list.decode(body)),
        lambda: _by_row(resource, decoders(resource).raw_list.decode(repaired(body))),
    )
    if [*map(ACCOUNT_OF, row_list.rows)] != [account_sid] * len(row_list.rows):
        for row in row_list.rows:
            _set_default_account(row, account_sid)
    return row_list


def first_that_decodes(*readers: Callable[[], T]) -> T:
    """The result of the first reader that succeeds. Raises UpstreamInvalid where none does."""
    for reader in readers:
        try:
            return reader()
        except UNREADABLE:
            continue
    raise UpstreamInvalid("Upstream sent a body that is not the JSON of this API")


def repaired(body: bytes) -> bytes:
    """See Note [Repaired text]."""
    text = body.decode("utf-8-sig", "replace")
    text = ESCAPE.sub(lambda match: match[0] if match[1] else "\ufffd", text)
    if CONTROL.search(text):  # outside of texts some of them are whitespace
        text = TEXT.sub(lambda match: CONTROL.sub(_escaped, match[0]), text)
    return text.encode()


def _escaped(control: re.Match[str]) -> str:
    return f"\\u{ord(control[0]):04x}"


def _row_list(envelope: Any) -> RowList:
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
    """Decodes each property alone. Raises ValidationError unless it is an object with a SID."""
    properties = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    values = {name: _value(value) for name, value in properties.items()}
    return msgspec.convert(values, resource.row)


def _value(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.ValidationError:  # a number that is out of range
        return NO_VALUE


def _set_default_account(row: Any, account_sid: str) -> None:
    """Sets the account of a row that does not name one.

    See docs/design/schema.md#3-an-error-affects-only-its-own-field.
    """
    if row.wire_account_sid == account_sid:
        return
    try:
        is_readable = row.account_sid is not None
    except UpstreamInvalid:
        is_readable = False
    if not is_readable:
        msgspec.structs.force_setattr(row, "wire_account_sid", account_sid)
