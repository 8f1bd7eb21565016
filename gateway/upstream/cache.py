"""What cannot change any more, kept in memory: finished calls and recordings.

Pure but for what it holds: the time comes in as a value. One cache belongs to one client, so to one
account and one credential. This module must not know how a request is sent.

Note [Cannot change]. A call in a final status stays in it (FACTS section 3); its price comes later,
and sometimes never. So a call is kept when it is final and priced, or ended OLD ago. A recording
likewise, when it is completed or absent. A call's list of recordings is kept when the call ended
OLD ago (a recording comes at most an hour after, windows Note [Slack]), the list was whole and each
of its rows could be kept. Whatever is in doubt (an unreadable date, an unknown status) is not kept.
One thing can still happen to all of them: they can be deleted. So nothing is kept longer than KEPT.
"""

from collections.abc import Hashable
from datetime import datetime, timedelta
from typing import Any

from cachetools import LRUCache, TTLCache

from gateway.errors import UpstreamInvalid
from gateway.upstream.requests import TOP, FetchRequest, ListRecordings, ListRequest, Page
from gateway.upstream.resources import FINAL, CallResource, RecordingResource, RecordingStatus

__all__ = ["Cache"]

OLD = timedelta(days=1)
KEPT = timedelta(hours=1)
FINISHED = {RecordingStatus.COMPLETED, RecordingStatus.ABSENT}
# An answer in Python objects takes some three times its JSON, and the entry around it 500 bytes.
GROWTH, ENTRY = 3, 500
# Of how many calls it is remembered that they ended long ago.
SETTLED_CALLS = 100_000


class Cache:
    """Answers by request, the least used forgotten first. `size` is bytes, 0 keeps nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._now = 0.0
        self._answers: TTLCache[Hashable, tuple[Any, int]] = TTLCache(
            size, KEPT.total_seconds(), timer=lambda: self._now, getsizeof=lambda kept: kept[1]
        )
        self._settled: LRUCache[str, bool] = LRUCache(SETTLED_CALLS)

    @property
    def bytes(self) -> int:
        """How much is kept, at most the size."""
        return int(self._answers.currsize)

    def get(self, request: Hashable, now: datetime) -> Any | None:
        """The answer that is kept for this request, else None."""
        self._now = now.timestamp()
        kept = self._answers.get(request)
        return kept[0] if kept else None

    def note(self, request: Any, answer: Any, length: int, now: datetime) -> None:
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
            if isinstance(row, CallResource) and is_settled(row, now):
                self._settled[row.sid] = True

    def _can_be_kept(self, request: Any, answer: Any, now: datetime) -> bool:
        if isinstance(request, FetchRequest):
            return cannot_change(answer, now)
        return (
            isinstance(request, ListRecordings)
            and request.call_sid in self._settled
            and _is_whole(request, answer)
            and all(cannot_change(row, now) for row in answer.rows)
        )


def _is_whole(request: ListRequest[Any], page: Page[Any]) -> bool:
    """True for the first page of a list that has no other, with nothing taken out."""
    return request.page == TOP and page.next is None and page.previous is None and page.is_exact


def cannot_change(row: Any, now: datetime) -> bool:
    """See Note [Cannot change]."""
    try:
        if isinstance(row, CallResource):
            return row.status in FINAL and (row.price is not None or is_settled(row, now))
        if isinstance(row, RecordingResource):
            is_priced = row.price is not None or _is_old(row.date_updated, now)
            return row.status in FINISHED and is_priced
    except UpstreamInvalid:
        pass
    return False


def is_settled(call: CallResource, now: datetime) -> bool:
    """True for a call that ended long ago: nothing new comes of it."""
    try:
        return call.status in FINAL and _is_old(call.end_time or call.date_updated, now)
    except UpstreamInvalid:
        return False


def _is_old(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment + OLD <= now
