"""Snapshots of live calls: the row for an event, read once for all subscribers here, and the event
that a row shows.

This module must not know the subscribers, nor when a call is polled.

Note [Fresh rows]. An event has a call's status and little else, but subscribers get the whole call.
Upstream may lag behind its own webhook, fail, or be ahead of it. A row that lags or cannot be read
takes the event's status and facts, so a subscriber never gets a row older than the event. A row
that is ahead is an event itself, and is published to all.

Note [Lag]. Upstream may answer 404 for a call that was just made, or just reported by a webhook. So
within READ_LAG seconds of a call's last event the store's state answers instead of a 404. After
that a 404 means that there is no such call.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from inspect import isawaitable
from typing import Any, Generic, TypeVar, cast

import msgspec
from cachetools import FIFOCache, LRUCache

from gateway.errors import UpstreamError, UpstreamInvalid
from gateway.live.events import FINAL, RANK, CallStatusEvent, EventSource, advance
from gateway.live.store import Store
from gateway.upstream.calls import CallResource, CallStatus, FetchCall, ListCalls
from gateway.upstream.client import UpstreamClient
from gateway.upstream.pages import Budget, PageWalk
from gateway.upstream.pipeline import RequestContext
from gateway.upstream.requests import FIRST_PAGE, Page
from gateway.upstream.single_flight import SingleFlight

__all__ = [
    "LIVE",
    "READ_LAG",
    "CallSnapshot",
    "ResultCoalescer",
    "SnapshotReader",
    "event_from_row",
    "event_of",
    "status_of",
]

T = TypeVar("T")
MAX_RESULTS = 200
RUN_TIMEOUT = 60.0
"""Seconds, longer than every deadline of a run or of the upstream client."""
ROW_FACTS = (
    "account_sid",
    "answered_by",
    "caller_name",
    "direction",
    "duration",
    "forwarded_from",
    "from_",
    "parent_call_sid",
    "to",
)
LIVE = tuple(status for status in RANK if status not in FINAL)
"""The statuses of live calls, in the order of a call's life."""
PAGE_SIZE = 1000
MAX_PAGES = 5
"""Most pages that are read of one list."""
MAX_SNAPSHOTS = 1000
READ_LAG = 10.0
"""Seconds after a call's last event in which a 404 means nothing. See Note [Lag]."""
ROW_TIMEOUT = 3.0
"""Seconds to wait for a row before an event goes out with its own facts."""


class ResultCoalescer(Generic[T]):
    """Runs what many subscribers need for the same event once, and shares the result by key.

    It keeps the last MAX_RESULTS results, so a key must never mean another result.
    """

    def __init__(self) -> None:
        self._flights = SingleFlight()
        self._results: FIFOCache[Hashable, T] = FIFOCache(MAX_RESULTS)

    async def result(self, key: Hashable, run: Callable[[], Awaitable[T] | T]) -> T:
        """The result under this key: a kept one, that of a run in flight, or that of `run`.

        A run continues while any caller waits for it. All waiting callers get its error, which is
        not kept. A run that awaits nothing makes no caller wait.
        """
        result = self._results.get(key)
        if result is not None:
            return result
        until = asyncio.get_running_loop().time() + RUN_TIMEOUT
        outcome: Any = None
        if key not in self._flights:
            outcome = run()
            if not isawaitable(outcome):
                self._results[key] = outcome
                return cast("T", outcome)
        kept: T = await self._flights.do(key, until, lambda _: self._keep(key, outcome))
        return kept

    async def _keep(self, key: Hashable, outcome: Awaitable[T]) -> T:
        self._results[key] = result = await outcome
        return result


