"""Cursors: a row's place in a connection, as an opaque text.

A cursor is bound to its list: a digest over its content, the account and the filter is verified, so
a damaged cursor and one of another list are both refused.
This module must not know how pages are read.

Note [Places]. Calls arrive while a client pages, so counting rows from the top would repeat some. A
cursor names the upstream page that a row was on (its token marks a row, so what follows it stays
put) and the row's SID, which is looked for on that page and, should rows have been pushed down, on
the next. Where several lists are merged, and where the row itself has left its list (its status
changed), the row's date_created tells what comes after it.
"""

import base64
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from gateway.errors import InvalidCursor
from gateway.upstream.requests import ListRequest, PageRef
from gateway.upstream.resources import Resource

__all__ = ["Cursor", "read_cursor", "write_cursor"]

R = TypeVar("R", bound=Resource)
VERSION = 1
DIGEST_SIZE = 8
MAX_LENGTH = 4096


class Cursor(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """The place just after a row.

    `pages` names a page of each merged list, none of whose earlier pages goes on after the row:
    `index`, `token` and, because a page that ends at its token begins where its size says,
    `page_size`. `stream` is the list that the row is of. With `inside` the row is on that list's
    page; without, the page begins right after the row. `created` is the row's date_created in UTC.
    """

    sid: str
    created: datetime | None
    stream: int
    inside: bool
    pages: tuple[tuple[int, str | None, int], ...]

    def start(self, stream: int, request: ListRequest[R]) -> ListRequest[R]:
        """The page of a list with which its reading goes on."""
        index, token, page_size = self.pages[stream]
        is_after = stream == self.stream and not self.inside
        return request.at(PageRef(index, token), request.page_size if is_after else page_size)


def write_cursor(cursor: Cursor, account_sid: str, lists: Sequence[ListRequest[Any]]) -> str:
    """The cursor as text, bound to the account and the lists."""
    payload = bytes([VERSION]) + msgspec.json.encode(cursor)
    return _text(_digest(payload, account_sid, lists) + payload)


def read_cursor(text: str, account_sid: str, lists: Sequence[ListRequest[Any]]) -> Cursor:
    """The cursor that `write_cursor` wrote for the same account and lists; else InvalidCursor."""
    try:
        if len(text) > MAX_LENGTH:
            raise ValueError("too long")
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        digest, payload = raw[:DIGEST_SIZE], raw[DIGEST_SIZE:]
        if digest != _digest(payload, account_sid, lists) or text != _text(raw):
            raise ValueError("not what write_cursor wrote")
        return msgspec.json.decode(payload[1:], type=Cursor)
    except (ValueError, msgspec.DecodeError):
        raise InvalidCursor("This cursor is damaged or belongs to another list") from None


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _digest(payload: bytes, account_sid: str, lists: Sequence[ListRequest[Any]]) -> bytes:
    lists_key = repr((account_sid, [request.list for request in lists])).encode()
    return blake2b(payload, key=blake2b(lists_key).digest(), digest_size=DIGEST_SIZE).digest()
