"""Cursors: a position in a connection, as opaque text.

The gateway signs a cursor's content and its lists' filters with a key of the account (see
`cursor_key`). It refuses a cursor that is damaged, forged, or of another list, account or host.
This module must not know how pages are read.

Note [Positions]. Calls arrive while a client pages, so counting rows from the top would repeat
some. A position names the row that it is after (by SID) and the upstream page of that row. A page's
token marks a row, so new rows do not move the page. The position is found again in one of three
ways:
1. If upstream's tokens name rows, a token is made for the row itself, even if the row is gone.
2. Else the page is read again, and the row is searched on it and on the following pages, because
   new rows may have pushed it down.
3. If the row has left its list, or upstream refuses the page, the row right above it or the row's
   date locates the position. Rows of the same second count as after it, so none is lost.

Note [Merged lists]. Each status is a list of its own, so a cursor has a position in each of them.
Rows are merged by `key`: a row's date_created, lowered to the key of the row above it in its list.
So each list keeps its own order, whatever that is. A row without a date has just been created: it
has the key of the row above it, and at the top it is the newest.

Note [Signed lists]. The signature covers a list's canonical form: its kind and the filters that are
set, by name, as JSON. A filter that is not set is not part of it, so a new filter of the gateway
invalidates no cursor. Nor is how a list is read (page sizes, `with_track`).
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
from gateway.upstream.calls import Refinement
from gateway.upstream.date_ranges import DateTimeRange
from gateway.upstream.requests import ListRequest

__all__ = [
    "LOST",
    "Cursor",
    "PositionKind",
    "RowPosition",
    "cursor_key",
    "read_cursor",
    "write_cursor",
]

LOST = "The row of this cursor is gone and its position is unknown: start again without a cursor"
VERSION = 3
# Bytes: too many to guess or to collide by chance.
SIGNATURE_SIZE = 16
MAX_LENGTH = 8192
# Properties of a list request that do not select rows.
UNSIGNED = {"page", "page_size", "with_track"}


class PositionKind(IntEnum):
    """How a position relates to its page. The numbers are part of every cursor."""

    NAMED = 0
    """The row `after` is on the page, and upstream's tokens name rows: a token leads to it."""
    INSIDE = 1
    """The row `after` is on the page, or was pushed onto a later one."""
    BEGINS = 2
    """The page begins at the position."""
    ENDS = 3
    """The page ends at the position: reading upward was cut short before it."""


class RowPosition(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A position in one list: just after the row `after`; see PositionKind.

    `index`, `token` and `page_size` name the page; a page that ends at its token begins where its
    size says. If the row is gone, `above` and `date` locate the position. `above` is the row right
    above that row on its page. `date` (UTC) is the row's key (see Note [Merged lists]), else its
    date, else the date of the nearest row. Unknown values are None.
    """

    kind: PositionKind
    index: int = 0
    token: str | None = None
    page_size: int
    after: str | None = None
    above: str | None = None
    date: datetime | None = None


class Cursor(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A position in each of the merged lists.

    `stream` is the list of the cursor's row, `key` that row's key. Without `is_row` the cursor has
    no row: it is the position where reading was cut short, and `stream` and `key` are those of the
    row before.
    """

    stream: int
    is_row: bool
    key: datetime | None
    positions: tuple[RowPosition, ...]


def cursor_key(secret: str, base_url: str, account_sid: str) -> bytes:
    """The key that signs cursors of one account at one host.

    It is derived from a secret that the gateways of the account share. So a cursor survives a
    restart and is valid at each of them. The secret cannot be derived from the key or from cursors.
    """
    purpose = f"cursors of {account_sid} at {base_url}"
    return hmac.digest(secret.encode(), purpose.encode(), "sha256")


def write_cursor(cursor: Cursor, key: bytes, lists: Sequence[ListRequest[Any]]) -> str:
    """The cursor as text, signed with the key for these lists."""
    payload = bytes([VERSION]) + msgspec.json.encode(cursor)
    return _text(_signature(payload, key, lists) + payload)


def read_cursor(text: str, key: bytes, lists: Sequence[ListRequest[Any]]) -> Cursor:
    """The cursor that `write_cursor` wrote with the same key and lists. Raises InvalidCursor."""
    try:
        if len(text) > MAX_LENGTH:
            raise ValueError("too long")
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        signature, payload = raw[:SIGNATURE_SIZE], raw[SIGNATURE_SIZE:]
        if payload[:1] and 0 < payload[0] < VERSION:
            raise InvalidCursor(
                "This cursor is from an earlier gateway version: start again without a cursor"
            )
        is_ours = hmac.compare_digest(signature, _signature(payload, key, lists))
        if not is_ours or text != _text(raw):
            raise ValueError("not what write_cursor wrote")
        return msgspec.json.decode(payload[1:], type=Cursor)
    except (ValueError, msgspec.DecodeError):
        raise InvalidCursor("This cursor is damaged or belongs to another list") from None


def canonical(lists: Sequence[ListRequest[Any]]) -> bytes:
    """The lists in the form that is signed. See Note [Signed lists]."""
    return msgspec.json.encode([[request.kind, _set_filters(request)] for request in lists])


def _set_filters(request: ListRequest[Any] | Refinement) -> dict[str, Any]:
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
        case tuple():
            return [_plain(each) for each in value]
        case Refinement():
            return _set_filters(value)
    return value


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _signature(payload: bytes, key: bytes, lists: Sequence[ListRequest[Any]]) -> bytes:
    lists_key = blake2b(canonical(lists), key=key).digest()
    return blake2b(payload, key=lists_key, digest_size=SIGNATURE_SIZE).digest()
