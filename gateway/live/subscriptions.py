"""Who watches calls: the state of each as it is now, then every new one, until the call is final.

News come from the store, which keeps the newest state of each call for a slow watcher; rows come
from `snapshots`. This module must not know GraphQL, nor how a watcher is reached.

Note [Never back]. A watcher is told a state only if it is further than the one it was told before
(`events.advance`), and the row that goes with it is never behind the notice (Note [Fresh rows]). So
whatever is late, doubled or lost, the last state told is the call's last state and none goes back.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from cachetools import LRUCache

from gateway.errors import CallNotFound, TooManySubscribers
from gateway.live.events import FINAL, CallStatusEvent, EventSource, advance
from gateway.live.polling import Poller
from gateway.live.snapshots import CallSnapshot, SnapshotReader, status_of
from gateway.live.store import Store
from gateway.upstream.calls import CallResource, CallStatus, ListCalls
from gateway.upstream.client import UpstreamClient
from gateway.upstream.requests import check_sid

__all__ = [
    "CallUpdate",
    "SubscriberSlots",
    "SubscriptionManager",
    "for_members",
]


MAX_STATES = 1000


class SubscriberSlots:
    """How many subscriptions one process serves at once, whosever they are.

    At most `limit` are taken at once; `count` are taken now."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.count = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """One more, until it is left. Raises TooManySubscribers."""
        if self.count >= self._limit:
            raise TooManySubscribers("This gateway has as many subscribers as it may have")
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


@dataclass(frozen=True, slots=True)
class CallUpdate:
    """A state of a call: `source` is how the gateway came to know, at `at` (UTC).

    `source` is None for the state in which the watcher found the call; `previous` is the state that
    the watcher was told before, None for none.
    """

    row: CallResource
    previous: CallStatus | None
    source: EventSource | None
    at: datetime


class SubscriberState:
    """What one watcher was told last of each call; calls without news for long are forgotten."""

    def __init__(self) -> None:
        self._told: LRUCache[str, CallSnapshot] = LRUCache(MAX_STATES)

    def is_news(self, event: CallStatusEvent) -> bool:
        """False for what this watcher knows, or what lies behind it."""
        told = self._told.get(event.call_sid)
        return advance(told.state if told else None, event) is not None

    def tell(
        self, fresh: CallSnapshot, source: EventSource | None, at: datetime
    ) -> CallUpdate | None:
        """The update to hand out; None where the row shows nothing new."""
        told = self._told.get(fresh.row.sid)
        self._told[fresh.row.sid] = fresh
        if told is not None and told.row == fresh.row:
            return None
        return CallUpdate(fresh.row, status_of(told.row) if told else None, source, at)


class SubscriptionManager:
    """Who watches with one credential; looks while `run` runs.

    Each takes one of the `seats`, which are the whole process's. `now` is the time in UTC.
    """

    def __init__(
        self,
        rows: SnapshotReader,
        poller: Poller,
        store: Store,
        slots: SubscriberSlots,
        now: Callable[[], datetime],
    ) -> None:
        self._rows = rows
        self._poller = poller
        self._store = store
        self._slots = slots
        self._now = now

    @classmethod
    def of(
        cls,
        client: UpstreamClient,
        store: Store,
        slots: SubscriberSlots,
        now: Callable[[], datetime],
    ) -> Self:
        """Over one account's client, and the store that gateways to this account share."""
        rows = SnapshotReader(client, store, now)
        return cls(rows, Poller(rows, store, time.monotonic), store, slots, now)

    @property
    def count(self) -> int:
        """How many watch in this process, whosever calls."""
        return self._slots.count

    async def run(self) -> None:
        """Looks for what no webhook tells of, until it is cancelled."""
        await self._poller.run()

    async def call(self, sid: str) -> AsyncGenerator[CallUpdate, None]:
        """One call's updates; they end with its final state, or where its status stays unknown.

        Raises BadUserInput, TooManySubscribers, or an UpstreamError at the beginning; CallNotFound
        then, or when the call is gone.
        """
        check_sid("CA", sid)
        with (
            self._slots.taken(),
            self._store.subscribe(sid) as news,
            self._poller.following(sid, news.end),
        ):
            fresh = await self._rows.current(sid)
            if fresh is None:
                raise CallNotFound("There is no call with this SID")
            self._note_shown(fresh)
            states = SubscriberState()
            yield self._found(states, fresh)
            if status_of(fresh.row) in FINAL:
                return
            async for event in news:
                update = await self._update(states, event)
                if update is None:
                    continue
                yield update
                if status_of(update.row) in FINAL:
                    return

    def recent_call(self, sid: str) -> CallResource | None:
        """A call of which there were news lately, though upstream may not show it yet."""
        fresh = self._rows.recent_call(sid)
        return fresh.row if fresh else None

    async def calls(self, lists: Sequence[ListCalls]) -> AsyncGenerator[CallUpdate, None]:
        """The updates of every call that one of the lists holds: first of those live now.

        Raises TooManySubscribers, SubscriberLagged where events are read too slowly, or an
        UpstreamError at the beginning.
        """
        with self._slots.taken(), self._store.subscribe() as news, self._poller.following_all():
            states = SubscriberState()
            found = await self._live(lists)
            while found:
                yield self._found(states, await self._rows.note(found.popleft()))
            async for event in news:
                update = await self._update(states, event, lists)
                if update is not None:
                    yield update

    async def _live(self, lists: Sequence[ListCalls]) -> deque[CallResource]:
        """Read as a whole before the first is told: a watcher may take its time with them."""
        rows = deque([row async for row in self._rows.live(lists)])
        for row in rows:
            self._poller.found(row.sid)
            self._poller.shown(row.sid)
        return rows

    def _found(self, states: SubscriberState, fresh: CallSnapshot) -> CallUpdate:
        update = states.tell(fresh, None, self._now())
        assert update is not None  # noqa: S101 (it is the first)
        return update

    async def _update(
        self,
        states: SubscriberState,
        event: CallStatusEvent,
        lists: Sequence[ListCalls] | None = None,
    ) -> CallUpdate | None:
        if not states.is_news(event):
            return None
        self._poller.recent_call(event)
        fresh = await self._rows.after(event)
        self._note_shown(fresh)
        if lists is not None and not any(list_.matches(fresh.row) for list_ in lists):
            return None
        return states.tell(fresh, event.source, event.at)

    def _note_shown(self, fresh: CallSnapshot) -> None:
        if fresh.is_read:
            self._poller.shown(fresh.row.sid)


