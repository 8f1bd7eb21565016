"""The row that belongs to a notice: read from upstream once for all who watch here; and what a row
says of its call, as a notice.

This module must not know who watches, nor when a call is polled.

Note [Fresh rows]. A notice knows a call's status and little else, but watchers are told the whole
call. Upstream may lag behind its own webhook, fail, or be ahead of it. A row that lags or cannot be
read takes over what the notice says (status and facts), so what a watcher is told is never older
than the news. A row that is ahead is news itself, and is published for all.

Note [Lag]. Upstream may answer 404 for a call that was just made, or that a webhook just told of.
So within READ_LAG seconds of the last news of a call a 404 is no answer: what the store knows of
the call is the answer. Later a 404 says what it says.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from cachetools import LRUCache, TTLCache

from gateway.errors import UpstreamError, UpstreamInvalid
from gateway.live.events import FINAL, PLACE, CallStatusEvent, EventSource, advance
from gateway.live.store import Store
from gateway.upstream.calls import CallResource, CallStatus, FetchCall, ListCalls
from gateway.upstream.client import UpstreamClient
from gateway.upstream.pages import Budget, PageWalk
from gateway.upstream.pipeline import RequestContext
from gateway.upstream.requests import TOP, Page
from gateway.upstream.single_flight import SingleFlight

__all__ = [
    "LIVE",
    "READ_LAG",
    "CallSnapshot",
    "ResultCoalescer",
    "SnapshotReader",
    "event_of",
    "seen",
    "status_of",
]

T = TypeVar("T")
HOLDS = 1.0
"""Seconds for which an outcome is kept for those who come a little later."""
MAX_OUTCOMES = 200
LONGEST = 60.0
"""Seconds beyond every deadline of what is done, and of the client's own."""
FACTS = (
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
LIVE = tuple(status for status in PLACE if status not in FINAL)
"""The states of calls that go on, in the order in which a call goes through them."""
PAGE_SIZE = 1000
MAX_PAGES = 5
"""Pages that are read of one list at most."""
MAX_ROWS = 1000
READ_LAG = 10.0
"""Seconds after the last news of a call in which a 404 says nothing. See Note [Lag]."""
PATIENCE = 3.0
"""Seconds that a row is waited for, before news are told with what their notice knows."""


class ResultCoalescer(Generic[T]):
    """What many subscribers want done for the same news is done once for all who want it by then.

    Outcomes by key, each of one run; what is done is not known here. `clock` is one in seconds, the
    loop's if not given.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self._flights = SingleFlight()
        self._outcomes: TTLCache[Hashable, T] = TTLCache(MAX_OUTCOMES, HOLDS, self._now)

    async def outcome(self, key: Hashable, run: Callable[[], Awaitable[T]]) -> T:
        """The outcome under this key: one that is there, or is coming, or that of this `run`.

        A run goes on as long as anybody waits for it, whoever began it. What it raises is raised
        to all who wait, and not kept.
        """
        outcome = self._outcomes.get(key)
        if outcome is not None:
            return outcome
        return await self._flights.do(key, self._now() + LONGEST, lambda _: self._run(key, run))

    async def _run(self, key: Hashable, run: Callable[[], Awaitable[T]]) -> T:
        self._outcomes[key] = outcome = await run()
        return outcome

    def _now(self) -> float:
        return self._clock() if self._clock else asyncio.get_running_loop().time()


def event_of(row: CallResource, source: EventSource, at: datetime) -> CallStatusEvent:
    """A notice without a sequence number. A status that is missing is UNKNOWN."""
    values = ((name.rstrip("_"), getattr(row, f"wire_{name}")) for name in FACTS)
    return CallStatusEvent(
        call_sid=row.sid,
        status=row.status,
        at=at,
        source=source,
        facts=tuple(sorted((name, text) for name, text in values if _is_text(text))),
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def seen(row: CallResource, at: datetime) -> CallStatusEvent:
    """What a row that was just read is news of.

    Of its facts only what no webhook may tell of: others would be news to nobody.
    """
    event = event_of(row, EventSource.POLL, at)
    told_by_row_only = tuple(fact for fact in event.facts if fact[0] == "answered_by")
    return replace(event, facts=told_by_row_only)


def status_of(row: CallResource) -> CallStatus:
    """The row's status; UNKNOWN where it cannot be read."""
    return row.status


@dataclass(frozen=True, slots=True)
class CallSnapshot:
    """A row, the state that it shows, and the news for which it was read.

    `state` is None where the row's status has no place in a call's life, `answers` where the row
    was not read for news. `is_read` is False where upstream did not show the call.
    """

    row: CallResource
    state: CallStatusEvent | None
    answers: CallStatusEvent | None
    is_read: bool = True


class SnapshotReader:
    """The newest rows of the calls that are watched here. `now` is the time in UTC."""

    def __init__(self, client: UpstreamClient, store: Store, now: Callable[[], datetime]) -> None:
        self._client = client
        self._store = store
        self._now = now
        self._flights = SingleFlight()
        self._rows: LRUCache[str, CallSnapshot] = LRUCache(MAX_ROWS)

    async def current(self, sid: str) -> CallSnapshot | None:
        """The call as it is now; None when there is none. See Note [Lag]. Raises UpstreamError."""
        until = asyncio.get_running_loop().time() + LONGEST
        return await self._flights.do(sid, until, lambda _: self._look(sid))

    async def _look(self, sid: str) -> CallSnapshot | None:
        row = await self._client.fetch(FetchCall(sid=sid))
        return self.recent_call(sid) if row is None else await self.note(row)

    def recent_call(self, sid: str) -> CallSnapshot | None:
        """The call as the store knows it; None without news within READ_LAG. See Note [Lag]."""
        state = self._store.state(sid)
        # The clock of the gateway that heard of it may be ahead of this one's.
        if state is None or abs((self._now() - state.at).total_seconds()) > READ_LAG:
            return None
        return CallSnapshot(self._known(state), state, answers=None, is_read=False)

    async def note(self, row: CallResource) -> CallSnapshot:
        """Takes a row that was read: it is news where it is ahead, and catches up where it lags.

        Which news it answers besides is not known: they may be younger than the read.
        """
        event, known = seen(row, self._now()), self._store.state(row.sid)
        ahead = advance(known, event)
        row = _caught_up(row, known) if known else row
        fresh = CallSnapshot(row, advance(None, event), answers=ahead)
        held = self._rows.get(row.sid)
        if ahead is not None or held is None or not held.is_read:
            self._keep(fresh)
        await self._store.publish(event)
        return fresh

    async def after(self, event: CallStatusEvent) -> CallSnapshot:
        """The call as it is after this notice. See Note [Fresh rows]."""
        held = self._rows.get(event.call_sid)
        if held is not None and held.answers == event:
            return held
        until = asyncio.get_running_loop().time() + PATIENCE
        return await self._flights.do(event, until, lambda _: self._refresh(event, until))

    async def _refresh(self, event: CallStatusEvent, until: float) -> CallSnapshot:
        held = self._rows.get(event.call_sid)
        newer = await self._read(event, held, RequestContext(self, until=until))
        if newer is None:
            return self._keep(CallSnapshot(self._known(event), event, event, is_read=False))
        news = seen(newer, self._now())
        fresh = CallSnapshot(_caught_up(newer, event), advance(event, news) or event, event)
        self._keep(fresh)
        await self._store.publish(news)
        return fresh

    async def live(self, lists: Sequence[ListCalls]) -> AsyncIterator[CallResource]:
        """The calls of these lists that are live, each once. Raises UpstreamError, BudgetExceeded.

        Calls go forward, and so do the lists: a call that moves on meanwhile is in a later one.
        """
        found: set[str] = set()
        for status in LIVE:
            for list_ in lists:
                if list_.status in {None, status}:
                    async for row in self._rows_of(list_.with_status(status)):
                        if row.sid not in found:
                            found.add(row.sid)
                            yield row

    async def _rows_of(self, list_: ListCalls) -> AsyncIterator[CallResource]:
        async for page in self.pages(list_.at(TOP, PAGE_SIZE)):
            for row in page.rows:
                yield row

    async def pages(self, lists: ListCalls) -> AsyncIterator[Page[CallResource]]:
        """A list page by page, each row once. Raises UpstreamError, BudgetExceeded."""
        walk = PageWalk(
            self._client.page,
            lists,
            Budget(MAX_PAGES, MAX_PAGES * PAGE_SIZE),
            page_size=lists.page_size,
        )
        while (page := await walk.turn()) is not None:
            yield page

    async def _read(
        self, event: CallStatusEvent, held: CallSnapshot | None, caller: RequestContext
    ) -> CallResource | None:
        """The call; None where it cannot be read in time.

        One that lags, or shows nothing new, is read again, once: upstream may need a moment, or
        the read was under way when the notice came.
        """
        request = FetchCall(sid=event.call_sid)
        try:
            row = await self._client.fetch(request, None, caller)
            if row is not None and (_lags(row, event) or (held and held.row == row)):
                row = await self._client.fetch(request, None, caller) or row
        except UpstreamError:
            return None
        return row

    def _keep(self, fresh: CallSnapshot) -> CallSnapshot:
        """Before others hear of it, so that they find it."""
        self._rows[fresh.row.sid] = fresh
        return fresh

    def _known(self, event: CallStatusEvent) -> CallResource:
        """The row that was read last, caught up; where none was, what notices say of the call."""
        held = self._rows.get(event.call_sid)
        if held is not None:
            return _caught_up(held.row, event)
        unsaid = {"account_sid": self._client.account_sid, "direction": "unknown"}
        given = {"sid": event.call_sid, "status": event.status.value}
        return msgspec.convert(unsaid | dict(event.facts) | given, CallResource)


def _lags(row: CallResource, event: CallStatusEvent) -> bool:
    """True when the notice is further, or the row does not say how far the call is.

    The row's status may be one that is not known here.
    """
    try:
        here = PLACE.get(CallResource.status.told(row), -1)
    except UpstreamInvalid:
        return event.status in PLACE
    return here < PLACE.get(event.status, -1)


def _caught_up(row: CallResource, event: CallStatusEvent) -> CallResource:
    """The row, with what the notice knows where the row lags behind it."""
    if not _lags(row, event):
        return row
    known: dict[str, Any] = msgspec.to_builtins(row)
    return msgspec.convert(
        {**known, **dict(event.facts), "status": event.status.value}, CallResource
    )