def event_of(row: CallResource, source: EventSource, at: datetime) -> CallStatusEvent:
    """The row as an event without a sequence number. A missing status is UNKNOWN."""
    values = ((name.rstrip("_"), getattr(row, f"wire_{name}")) for name in ROW_FACTS)
    return CallStatusEvent(
        call_sid=row.sid,
        status=row.status,
        at=at,
        source=source,
        facts=tuple(sorted((name, text) for name, text in values if _is_text(text))),
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def event_from_row(row: CallResource, at: datetime) -> CallStatusEvent:
    """The event of a row that was just read.

    Its only fact is one that may reach the gateway by no webhook: others would be new to nobody.
    """
    event = event_of(row, EventSource.POLL, at)
    row_only = tuple(fact for fact in event.facts if fact[0] == "answered_by")
    return replace(event, facts=row_only)


def status_of(row: CallResource) -> CallStatus:
    """The row's status; UNKNOWN if it is missing or unreadable."""
    return row.status


@dataclass(frozen=True, slots=True)
class CallSnapshot:
    """A row, the state that it shows, and the event for which it was read.

    `state` is None if the row's status is unknown, `event` if the row was read for no event.
    `is_read` is False if upstream did not show the call.
    """

    row: CallResource
    state: CallStatusEvent | None
    event: CallStatusEvent | None
    is_read: bool = True


class SnapshotReader:
    """Reads watched calls and caches their newest rows. `now` is the time in UTC."""

    def __init__(self, client: UpstreamClient, store: Store, now: Callable[[], datetime]) -> None:
        self._client = client
        self._store = store
        self._now = now
        self._flights = SingleFlight()
        self._snapshots: LRUCache[str, CallSnapshot] = LRUCache(MAX_SNAPSHOTS)

    async def current(self, sid: str) -> CallSnapshot | None:
        """Fetches the call; None if it does not exist. See Note [Lag]. Raises UpstreamError."""
        until = asyncio.get_running_loop().time() + RUN_TIMEOUT
        return await self._flights.do(sid, until, lambda _: self._fetch(sid))

    async def _fetch(self, sid: str) -> CallSnapshot | None:
        row = await self._client.fetch(FetchCall(sid=sid))
        return self.recent_call(sid) if row is None else await self.record(row)

    def recent_call(self, sid: str) -> CallSnapshot | None:
        """The call as the store knows it; None without an event within READ_LAG. Note [Lag]."""
        state = self._store.state(sid)
        # Another gateway may have received the event; its clock may be ahead of this one.
        if state is None or abs((self._now() - state.at).total_seconds()) > READ_LAG:
            return None
        return CallSnapshot(self._last_known_row(state), state, event=None, is_read=False)

    async def record(self, row: CallResource) -> CallSnapshot:
        """Records a row that was read, and publishes what it shows.

        The row may predate newer events, so it counts as the answer to none of them.
        """
        event, known = event_from_row(row, self._now()), self._store.state(row.sid)
        ahead = advance(known, event)
        row = _caught_up(row, known) if known else row
        snapshot = CallSnapshot(row, advance(None, event), event=ahead)
        cached = self._snapshots.get(row.sid)
        if ahead is not None or cached is None or not cached.is_read:
            self._cache(snapshot)
        await self._store.publish(event)
        return snapshot

    async def after(self, event: CallStatusEvent) -> CallSnapshot:
        """The call as it is after this event. See Note [Fresh rows]."""
        cached = self._snapshots.get(event.call_sid)
        if cached is not None and cached.event == event:
            return cached
        until = asyncio.get_running_loop().time() + ROW_TIMEOUT
        return await self._flights.do(event, until, lambda _: self._refresh(event, until))

    async def _refresh(self, event: CallStatusEvent, until: float) -> CallSnapshot:
        cached = self._snapshots.get(event.call_sid)
        row = await self._read(event, cached, RequestContext(self, until=until))
        if row is None:
            return self._cache(
                CallSnapshot(self._last_known_row(event), event, event, is_read=False)
            )
        row_event = event_from_row(row, self._now())
        snapshot = CallSnapshot(_caught_up(row, event), advance(event, row_event) or event, event)
        self._cache(snapshot)
        await self._store.publish(row_event)
        return snapshot

    async def live(self, lists: Sequence[ListCalls]) -> AsyncIterator[CallResource]:
        """The live calls of these lists, each once. Raises UpstreamError, BudgetExceeded.

        It reads the lists in the order of a call's life, so that a later list holds a call that
        moves on meanwhile.
        """
        seen: set[str] = set()
        for status in LIVE:
            for list_ in lists:
                if list_.status in {None, status}:
                    async for row in self._rows_of(list_.with_status(status)):
                        if row.sid not in seen:
                            seen.add(row.sid)
                            yield row

    async def _rows_of(self, list_: ListCalls) -> AsyncIterator[CallResource]:
        async for page in self.pages(list_.at(FIRST_PAGE, PAGE_SIZE)):
            for row in page.rows:
                yield row

    async def pages(self, list_: ListCalls) -> AsyncIterator[Page[CallResource]]:
        """A list, page by page, each row once. Raises UpstreamError, BudgetExceeded."""
        walk = PageWalk(
            self._client.page,
            list_,
            Budget(MAX_PAGES, MAX_PAGES * PAGE_SIZE),
            page_size=list_.page_size,
        )
        while (page := await walk.next_page()) is not None:
            yield page

    async def _read(
        self, event: CallStatusEvent, cached: CallSnapshot | None, context: RequestContext
    ) -> CallResource | None:
        """The call; None if it cannot be read in time.

        Reads a row that lags or shows nothing new once more: upstream may need a moment, or the
        read began before the event came.
        """
        request = FetchCall(sid=event.call_sid)
        try:
            row = await self._client.fetch(request, None, context)
            if row is not None and (_lags(row, event) or (cached and cached.row == row)):
                row = await self._client.fetch(request, None, context) or row
        except UpstreamError:
            return None
        return row

    def _cache(self, snapshot: CallSnapshot) -> CallSnapshot:
        """Caches the snapshot. Call it before publishing, so that subscribers find it."""
        self._snapshots[snapshot.row.sid] = snapshot
        return snapshot

    def _last_known_row(self, event: CallStatusEvent) -> CallResource:
        """The last row that was read, caught up; without one, a row of the event's facts."""
        cached = self._snapshots.get(event.call_sid)
        if cached is not None:
            return _caught_up(cached.row, event)
        defaults = {"account_sid": self._client.account_sid, "direction": "unknown"}
        values = {"sid": event.call_sid, "status": event.status.value}
        return msgspec.convert(defaults | dict(event.facts) | values, CallResource)


def _lags(row: CallResource, event: CallStatusEvent) -> bool:
    """True when the event is further than the row, or the row's status is unknown or missing."""
    try:
        rank = RANK.get(CallResource.status.strict_value(row), -1)
    except UpstreamInvalid:
        return event.status in RANK
    return rank < RANK.get(event.status, -1)


def _caught_up(row: CallResource, event: CallStatusEvent) -> CallResource:
    """The row, with the event's status and facts if the row lags behind it."""
    if not _lags(row, event):
        return row
    known: dict[str, Any] = msgspec.to_builtins(row)
    return msgspec.convert(
        {**known, **dict(event.facts), "status": event.status.value}, CallResource
    )
