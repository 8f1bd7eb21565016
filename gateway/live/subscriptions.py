"""Subscriptions to calls: the state of each as it is now, then every new one, until it is final.

Events come from `feeds`, each with its row; a slow subscriber gets the newest of each call. This
module must not know GraphQL, nor the transport of a subscriber.

Note [Never back]. A subscriber gets a state only if it is further than the last one sent
(`events.advance`), and its row is never behind the event (Note [Fresh rows] in `snapshots`). So
although events are late, duplicated or lost, the last state sent is the call's last state and no
state goes back.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from datetime import datetime
from typing import Self

from gateway.errors import CallNotFound, TooManySubscribers
from gateway.live.events import FINAL
from gateway.live.feeds import CallUpdate, Feed, SentStates
from gateway.live.polling import Poller
from gateway.live.snapshots import CallSnapshot, SnapshotReader
from gateway.live.store import Store
from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.client import UpstreamClient
from gateway.upstream.requests import check_sid

__all__ = [
    "CallUpdate",
    "SubscriberSlots",
    "SubscriptionManager",
    "for_accepted_credentials",
]


class SubscriberSlots:
    """The slots for subscriptions of one process, for all its accounts.

    There are `limit` slots; `count` are taken."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.count = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Takes a slot inside the block. Raises TooManySubscribers."""
        if self.count >= self._limit:
            raise TooManySubscribers("This gateway has as many subscribers as its settings allow")
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


class SubscriptionManager:
    """The subscriptions of one credential; polls while `run` runs.

    Each takes one of the process's `slots`. `now` is the time in UTC.
    """

    def __init__(
        self,
        reader: SnapshotReader,
        poller: Poller,
        store: Store,
        slots: SubscriberSlots,
        now: Callable[[], datetime],
    ) -> None:
        self._reader = reader
        self._poller = poller
        self._store = store
        self._slots = slots
        self._now = now
        self._feeds: dict[str | None, Feed] = {}

    @classmethod
    def of(
        cls,
        client: UpstreamClient,
        store: Store,
        slots: SubscriberSlots,
        now: Callable[[], datetime],
    ) -> Self:
        """Creates one over an account's client and the store that its gateways share."""
        reader = SnapshotReader(client, store, now)
        return cls(reader, Poller(reader, store, time.monotonic), store, slots, now)

    @property
    def count(self) -> int:
        """The number of subscriptions in this process, of all accounts."""
        return self._slots.count

    async def run(self) -> None:
        """Polls as a fallback for missing webhooks, until it is cancelled."""
        await self._poller.run()

    async def call(self, sid: str) -> AsyncGenerator[CallUpdate, None]:
        """One call's updates; they end with its final state, or when its status stays unknown.

        Raises BadUserInput, TooManySubscribers or an UpstreamError at the beginning; CallNotFound
        then, or when the call is gone; the error of the last read when it stays unreadable.
        """
        check_sid("CA", sid)
        with self._slots.taken():
            feed = self._feed(sid)
            with feed.subscribe() as events:
                snapshot = await self._reader.current(sid)
                if snapshot is None:
                    raise CallNotFound("There is no call with this SID")
                sent = SentStates(sid)
                yield self._first_update(feed, sent, snapshot)
                if snapshot.row.status in FINAL:
                    return
                async for read in events:
                    update = sent.update(read)
                    if update is None:
                        continue
                    yield update
                    if update.row.status in FINAL:
                        return

    def recent_call(self, sid: str) -> CallResource | None:
        """A call with a recent event, which upstream may not show yet. None without one."""
        snapshot = self._reader.recent_call(sid)
        return snapshot.row if snapshot else None

    async def calls(self, lists: Sequence[ListCalls]) -> AsyncGenerator[CallUpdate, None]:
        """The updates of every call that one of the lists holds, beginning with the live ones.

        Raises TooManySubscribers or an UpstreamError at the beginning, SubscriberLagged when the
        subscriber reads too slowly.
        """
        with self._slots.taken():
            feed = self._feed(None)
            with feed.subscribe() as events:
                sent = SentStates(None)
                rows = await self._live(lists)
                while rows:
                    snapshot = await self._reader.record(rows.popleft())
                    yield self._first_update(feed, sent, snapshot)
                async for read in events:
                    if any(list_.matches(read.snapshot.row) for list_ in lists):
                        update = sent.update(read)
                        if update is not None:
                            yield update

    async def _live(self, lists: Sequence[ListCalls]) -> deque[CallResource]:
        """Reads all live calls before the first is sent, because a subscriber may be slow."""
        rows = deque([row async for row in self._reader.live(lists)])
        for row in rows:
            self._poller.track(row.sid)
            self._poller.mark_shown(row.sid)
        return rows

    def _first_update(self, feed: Feed, sent: SentStates, snapshot: CallSnapshot) -> CallUpdate:
        feed.begin(snapshot)
        sent.begin(snapshot)
        return CallUpdate(snapshot.row, None, None, self._now())

    def _feed(self, call_sid: str | None) -> Feed:
        feed = self._feeds.get(call_sid)
        if feed is None:
            feed = Feed(call_sid, self._reader, self._poller, self._store, self._forget)
            self._feeds[call_sid] = feed
        return feed

    def _forget(self, feed: Feed) -> None:
        if self._feeds.get(feed.call_sid) is feed:
            del self._feeds[feed.call_sid]


async def for_accepted_credentials(
    watch: Callable[[], AsyncGenerator[CallUpdate, None]],
    require: Callable[[], Awaitable[None]],
    until_refused: Callable[[], Awaitable[None]],
) -> AsyncGenerator[CallUpdate, None]:
    """The updates, each after a call of `require`; also calls it when the credential is refused.

    Subscribes only after the first `require`. Ends with what `require` raises.
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
    """The next update, None after the last. Raises what `require` does after a refusal."""
    next_update = asyncio.ensure_future(anext(updates, None))
    refusal = asyncio.ensure_future(until_refused())
    try:
        while not next_update.done():
            await asyncio.wait({next_update, refusal}, return_when=asyncio.FIRST_COMPLETED)
            if refusal.done() and not next_update.done():
                await require()
                refusal = asyncio.ensure_future(until_refused())
        return next_update.result()
    finally:
        for task in (next_update, refusal):
            task.cancel()
        await asyncio.gather(next_update, refusal, return_exceptions=True)
