"""How many requests run at once upstream, and whose turn it is.

AdaptiveLimit is pure: what each try came to goes in as values, the number comes out. Line is the
queue in front of it. This module must not know what a request asks.

Note [Adaptive limit]. Twilio limits how many requests of an account run at once, publishes no
number, and the account may have other users. So the number is found: it grows by one for each
answer while it is below SLOW_START, then by one for each round of answers (and only while it is
what holds requests back), and falls to DECREASE of itself when Twilio refuses one with 429 or when
answers take much longer than they can: then they wait in a queue of upstream's. Refusals of one
round are one decrease, for they were sent under the same number. The number at which Twilio refused
is a ceiling for PROBE_AFTER seconds: without it the growth would run into a refusal every round,
with it once in that time. Where Twilio says how many of the account's requests it counts
(`Twilio-Concurrent-Requests`), that number is the ceiling, if it is lower: others use the account.

Note [Turns]. Requests that change something come first, then what somebody waits for, then bulk.
Among equals the operations take turns, so that one of a thousand requests does not hold up one of
three. A full line drops the newest request of the longest operation of the least priority, which
may be the one that comes: whoever floods the line drops his own.

Note [Stuck places]. When upstream hangs at one kind of resource, its requests come to hold every
place, until they time out or the breaker opens. A place that is held for STUCK seconds by another
kind gives way: up to RESERVE requests of a kind that holds fewer run besides, never beyond the cap.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum

from gateway.errors import UpstreamRateLimited, UpstreamTimeout

__all__ = ["AdaptiveLimit", "AdmissionQueue", "Priority", "Waiter"]

# Where it begins and until where it grows fast: most accounts allow as many, and a first burst
# that is refused in part is repaired from the retry budget's store.
START, SLOW_START = 8, 16
DECREASE = 0.75
PROBE_AFTER = 10.0
# An answer is late past so many times what the quickest of late took and this many seconds besides
# (a slow page or a busy machine is no queue); one decrease a second, and never below FLOOR, for
# slowness alone must not stop us.
LATE_FACTOR, LATE_SECONDS, LATE_PAUSE, FLOOR = 3.0, 0.25, 1.0, 4
# How many answers the usual latency remembers; in how many seconds the quickest counts double.
SMOOTHING, FORGOTTEN_AFTER = 1 / 16, 30.0
STUCK, RESERVE = 1.0, 2


class AdaptiveLimit:
    """See Note [Adaptive limit]. `cap` is never exceeded. Times are of one clock, in seconds."""

    def __init__(self, cap: int) -> None:
        self._cap = float(cap)
        self._limit = min(float(START), self._cap)
        self._ceiling = self._cap
        self._refused_at = self._slowed_at = float("-inf")
        self._has_started = False
        self._latencies: dict[Hashable, Latency] = {}

    @property
    def value(self) -> int:
        """How many may run at once."""
        return max(1, int(self._limit))

    @property
    def cap(self) -> int:
        """What `value` never exceeds."""
        return int(self._cap)

    def answered(
        self, latency_class: Hashable, seconds: float, now: float, *, in_flight: int, is_full: bool
    ) -> None:
        """A try was answered. `like` tells which answers are alike in size, `in_flight` how many
        of the account's ran (Twilio's number where it gives one), `is_full` that some waited."""
        latency = self._latencies.setdefault(latency_class, Latency(seconds, now))
        if latency.is_late(seconds, now) and now - self._slowed_at >= LATE_PAUSE:
            self._slowed_at = now
            self._decrease(FLOOR)
        elif is_full and max(self._limit, in_flight) < self._highest(now):
            is_fast = not self._has_started and self._limit < SLOW_START
            self._limit = min(self._cap, self._limit + (1.0 if is_fast else 1 / self._limit))

    def refused(self, sent_at: float, now: float, in_flight: int | None) -> None:
        """Twilio answered 429 to a try that was sent then, and says how many it counted, or not."""
        if sent_at < self._refused_at:
            return
        self._refused_at = now
        at = self._limit if in_flight is None else max(self._limit / 2, in_flight)
        at = min(at, self._limit)
        self._ceiling = max(1.0, at - 1)
        self._decrease(1)
        self._limit = min(self._limit, self._ceiling)

    def _highest(self, now: float) -> float:
        return self._ceiling if now - self._refused_at < PROBE_AFTER else self._cap

    def _decrease(self, floor: int) -> None:
        self._has_started = True
        self._limit = max(min(float(floor), self._limit), float(int(self._limit * DECREASE)))


class Latency:
    """How long answers of one sort take: the quickest, forgotten slowly, and the usual of late."""

    __slots__ = ("_at", "_quickest", "_usual")

    def __init__(self, seconds: float, now: float) -> None:
        self._quickest = self._usual = seconds
        self._at = now

    def is_late(self, seconds: float, now: float) -> bool:
        """Takes an answer's seconds in; True when the usual ones have become late."""
        forgotten = self._quickest * 2 ** ((now - self._at) / FORGOTTEN_AFTER)
        self._quickest, self._at = min(seconds, forgotten), now
        self._usual += (seconds - self._usual) * SMOOTHING
        return self._usual > self._quickest * LATE_FACTOR + LATE_SECONDS


class Priority(IntEnum):
    """Who goes first; see Note [Turns]."""

    MUTATION = 0
    INTERACTIVE = 1
    BULK = 2


