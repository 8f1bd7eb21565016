"""Polls watched calls, as a fallback for missing webhooks.

`Schedule` decides when to poll: it is pure and gets the time as an argument. `Poller` reads the due
calls by the fewest requests and publishes what it read; subscribers get it like any other event.
This module must not know the subscribers.

Note [Cheap polls]. One poll of a call serves all its subscribers. The interval is short after a
change, then grows, and is long while the call's webhooks come. Few calls are fetched one by one,
many by the lists of live calls: three requests for up to a thousand calls each. Of several gateways
only the holder of the lease of a call, or of the lists, polls: the others get its events through
the store, and poll themselves when the lease expires. A poll that fails or hangs delays no other:
rounds overlap, and a call that is being polled is in no other round.

Note [Gone]. A call that upstream has shown is gone when two reads more than READ_LAG apart answer
404 and no read between them shows it. A call that upstream never showed is gone at the first 404
after the read lag (Note [Lag] in `snapshots`). A call of unknown status, or an unreadable one, can
end unseen: its polling ends a day after its status was last known, because no call lasts longer.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from secrets import token_hex

from cachetools import FIFOCache

from gateway.errors import BudgetExceeded, CallNotFound, GatewayError
from gateway.live.events import FINAL, CallStatusEvent, EventSource
from gateway.live.snapshots import LIVE, READ_LAG, CallSnapshot, SnapshotReader
from gateway.live.store import Store
from gateway.upstream.calls import CallStatus, ListCalls

__all__ = ["Poller", "Schedule"]

log = logging.getLogger(__name__)
OnEnd = Callable[[GatewayError | None], None]

MIN_INTERVAL = 1.0
"""Seconds from a change that no webhook reported to the next poll."""
BACKOFF_FACTOR = 1.5
MAX_INTERVAL = 15.0
"""Seconds between two polls of a call that does not change, at most."""
WEBHOOK_GRACE = 60.0
"""Seconds from a webhook to the next poll: the next webhook should come earlier."""
UNKNOWN_TIMEOUT = 24 * 3600.0
"""Seconds for which a call of unknown status is polled: no call lasts longer."""
SINGLE_FETCH_MAX = 3
"""Up to this many calls are fetched one by one; more by the three lists of live calls."""
UNLISTED_FETCH_MAX = 50
"""Most calls missing from the lists that one round fetches; the rest come later."""
NEWEST_PAGE_SIZE = 50
"""Rows of a page of the newest calls, which is read to find calls without webhooks."""
MAX_KNOWN_SIDS = 1000
ROUND_WINDOW = 0.3
"""Seconds: what is due within this time is polled in one round."""
ALL_CALLS, LIVE_LISTS = "newest", "lists"
"""Names that are polled or leased, besides the SIDs of single calls."""


@dataclass
class PollSlot:
    """When a call is polled next, and the interval after that; in seconds.

    `missing_since` is the first 404 since upstream showed the call, None while it shows it.
    `known_at` is when its status was last known.
    """

    due: float
    known_at: float
    interval: float = MIN_INTERVAL
    last_result: object = None
    missing_since: float | None = -math.inf
    is_polling: bool = False


class Schedule:
    """When to poll which call. `now` is a monotonic time in seconds."""

    def __init__(self) -> None:
        self._slots: dict[str, PollSlot] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._slots

    def add(self, name: str, now: float) -> None:
        """Starts polling a call; no effect if it is scheduled already."""
        self._slots.setdefault(name, PollSlot(now + MIN_INTERVAL, now))

    def drop(self, name: str) -> None:
        """Stops polling a call."""
        self._slots.pop(name, None)

    def webhook_received(self, name: str, now: float) -> None:
        """Postpones the next poll; the call's status is known as of now."""
        slot = self._slots.get(name)
        if slot is not None:
            slot.due, slot.interval, slot.known_at = now + WEBHOOK_GRACE, WEBHOOK_GRACE, now

    def mark_shown(self, name: str) -> None:
        """Records that upstream showed the call."""
        slot = self._slots.get(name)
        if slot is not None:
            slot.missing_since = None

    def take_due(self, now: float) -> list[str]:
        """What is due, the longest overdue first; marks it as being polled."""
        due = self.due(now)
        for name in due:
            self._slots[name].is_polling = True
        return due

    def is_polling(self, name: str) -> bool:
        """True from `take_due` until `polled`."""
        slot = self._slots.get(name)
        return slot is not None and slot.is_polling

    def polled(self, name: str, result: object, now: float) -> None:
        """Records a poll's result, None if it failed, and schedules the next poll."""
        slot = self._slots.get(name)
        if slot is None:
            return
        slot.is_polling = False
        if result is CallStatus.UNKNOWN:
            slot.interval, slot.last_result = max(slot.interval, MAX_INTERVAL), result
        elif result is not None and result != slot.last_result:
            slot.interval, slot.last_result = MIN_INTERVAL, result
        else:
            slot.interval = max(slot.interval, min(slot.interval * BACKOFF_FACTOR, MAX_INTERVAL))
        if result not in {None, CallStatus.UNKNOWN}:
            slot.known_at = now
        slot.due = now + slot.interval

    def record_not_found(self, name: str, now: float) -> bool:
        """Records a 404; True if the call is gone by it. See Note [Gone]."""
        slot = self._slots.get(name)
        if slot is None:
            return False
        if slot.missing_since is None:
            slot.missing_since = now
        return now - slot.missing_since > READ_LAG

    def is_unknown_for_too_long(self, name: str, now: float) -> bool:
        """True when its status has been unknown for longer than a call lasts."""
        slot = self._slots.get(name)
        return slot is not None and now - slot.known_at > UNKNOWN_TIMEOUT

    def interval(self, name: str) -> float:
        """Seconds between two polls of it at present."""
        slot = self._slots.get(name)
        return slot.interval if slot else MIN_INTERVAL

    def due(self, now: float) -> list[str]:
        """What is due and not being polled, the longest overdue first."""
        waiting = [(slot.due, name) for name, slot in self._waiting() if slot.due <= now]
        return [name for _, name in sorted(waiting, key=lambda pair: pair[0])]

    def next_due(self) -> float | None:
        """When the next poll is due; None when nothing waits for one."""
        return min((slot.due for _, slot in self._waiting()), default=None)

    def _waiting(self) -> Iterator[tuple[str, PollSlot]]:
        return ((name, slot) for name, slot in self._slots.items() if not slot.is_polling)


