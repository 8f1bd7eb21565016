"""What cannot change any more, kept in memory: finished calls and recordings.

Pure but for what it holds: the time comes in as a value. One cache belongs to one client, so to one
account and one credential. This module must not know how a request is sent.

What can be kept is told by each resource (Note [Cannot change] in descriptors). One thing can still
happen to it: it can be deleted. So nothing is kept longer than KEPT.
"""

from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from typing import Any

from cachetools import LRUCache, TTLCache

from gateway.errors import UpstreamInvalid
from gateway.upstream.calls import CallResource, ended_long_ago
from gateway.upstream.requests import TOP, FetchRequest, ListRequest, Page

__all__ = ["Cache"]

KEPT = timedelta(hours=1)
# An answer in Python objects takes some three times its JSON, and the entry around it 500 bytes.
GROWTH, ENTRY = 3, 500
# Of how many calls it is remembered that they ended long ago.
ENDED_CALLS = 100_000


class Cache:
    """Answers by request, the least used forgotten first. `size` is bytes, 0 keeps nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._now = 0.0
        self._answers: TTLCache[Hashable, tuple[Any, int]] = TTLCache(
            size, KEPT.total_seconds(), timer=lambda: self._now, getsizeof=lambda kept: kept[1]
        )
        self._ended: LRUCache[str, bool] = LRUCache(ENDED_CALLS)

    @property
    def bytes(self) -> int:
        """How much is kept, at most the size."""
        return int(self._answers.currsize)

    def get(self, request: Hashable, now: datetime) -> Any | None:
        """The answer that is kept for this request, else None."""
        self._now = now.timestamp()
        kept = self._answers.get(request)
        return kept[0] if kept else None

    def put(self, request: Any, answer: Any, length: int, now: datetime) -> None:
        """Keeps an answer of so many bytes of JSON where it cannot change any more."""
        if self._size == 0:
            return
        self._note_calls(answer.rows if isinstance(answer, Page) else (answer,), now)
        cost = length * GROWTH + ENTRY
        if cost <= self._size and self._can_be_kept(request, answer, now):
            self._now = now.timestamp()
            self._answers[request] = (answer, cost)

    def _note_calls(self, rows: Any, now: datetime) -> None:
        for row in rows:
            if isinstance(row, CallResource) and _holds(ended_long_ago, row, now):
                self._ended[row.sid] = True

    def _can_be_kept(self, request: Any, answer: Any, now: datetime) -> bool:
        cannot_change = request.resource.cannot_change
        if isinstance(request, FetchRequest):
            return _holds(cannot_change, answer, now)
        return (
            request.resource.lists_end_with_calls
            and request.owner in self._ended
            and _is_whole(request, answer)
            and all(_holds(cannot_change, row, now) for row in answer.rows)
        )


def _is_whole(request: ListRequest[Any], page: Page[Any]) -> bool:
    """True for the first page of a list that has no other, with nothing taken out."""
    return request.page == TOP and page.next is None and page.previous is None and page.is_exact


def _holds(rule: Callable[[Any, datetime], bool], row: Any, now: datetime) -> bool:
    """What a rule says of a row; False where a property that it needs is unreadable."""
    try:
        return rule(row, now)
    except UpstreamInvalid:
        return False
