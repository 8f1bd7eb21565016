"""The cache of immutable rows and lists in memory: finished calls and recordings.

Pure but for its entries: the time comes in as a value. One cache belongs to one client, so to one
account and one credential. This module must not know how a request is sent.

Each resource says which rows are immutable (Note [Immutable rows] in descriptors). Such a row can
still be deleted, so an entry lives no longer than TTL.
"""

from collections.abc import Hashable
from datetime import datetime
from typing import Any

from cachetools import TTLCache

from gateway.upstream.calls import CallResource
from gateway.upstream.lifetimes import TTL, is_immutable

__all__ = ["Cache"]

# Python objects take some three times the bytes of their JSON, and the entry around them 500.
BYTES_PER_JSON_BYTE, ENTRY_BYTES = 3, 500


class Entries(TTLCache[Hashable, tuple[Any, int, float]]):
    """The entries; `evictions` counts those that were dropped to make room."""

    evictions = 0

    def popitem(self) -> tuple[Hashable, tuple[Any, int, float]]:
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

    def get(self, request: Hashable, now: datetime) -> tuple[Any, float] | None:
        """The row or page that is cached for this request, and for how many seconds; else None."""
        self._now = now.timestamp()
        entry = self._entries.get(request)
        return (entry[0], entry[2] + TTL.total_seconds() - self._now) if entry else None

    def put(
        self,
        request: Any,
        answer: Any,
        length: int,
        now: datetime,
        owner: CallResource | None = None,
    ) -> bool:
        """Caches the answer to a request that was read at `now`, if it is immutable; True if so.

        `length` is its JSON in bytes, `owner` the call whose list it is, where that is known.
        """
        cost = length * BYTES_PER_JSON_BYTE + ENTRY_BYTES
        if cost <= self._size and is_immutable(request, answer, now, owner):
            self._now = now.timestamp()
            self._entries[request] = (answer, cost, self._now)
            return True
        return False
