"""Cursors: a row's place in a connection, as an opaque text.

A cursor is signed together with its list: with a key of the account's (see `cursor_key`), over its
content and the filter. One that is damaged, forged, or of another list, account or host is refused.
This module must not know how pages are read.

Note [Places]. Calls arrive while a client pages, so counting rows from the top would repeat some. A
cursor names the upstream page that a row was on (its token marks a row, so what follows it stays
put) and the row's SID, which is looked for on that page and, should rows have been pushed down, on
the next. Where several lists are merged, and where the row itself has left its list (its status
changed), the row's date_created tells what comes after it.
"""

import base64
import hmac
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from gateway.errors import InvalidCursor
from gateway.upstream.requests import ListRequest, PageRef
from gateway.upstream.resources import Resource

__all__ = ["Cursor", "cursor_key", "read_cursor", "write_cursor"]

R = TypeVar("R", bound=Resource)
VERSION = 2
# Bytes: what cannot be guessed, nor met by chance.
SIGNATURE_SIZE = 16
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
        is_ours = hmac.compare_digest(signature, _signature(payload, key, lists))
        if not is_ours or text != _text(raw):
            raise ValueError("not what write_cursor wrote")
        return msgspec.json.decode(payload[1:], type=Cursor)
    except (ValueError, msgspec.DecodeError):
        raise InvalidCursor("This cursor is damaged or belongs to another list") from None


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _signature(payload: bytes, key: bytes, lists: Sequence[ListRequest[Any]]) -> bytes:
    lists_key = blake2b(repr([request.list for request in lists]).encode(), key=key).digest()
    return blake2b(payload, key=lists_key, digest_size=SIGNATURE_SIZE).digest()
