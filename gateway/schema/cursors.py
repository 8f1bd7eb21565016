"""Cursors: a place in a connection, as an opaque text.

A cursor is signed together with its lists: with a key of the account's (see `cursor_key`), over its
content and the filters. One that is damaged, forged, or of another list, account or host is
refused. This module must not know how pages are read.

Note [Places]. Calls arrive while a client pages, so counting rows from the top would repeat some. A
place says after which row it is (its SID) and on which page of upstream's that row was. A page's
token marks a row, so the page stays put. The place is found again in one of three ways. Where
upstream's tokens name rows, a token is made for the row itself, whatever has become of it. Else the
page is read again, and the row is looked for on it and, should rows have been pushed down, on the
next ones. Where the row has left its list, or upstream refuses the page, the row right above it or
the row's date tells what comes after it; rows of the same second count as after, so none is lost.

Note [Merged lists]. Several statuses are one list each, so a cursor has a place in each of them.
Rows are merged by `key`: a row's date_created, but never a later one than that of a row above it in
its list. So each list keeps its own order, whatever that is. A row without a date has just been
made: it has the key of the row above it, and at the top it is the newest.

Note [Signed lists]. What is signed of a list is its canonical form: its kind and the filters that
are set, by name, as JSON. A filter that is not set leaves no trace, so a new filter of the gateway
invalidates no cursor. How a list is read (page sizes, `with_track`) is no part of it.
"""

import base64
import hmac
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum, IntEnum
from hashlib import blake2b
from typing import Any

import msgspec

from gateway.errors import InvalidCursor
from gateway.upstream.date_ranges import DateTimeRange
from gateway.upstream.requests import ListRequest

__all__ = ["Cursor", "PositionKind", "RowPosition", "cursor_key", "read_cursor", "write_cursor"]

VERSION = 3
# Bytes: what cannot be guessed, nor met by chance.
SIGNATURE_SIZE = 16
MAX_LENGTH = 8192
# Properties of a list request that do not say which rows are wanted.
UNSIGNED = {"page", "page_size", "with_track"}


class PositionKind(IntEnum):
    """What a place's page has to do with it. The numbers are part of every cursor."""

    NAMED = 0
    """The row `after` is on the page, and upstream's tokens name rows: one can be made for it."""
    INSIDE = 1
    """The row `after` is on the page, or was pushed onto a later one."""
    BEGINS = 2
    """The page begins at the place."""
    ENDS = 3
    """The page ends at the place: a reading upward was cut short before it."""


class RowPosition(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Where the reading of one list stands: just after the row `after`; see PositionKind.

    `index`, `token` and `page_size` name the page; a page that ends at its token begins where its
    size says. `above` is the row right above that row on its page, `date` the row's key (see Note
    [Merged lists]) or its date, if it has none that of the nearest row, in UTC: they tell where the
    place is when the row is gone. What is not known is None.
    """

    kind: PositionKind
    index: int = 0
    token: str | None = None
    page_size: int
    after: str | None = None
    above: str | None = None
    date: datetime | None = None


class Cursor(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A place in each of the merged lists.

    `stream` is the list of the row that the cursor is of, `key` that row's key. Unless `is_row` the
    cursor is of no row: it is the place where a reading was cut short, and `stream` and `key` are
    those of the row before.
    """

    stream: int
    is_row: bool
    key: datetime | None
    positions: tuple[RowPosition, ...]


def cursor_key(secret: str, base_url: str, account_sid: str) -> bytes:
    """The key that signs cursors of one account at one host.

    It is made from a secret that the gateways of the account share, so that a cursor outlives a
    restart and is good at each of them; the secret cannot be found from the key, or from cursors.
    """
    purpose = f"cursors of {account_sid} at {base_url}"
    return hmac.digest(secret.encode(), purpose.encode(), "sha256")


def write_cursor(cursor: Cursor, key: bytes, lists: Sequence[ListRequest[Any]]) -> str:
    """The cursor as text, signed with the key for these lists."""
    payload = bytes([VERSION]) + msgspec.json.encode(cursor)
    return _text(_signature(payload, key, lists) + payload)


def read_cursor(text: str, key: bytes, lists: Sequence[ListRequest[Any]]) -> Cursor:
    """The cursor that `write_cursor` wrote with the same key and lists; else InvalidCursor."""
    try:
        if len(text) > MAX_LENGTH:
            raise ValueError("too long")
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        signature, payload = raw[:SIGNATURE_SIZE], raw[SIGNATURE_SIZE:]
        if payload[:1] and 0 < payload[0] < VERSION:
            raise InvalidCursor(
                "This cursor is of an earlier version of the gateway: begin again without a cursor"
            )
        is_ours = hmac.compare_digest(signature, _signature(payload, key, lists))
        if not is_ours or text != _text(raw):
            raise ValueError("not what write_cursor wrote")
        return msgspec.json.decode(payload[1:], type=Cursor)
    except (ValueError, msgspec.DecodeError):
        raise InvalidCursor("This cursor is damaged or belongs to another list") from None


def canonical(lists: Sequence[ListRequest[Any]]) -> bytes:
    """The lists as they are signed. See Note [Signed lists]."""
    return msgspec.json.encode([[request.kind, _set_filters(request)] for request in lists])


def _set_filters(request: ListRequest[Any]) -> dict[str, Any]:
    values = {field.name: getattr(request, field.name) for field in fields(request)}
    return {
        name: _plain(value)
        for name, value in sorted(values.items())
        if value is not None and name not in UNSIGNED
    }


def _plain(value: Any) -> Any:
    match value:
        case DateTimeRange():
            return [_plain(value.gte), _plain(value.lt)]
        case datetime():
            return value.astimezone(UTC).isoformat()
        case Enum():
            return value.value
    return value


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _signature(payload: bytes, key: bytes, lists: Sequence[ListRequest[Any]]) -> bytes:
    lists_key = blake2b(canonical(lists), key=key).digest()
    return blake2b(payload, key=lists_key, digest_size=SIGNATURE_SIZE).digest()
