"""Feeds: the events of one call, or of all calls, each with its row, for all subscribers here.

This module must not know GraphQL, nor the transport of a subscriber.

Note [Read once, then handed over]. What is equal for all subscribers is done before any of them
wakes: the feed drops an event that shows nothing new, tells the poller of it and reads its row.
Then each subscriber wakes once. Subscribers that were sent the same states get the same CallUpdate,
so that they also share its execution. A subscriber that was sent others compares for itself.
"""

import asyncio
from collections.abc import Callable, MutableMapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime

from cachetools import LRUCache

from gateway.live.events import CallStatusEvent, EventSource, advance
from gateway.live.polling import Poller
from gateway.live.snapshots import CallSnapshot, SnapshotReader
from gateway.live.store import EventSubscription, Store
from gateway.upstream.calls import CallResource, CallStatus

__all__ = ["CallUpdate", "Feed", "ReadEvent", "SentStates"]

MAX_STATES = 1000


@dataclass(frozen=True, slots=True, eq=False)
class CallUpdate:
    """A state of a call, which the gateway learned of from `source` at `at` (UTC).

    `source` is None for the state at the beginning of the subscription; `previous` is the state
    sent before, None for the first. It is equal to itself only.
    """

    row: CallResource
    previous: CallStatus | None
    source: EventSource | None
    at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class ReadEvent:
    """An event and the call as it is after it. `last` is the snapshot that the feed sent before.

    `updates` are those made of it so far, by the previous state.
    """

    event: CallStatusEvent
    snapshot: CallSnapshot
    last: CallSnapshot | None
    updates: dict[CallStatus | None, CallUpdate] = field(default_factory=dict)

    @property
    def call_sid(self) -> str:
        """The call of the event."""
        return self.event.call_sid


class SentStates:
    """The last snapshot of each call that was sent: of one call, else of the last MAX_STATES."""

    def __init__(self, call_sid: str | None) -> None:
        self._last: MutableMapping[str, CallSnapshot] = LRUCache(MAX_STATES) if not call_sid else {}

    def is_new(self, event: CallStatusEvent) -> bool:
        """False if this state was sent already, or a further one."""
        last = self._last.get(event.call_sid)
        return advance(last.state if last else None, event) is not None

    def begin(self, snapshot: CallSnapshot) -> None:
        """Records the first snapshot of a call; no effect if one was sent."""
        self._last.setdefault(snapshot.row.sid, snapshot)

    def replace(self, snapshot: CallSnapshot) -> CallSnapshot | None:
        """Records a snapshot and returns the last one."""
        last = self._last.get(snapshot.row.sid)
        self._last[snapshot.row.sid] = snapshot
        return last

    def update(self, read: ReadEvent) -> CallUpdate | None:
        """The update to send; None if it shows nothing new."""
        if self._last.get(read.call_sid) is not read.last and not self.is_new(read.event):
            return None
        last, row = self.replace(read.snapshot), read.snapshot.row
        if last is not None and last.row == row:
            return None
        previous = last.row.status if last else None
        update = read.updates.get(previous)
        if update is None:
            update = CallUpdate(row, previous, read.event.source, read.event.at)
            read.updates[previous] = update
        return update


class Feed:
    """The events of a call, or of all calls (`call_sid` None), until the last subscriber leaves.

    It polls its calls meanwhile. `on_close` is called when it has ended or nobody is left: who
    subscribes later needs another one.
    """

    def __init__(
        self,
        call_sid: str | None,
        reader: SnapshotReader,
        poller: Poller,
        store: Store,
        on_close: Callable[["Feed"], None],
    ) -> None:
        self.call_sid = call_sid
        self._reader = reader
        self._poller = poller
        self._on_close = on_close
        self._sent = SentStates(call_sid)
        self._subscribers: dict[EventSubscription[ReadEvent], None] = {}
        self._stack = ExitStack()
        self._events = self._stack.enter_context(store.subscribe(call_sid))
        self._stack.enter_context(
            poller.following(call_sid, self.end) if call_sid else poller.following_all()
        )
        self._reading = asyncio.ensure_future(self._read_all())

    def subscribe(self) -> EventSubscription[ReadEvent]:
        """A subscriber's events, from now on."""
        subscriber = EventSubscription(self.call_sid, self._leave)
        self._subscribers[subscriber] = None
        return subscriber

    def begin(self, snapshot: CallSnapshot) -> None:
        """Records what a subscriber gets at its beginning."""
        self._sent.begin(snapshot)
        self._mark_shown(snapshot)

    def end(self, error: Exception | None) -> None:
        """Ends all subscriptions after the events that wait, with the error if there is one."""
        self._on_close(self)
        for subscriber in self._subscribers:
            subscriber.end(error)

    def _leave(self, subscriber: EventSubscription[ReadEvent]) -> None:
        self._subscribers.pop(subscriber, None)
        if not self._subscribers:
            self._on_close(self)
            self._stack.close()
            self._reading.cancel()

    async def _read_all(self) -> None:
        try:
            async for event in self._events:
                if self._sent.is_new(event):
                    await self._read(event)
        except Exception as error:
            self.end(error)
        else:
            self.end(None)

    async def _read(self, event: CallStatusEvent) -> None:
        """See Note [Read once, then handed over]."""
        self._poller.on_event(event)
        snapshot = await self._reader.after(event)
        self._mark_shown(snapshot)
        read = ReadEvent(event, snapshot, self._sent.replace(snapshot))
        for subscriber in self._subscribers:
            subscriber.deliver(read)

    def _mark_shown(self, snapshot: CallSnapshot) -> None:
        if snapshot.is_read:
            self._poller.mark_shown(snapshot.row.sid)