async def for_members(
    watch: Callable[[], AsyncGenerator[CallUpdate, None]],
    require: Callable[[], Awaitable[None]],
    until_refused: Callable[[], Awaitable[None]],
) -> AsyncGenerator[CallUpdate, None]:
    """The updates, each after `require`; also when the credential is refused while none comes.

    Nothing is watched before the first `require`. Raises what `require` raises, which is the end.
    """
    await require()
    async with aclosing(watch()) as updates:
        while True:
            update = await _next(updates, until_refused, require)
            if update is None:
                return
            await require()
            yield update


async def _next(
    updates: AsyncGenerator[CallUpdate, None],
    until_refused: Callable[[], Awaitable[None]],
    require: Callable[[], Awaitable[None]],
) -> CallUpdate | None:
    """The next update, None after the last. Raises where the credential is refused meanwhile."""
    coming = asyncio.ensure_future(anext(updates, None))
    refused = asyncio.ensure_future(until_refused())
    try:
        while not coming.done():
            await asyncio.wait({coming, refused}, return_when=asyncio.FIRST_COMPLETED)
            if refused.done() and not coming.done():
                await require()
                refused = asyncio.ensure_future(until_refused())
        return coming.result()
    finally:
        for task in (coming, refused):
            task.cancel()
        await asyncio.gather(coming, refused, return_exceptions=True)