class Poller:
    """Polls what is followed, while `run` runs. `clock` is a monotonic time in seconds."""

    def __init__(self, reader: SnapshotReader, store: Store, clock: Callable[[], float]) -> None:
        self._reader = reader
        self._store = store
        self._clock = clock
        self._holder = token_hex(8)
        self._schedule = Schedule()
        self._followers: dict[str, list[OnEnd]] = {}
        self._tracked: set[str] = set()
        self._known_sids: FIFOCache[str, None] = FIFOCache(MAX_KNOWN_SIDS)
        self._wakeup = asyncio.Event()

    @contextmanager
    def following(self, sid: str, on_end: OnEnd) -> Iterator[None]:
        """Polls this call inside the block. Calls `on_end` when the poller gives the call up.

        It passes CallNotFound when the call is gone, the error of the last read when the call stays
        unreadable, None when its status stays unknown. See Note [Gone].
        """
        self._followers.setdefault(sid, []).append(on_end)
        self._add(sid)
        try:
            yield
        finally:
            self._followers[sid].remove(on_end)
            self._unfollow(sid)

    @contextmanager
    def following_all(self) -> Iterator[None]:
        """Polls for new and live calls inside the block."""
        try:
            with self.following(ALL_CALLS, _ignore_end):
                yield
        finally:
            if ALL_CALLS not in self._schedule:
                tracked, self._tracked = self._tracked, set()
                self._known_sids.clear()
                for sid in tracked:
                    self._unfollow(sid)

    def track(self, sid: str) -> None:
        """Polls a live call that was reported to an all-calls subscriber."""
        if ALL_CALLS in self._schedule:
            self._tracked.add(sid)
            self._add(sid)

    def mark_shown(self, sid: str) -> None:
        """Records that upstream showed this call to a subscriber."""
        self._schedule.mark_shown(sid)

    def on_event(self, event: CallStatusEvent) -> None:
        """Adapts polling to an event that a subscriber got."""
        if event.is_final:
            self._tracked.discard(event.call_sid)
            self._unfollow(event.call_sid)
            return
        self.track(event.call_sid)
        if event.source is EventSource.WEBHOOK:
            self._schedule.webhook_received(event.call_sid, self._clock())

    async def run(self) -> None:
        """Polls until it is cancelled."""
        async with asyncio.TaskGroup() as rounds:
            while True:
                await self._wait_until_due()
                rounds.create_task(self.poll(self.start_round()))

    def start_round(self) -> list[str]:
        """What is due; no other round polls it until `poll` has finished with it."""
        return self._schedule.take_due(self._clock() + ROUND_WINDOW)

    async def poll(self, due: Sequence[str]) -> None:
        """Polls what is due. Never raises.

        Reschedules the calls that another gateway or a later round polls.
        """
        await _isolated(self._poll_due(due))
        for name in filter(self._schedule.is_polling, due):
            self._record_poll(name, None)

    async def _wait_until_due(self) -> None:
        while True:
            self._wakeup.clear()
            due = self._schedule.next_due()
            timeout = None if due is None else due - self._clock()
            if timeout is not None and timeout <= 0:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wakeup.wait(), timeout)

    async def _poll_due(self, due: Sequence[str]) -> None:
        async with asyncio.TaskGroup() as polls:
            if ALL_CALLS in due and await self._acquire_lease(ALL_CALLS):
                newest = polls.create_task(_isolated(self._poll_newest()))
                await asyncio.wait([newest], timeout=MIN_INTERVAL)
            remaining = filter(self._schedule.is_polling, due)  # not among the newest
            sids = [name for name in remaining if name != ALL_CALLS]
            if len(sids) <= SINGLE_FETCH_MAX:
                await self._poll_each(sids)
            elif await self._acquire_lease(LIVE_LISTS):
                await _isolated(self._poll_lists(sids))

    async def _acquire_lease(self, name: str) -> bool:
        seconds = 2 * self._schedule.interval(name) + 1
        return await self._store.lease(f"look:{name}", self._holder, seconds)

    async def _poll_each(self, sids: Iterable[str]) -> None:
        leased = [sid for sid in sids if await self._acquire_lease(sid)]
        await asyncio.gather(*(_isolated(self._poll_one(sid)) for sid in leased))

    async def _poll_one(self, sid: str) -> None:
        with self._end_unreadable([sid]):
            snapshot = await self._reader.current(sid)
        if snapshot is not None and snapshot.is_read:
            self._record_snapshot(snapshot)
        elif self._schedule.record_not_found(sid, self._clock()) and snapshot is None:
            self._end(sid, CallNotFound("There is no call with this SID (any more)"))
        else:
            self._record_poll(sid, None)

    async def _poll_lists(self, sids: Sequence[str]) -> None:
        """Fetches a call that is in none of the lists by itself: it has most likely ended."""
        remaining = dict.fromkeys(sids)
        with self._end_unreadable(sids), suppress(BudgetExceeded):
            async for row in self._reader.live([ListCalls()]):
                if row.sid in remaining:
                    del remaining[row.sid]
                    self._record_snapshot(await self._reader.record(row))
        await self._poll_each(list(remaining)[:UNLISTED_FETCH_MAX])

    async def _poll_newest(self) -> None:
        """Finds the calls that are new since the last time; the first time, only live ones."""
        is_first, newest = not self._known_sids, None
        async for page in self._reader.pages(ListCalls(page_size=NEWEST_PAGE_SIZE)):
            newest = newest or next((row.sid for row in page.rows), None)
            new = {row.sid for row in page.rows if row.sid not in self._known_sids}
            for row in page.rows:
                if row.status in LIVE or (row.sid in new and not is_first):
                    self.track(row.sid)
                if row.sid in self._schedule:
                    self._record_snapshot(await self._reader.record(row))
            self._known_sids.update(dict.fromkeys(new))
            if is_first or len(new) < len(page.rows):
                break
        self._record_poll(ALL_CALLS, newest)

    def _record_snapshot(self, snapshot: CallSnapshot) -> None:
        sid, status = snapshot.row.sid, snapshot.row.status
        self._schedule.mark_shown(sid)
        self._record_poll(sid, status if snapshot.state else CallStatus.UNKNOWN)
        if status in FINAL:
            self._tracked.discard(sid)
            self._unfollow(sid)
        elif self._schedule.is_unknown_for_too_long(sid, self._clock()):
            self._end(sid, None)

    @contextmanager
    def _end_unreadable(self, sids: Iterable[str]) -> Iterator[None]:
        """Ends those calls that stay unreadable for too long. See Note [Gone]."""
        try:
            yield
        except GatewayError as error:
            for sid in sids:
                if self._schedule.is_unknown_for_too_long(sid, self._clock()):
                    self._end(sid, error)
            raise

    def _record_poll(self, name: str, result: object) -> None:
        self._schedule.polled(name, result, self._clock())
        self._wakeup.set()

    def _end(self, sid: str, error: GatewayError | None) -> None:
        """Stops polling this call and ends the subscriptions to it alone."""
        self._tracked.discard(sid)
        self._schedule.drop(sid)
        for on_end in self._followers.get(sid, ()):
            on_end(error)

    def _add(self, name: str) -> None:
        self._schedule.add(name, self._clock())
        self._wakeup.set()

    def _unfollow(self, name: str) -> None:
        if not self._followers.get(name) and name not in self._tracked:
            self._followers.pop(name, None)
            self._schedule.drop(name)


async def _isolated(poll: Awaitable[None]) -> None:
    """Logs every failure of a poll, so that it fails no other; the next poll follows."""
    try:
        await poll
    except GatewayError as error:
        log.info("polling watched calls failed: %s", type(error).__name__)
    except Exception:
        log.exception("internal error while polling watched calls")


def _ignore_end(_: GatewayError | None) -> None:
    """A subscription to all calls does not end."""
