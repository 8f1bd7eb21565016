"""The cache of immutable rows and lists in memory: finished calls and recordings.

Pure but for its entries: the time comes in as a value. One cache belongs to one client, so to one
account and one credential. This module must not know how a request is sent.

Each resource says which rows are immutable (Note [Immutable rows] in descriptors). Such a row can
still be deleted, so an entry lives no longer than TTL.
"""

from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from typing import Any

from cachetools import TTLCache

from gateway.errors import UpstreamInvalid
from gateway.upstream.calls import CallResource, ended_long_ago
from gateway.upstream.requests import FIRST_PAGE, FetchRequest, ListRequest, Page

__all__ = ["Cache"]

TTL = timedelta(hours=1)
# Python objects take some three times the bytes of their JSON, and the entry around them 500.
BYTES_PER_JSON_BYTE, ENTRY_BYTES = 3, 500


class Entries(TTLCache[Hashable, tuple[Any, int]]):
    """The entries; `evictions` counts those that were dropped to make room."""

    evictions = 0

    def popitem(self) -> tuple[Hashable, tuple[Any, int]]:
        """Called by the library to make room."""
        self.evictions += 1
        return super().popitem()


class Cache:
    """Rows and pages by request, the least recently used evicted first.

    `size` is in bytes; 0 switches the cache off.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._now = 0.0
        self._entries: Entries = Entries(
            size, TTL.total_seconds(), timer=lambda: self._now, getsizeof=lambda entry: entry[1]
        )

    @property
    def evictions(self) -> int:
        """How many entries were dropped to make room."""
        return self._entries.evictions

    @property
    def bytes(self) -> int:
        """The bytes in use, at most the size."""
        return int(self._entries.currsize)

    def __contains__(self, request: Hashable) -> bool:
        """True if there is an entry for this request, though it may be too old."""
        return request in self._entries

    def get(self, request: Hashable, now: datetime) -> Any | None:
        """The row or page that is cached for this request, else None."""
        self._now = now.timestamp()
        entry = self._entries.get(request)
        return entry[0] if entry else None

    def put(
        self,
        request: Any,
        answer: Any,
        length: int,
        now: datetime,
        owner: CallResource | None = None,
    ) -> None:
        """Caches the answer to a request if it is immutable.

        `length` is its JSON in bytes, `owner` the call whose list it is, where that is known.
        """
        cost = length * BYTES_PER_JSON_BYTE + ENTRY_BYTES
        if cost <= self._size and _is_cacheable(request, answer, now, owner):
            self._now = now.timestamp()
            self._entries[request] = (answer, cost)


def _is_cacheable(request: Any, answer: Any, now: datetime, owner: CallResource | None) -> bool:
    is_immutable = request.resource.is_immutable
    if isinstance(request, FetchRequest):
        return _is_true_of(is_immutable, answer, now)
    return (
        request.resource.lists_end_with_calls
        and owner is not None
        and request.owner == owner.sid
        and _is_true_of(ended_long_ago, owner, now)
        and _is_whole(request, answer)
        and all(_is_true_of(is_immutable, row, now) for row in answer.rows)
    )


def _is_whole(request: ListRequest[Any], page: Page[Any]) -> bool:
    """True for the only page of a list, with no row filtered out."""
    return (
        request.page == FIRST_PAGE and page.next is None and page.previous is None and page.is_exact
    )


def _is_true_of(rule: Callable[[Any, datetime], bool], row: Any, now: datetime) -> bool:
    """Whether a rule holds for a row; False where a property that it needs is unreadable."""
    try:
        return rule(row, now)
    except UpstreamInvalid:
        return False