@dataclass(eq=False)
class Waiter:
    """A request's place: in the line until it is `granted`, then among those that run.

    `operation` is anything that is equal for the requests that belong together.
    """

    kind: str
    priority: Priority
    operation: Hashable
    granted: asyncio.Future[None]
    since: float = 0.0


@dataclass
class PriorityQueue:
    """The operations of one priority, in the order of their turns; each with its requests."""

    operations: OrderedDict[Hashable, OrderedDict[Waiter, None]] = field(
        default_factory=OrderedDict
    )

    def add(self, slot: Waiter) -> None:
        self.operations.setdefault(slot.operation, OrderedDict())[slot] = None

    def remove(self, slot: Waiter) -> None:
        waiters = self.operations.get(slot.operation)
        if waiters is not None and slot in waiters:
            del waiters[slot]
            if not waiters:
                del self.operations[slot.operation]

    def next(self) -> Waiter | None:
        """The request whose turn it is; its operation goes to the end."""
        if not self.operations:
            return None
        operation, waiters = next(iter(self.operations.items()))
        slot = next(iter(waiters))
        self.operations.move_to_end(operation)
        self.remove(slot)
        return slot

    def last_of_longest(self) -> Waiter:
        """The one to drop."""
        longest: OrderedDict[Waiter, None] = max(self.operations.values(), key=len)
        return next(reversed(longest))

    def first_of(self, kind: str) -> Waiter | None:
        """The first request of this kind that still waits."""
        waiters = (slot for waiters in self.operations.values() for slot in waiters)
        return next((t for t in waiters if t.kind == kind and not t.granted.done()), None)


class AdmissionQueue:
    """See Note [Turns]. At most `longest` requests wait; `limit` says how many run.

    A place is stuck when it is held for so many seconds: see Note [Stuck places].
    """

    def __init__(self, limit: AdaptiveLimit, longest: int, blocked: float = STUCK) -> None:
        self.limit = limit
        self._longest = longest
        self._blocked = blocked
        self._queues = {priority: PriorityQueue() for priority in Priority}
        self._running: dict[Waiter, None] = {}
        self._waiting: dict[str, int] = {}
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """How many run."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(self._waiting.values())

    @asynccontextmanager
    async def slot(
        self, kind: str, priority: Priority, operation: Hashable, until: float
    ) -> AsyncIterator[None]:
        """Waits for a place and holds it. Raises UpstreamRateLimited where the line is full, and
        UpstreamTimeout where no place is free by `until`, a time of the loop's clock."""
        loop = asyncio.get_running_loop()
        slot = Waiter(kind, priority, operation, loop.create_future())
        self._join(slot)
        try:
            try:
                async with asyncio.timeout_at(until):
                    await slot.granted
            except TimeoutError:
                raise UpstreamTimeout("No turn upstream came in time") from None
            yield
        finally:
            self._leave(slot)

    def dispatch(self) -> None:
        """Lets run who may: to be called when the limit may have grown."""
        while self.in_flight < self.limit.value and (slot := self._next()):
            self._grant(slot)
        if self.waiting:
            self._skip_blocked()
            loop = asyncio.get_running_loop()
            self._alarm = self._alarm or loop.call_later(self._blocked, self._ring)

    def close(self) -> None:
        """Stops the clock."""
        if self._alarm:
            self._alarm.cancel()

    def _join(self, slot: Waiter) -> None:
        self._queues[slot.priority].add(slot)
        self._count(slot.kind, 1)
        if self.waiting > self._longest:
            self._drop_one()
        self.dispatch()

    def _leave(self, slot: Waiter) -> None:
        if slot in self._running:
            del self._running[slot]
        else:
            self._forget(slot)
        self.dispatch()

    def _forget(self, slot: Waiter) -> None:
        queue = self._queues[slot.priority]
        if slot in queue.operations.get(slot.operation, ()):
            queue.remove(slot)
            self._count(slot.kind, -1)

    def _drop_one(self) -> None:
        queue = next(queue for queue in reversed(self._queues.values()) if queue.operations)
        slot = queue.last_of_longest()
        self._forget(slot)
        if not slot.granted.done():
            full = "Too many requests wait for upstream already"
            slot.granted.set_exception(UpstreamRateLimited(full, retry_after=1.0))

    def _next(self) -> Waiter | None:
        for queue in self._queues.values():
            while (slot := queue.next()) is not None:
                self._count(slot.kind, -1)
                if not slot.granted.done():  # who has left is still on his way out
                    return slot
        return None

    def _grant(self, slot: Waiter) -> None:
        slot.since = asyncio.get_running_loop().time()
        self._running[slot] = None
        slot.granted.set_result(None)

    def _ring(self) -> None:
        self._alarm = None
        self.dispatch()

    def _skip_blocked(self) -> None:
        """See Note [Stuck places]."""
        before = asyncio.get_running_loop().time() - self._blocked
        held = Counter(slot.kind for slot in self._running)
        blocked = {slot.kind for slot in self._running if slot.since <= before}
        for kind in [kind for kind, waiting in self._waiting.items() if waiting]:
            while blocked - {kind} and held[kind] < RESERVE and self.in_flight < self.limit.cap:
                slot = self._first_of(kind)
                if slot is None:
                    break
                self._forget(slot)
                self._grant(slot)
                held[kind] += 1

    def _first_of(self, kind: str) -> Waiter | None:
        firsts = (queue.first_of(kind) for queue in self._queues.values())
        return next((slot for slot in firsts if slot), None)

    def _count(self, kind: str, by: int) -> None:
        self._waiting[kind] = self._waiting.get(kind, 0) + by
