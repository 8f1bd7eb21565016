"""How many requests are in flight upstream, and which queued request is sent next.

AdaptiveLimit is pure: the result of each attempt goes in as values, the limit comes out.
AdmissionQueue is the queue in front of it. This module must not know what a request reads.

Note [Adaptive limit]. Twilio limits how many requests of an account run at once, publishes no
number, and the account may have other users. So the limit adapts. Below SLOW_START_THRESHOLD it
grows by one for each answered attempt, above it by one for each round of them, and only while
requests are queued. It is multiplied by DECREASE_FACTOR when Twilio answers 429, or when responses
become much slower, which shows that they wait in a queue of upstream's. All 429s of one round are
one decrease, because these requests were sent under the same limit. The limit at which Twilio
answered 429 is a ceiling for CEILING_SECONDS: without it the growth would meet a 429 every round,
with it once in that time. Twilio may say how many of the account's requests it counts
(`Twilio-Concurrent-Requests`); that number is the ceiling if it is lower: others use the account.

Note [Fair queue]. Mutations come first, then interactive requests, then bulk. Within a priority the
operations take turns (round robin), so that an operation of a thousand requests does not hold up
one of three. A full queue drops the newest request of the longest operation of the lowest priority,
which may be the request that arrives: an operation that floods the queue drops its own requests.

Note [Head-of-line blocking]. When upstream hangs at one kind of resource, its requests come to hold
every slot, until they time out or the breaker opens. Once a request has held its slot for
BLOCKED_AFTER seconds, requests of other kinds bypass it: up to RESERVE of each kind run beyond the
limit, never beyond the cap.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import IntEnum

from gateway.errors import UpstreamRateLimited, UpstreamTimeout

__all__ = ["AdaptiveLimit", "AdmissionQueue", "Priority", "Waiter"]

# Most accounts allow as many, and the retry budget's burst pays for the 429s of a first burst.
INITIAL_LIMIT, SLOW_START_THRESHOLD = 8, 16
DECREASE_FACTOR = 0.75
CEILING_SECONDS = 10.0
# Responses are slow when their average exceeds SLOW_FACTOR times the minimum plus SLOW_SECONDS (a
# slow page or a busy machine is no queue). Slowness alone must not stop us: it decreases the limit
# once in DECREASE_INTERVAL seconds, and not below FLOOR.
SLOW_FACTOR, SLOW_SECONDS, DECREASE_INTERVAL, FLOOR = 3.0, 0.25, 1.0, 4
# The weight of a response in the average; the seconds in which an old minimum counts double.
SMOOTHING, MINIMUM_DOUBLES_IN = 1 / 16, 30.0
BLOCKED_AFTER, RESERVE = 1.0, 2


class AdaptiveLimit:
    """See Note [Adaptive limit]. Times are of one clock, in seconds."""

    def __init__(self, cap: int) -> None:
        self._cap = self._account_cap = float(cap)
        self._limit = min(float(INITIAL_LIMIT), self._cap)
        self._ceiling = self._cap
        self._refused_at = self._slowed_at = float("-inf")
        self._has_left_slow_start = False
        self._latencies: dict[Hashable, Latency] = {}

    @property
    def value(self) -> int:
        """How many requests may be in flight."""
        return max(1, int(self._limit))

    @property
    def cap(self) -> int:
        """What `value` never exceeds: all that the account may run, or this gateway's share."""
        return int(self._cap)

    def set_share(self, share: int, account: int) -> None:
        """Several gateways share the `account`'s cap: `value` never exceeds `share` from now on.

        A lower share lowers `value` with it, which grows anew. The account's cap replaces the
        ceiling, because it is lowered where any of the gateways met a 429.
        """
        self._cap, self._account_cap = float(share), float(account)
        self._limit = min(self._limit, self._cap)
        self._ceiling = self._account_cap

    @property
    def refused_at(self) -> float:
        """When the last round of 429s began; minus infinity before the first."""
        return self._refused_at

    @property
    def ceiling(self) -> int:
        """The limit below which Twilio answered the last 429."""
        return int(self._ceiling)

    def answered(
        self, latency_class: Hashable, seconds: float, now: float, *, in_flight: int, is_full: bool
    ) -> None:
        """Records an answered attempt of so many seconds.

        Latencies are compared within a `latency_class`. `in_flight` is how many requests of the
        account ran (Twilio's number where it gives one); `is_full` says that others were queued.
        """
        latency = self._latencies.setdefault(latency_class, Latency(seconds, now))
        if latency.observe(seconds, now) and now - self._slowed_at >= DECREASE_INTERVAL:
            self._slowed_at = now
            self._decrease(FLOOR)
        elif (
            is_full
            and self._limit < self._cap
            and max(self._limit, in_flight) < self._upper_bound(now)
        ):
            is_fast = not self._has_left_slow_start and self._limit < SLOW_START_THRESHOLD
            self._limit = min(self._cap, self._limit + (1.0 if is_fast else 1 / self._limit))

    def refused(self, sent_at: float, now: float, in_flight: int | None) -> None:
        """Records a 429. `in_flight` is how many requests Twilio counted, None if it does not say.

        `sent_at` is when the attempt was sent.
        """
        if sent_at < self._refused_at:
            return
        self._refused_at = now
        at = self._limit if in_flight is None else max(self._limit / 2, in_flight)
        at = min(at, self._limit)
        self._ceiling = max(1.0, at - 1)
        self._decrease(1)
        self._limit = min(self._limit, self._ceiling)

    def _upper_bound(self, now: float) -> float:
        return self._ceiling if now - self._refused_at < CEILING_SECONDS else self._account_cap

    def _decrease(self, floor: int) -> None:
        self._has_left_slow_start = True
        self._limit = max(min(float(floor), self._limit), float(int(self._limit * DECREASE_FACTOR)))


class Latency:
    """The latency of one class of requests: a moving average, and a minimum that ages slowly."""

    __slots__ = ("_average", "_minimum", "_observed_at")

    def __init__(self, seconds: float, now: float) -> None:
        self._minimum = self._average = seconds
        self._observed_at = now

    def observe(self, seconds: float, now: float) -> bool:
        """Records one latency; True when the average has become slow against the minimum."""
        minimum = self._minimum * 2 ** ((now - self._observed_at) / MINIMUM_DOUBLES_IN)
        self._minimum, self._observed_at = min(seconds, minimum), now
        self._average += (seconds - self._average) * SMOOTHING
        return self._average > self._minimum * SLOW_FACTOR + SLOW_SECONDS


class Priority(IntEnum):
    """The order in which queued requests are sent; see Note [Fair queue]."""

    MUTATION = 0
    INTERACTIVE = 1
    BULK = 2


@dataclass(eq=False, slots=True)
class Waiter:
    """A request that is queued until its slot is `granted`, and then holds the slot.

    `operation` is anything that is equal for the requests of one operation. `granted` is None where
    a slot was free at once. `granted_at` is a time of the loop's clock.
    """

    kind: str
    priority: Priority
    operation: Hashable
    granted: asyncio.Future[None] | None = None
    granted_at: float = 0.0

    @property
    def is_waiting(self) -> bool:
        """True until it is granted, dropped or cancelled."""
        return self.granted is not None and not self.granted.done()


@dataclass
class PriorityQueue:
    """The operations of one priority in round-robin order, each with its queued requests."""

    operations: OrderedDict[Hashable, OrderedDict[Waiter, None]] = field(
        default_factory=OrderedDict
    )

    def add(self, waiter: Waiter) -> None:
        self.operations.setdefault(waiter.operation, OrderedDict())[waiter] = None

    def remove(self, waiter: Waiter) -> None:
        waiters = self.operations.get(waiter.operation)
        if waiters is not None and waiter in waiters:
            del waiters[waiter]
            if not waiters:
                del self.operations[waiter.operation]

    def next(self) -> Waiter | None:
        """Takes the next request out; its operation goes to the end."""
        if not self.operations:
            return None
        operation, waiters = next(iter(self.operations.items()))
        waiter = next(iter(waiters))
        self.operations.move_to_end(operation)
        self.remove(waiter)
        return waiter

    def newest_of_longest(self) -> Waiter:
        """The request that a full queue drops."""
        longest: OrderedDict[Waiter, None] = max(self.operations.values(), key=len)
        return next(reversed(longest))

    def first_of(self, kind: str) -> Waiter | None:
        """The first request of this kind that is not granted or cancelled."""
        waiters = (waiter for waiters in self.operations.values() for waiter in waiters)
        return next(
            (waiter for waiter in waiters if waiter.kind == kind and waiter.is_waiting), None
        )


class AdmissionQueue:
    """See Note [Fair queue]. `limit` says how many requests run; at most `max_queued` wait.

    A slot blocks others once it is held for `blocked_after` seconds: see Note [Head-of-line
    blocking].
    """

    def __init__(
        self, limit: AdaptiveLimit, max_queued: int, blocked_after: float = BLOCKED_AFTER
    ) -> None:
        self.limit = limit
        self._max_queued = max_queued
        self._blocked_after = blocked_after
        self._queues = {priority: PriorityQueue() for priority in Priority}
        self._running: dict[Waiter, None] = {}
        self._waiting: Counter[str] = Counter()
        self.waiting = 0
        """How many requests are queued."""
        self._peak = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def in_flight(self) -> int:
        """How many requests hold a slot."""
        return len(self._running)

    def take_peak(self) -> int:
        """The most requests that ran and waited since the last call."""
        peak, self._peak = self._peak, self.in_flight + self.waiting
        return max(peak, self._peak)

    async def acquire(
        self, kind: str, priority: Priority, operation: Hashable, until: float
    ) -> Waiter:
        """Waits for a slot, to be given back by `release`.

        Raises UpstreamRateLimited where the queue is full, and UpstreamTimeout where no slot is
        free by `until`, a time of the loop's clock.
        """
        loop = asyncio.get_running_loop()
        waiter = Waiter(kind, priority, operation)
        self._peak = max(self._peak, len(self._running) + self.waiting + 1)
        if not self.waiting and self.in_flight < self.limit.value:
            self._grant(waiter)
            return waiter
        waiter.granted = loop.create_future()
        try:
            self._enqueue(waiter)
            async with asyncio.timeout_at(until):
                await waiter.granted
        except BaseException as error:
            self.release(waiter)
            if isinstance(error, TimeoutError):
                raise UpstreamTimeout("The request waited too long in the queue") from None
            raise
        return waiter

    def release(self, waiter: Waiter) -> None:
        """Gives the slot back."""
        if waiter in self._running:
            del self._running[waiter]
        else:
            self._dequeue(waiter)
        self.dispatch()

    def dispatch(self) -> None:
        """Grants slots while they are free. Call it when the limit or the requests change."""
        while self.waiting and self.in_flight < self.limit.value and (waiter := self._next()):
            self._grant(waiter)
        if self.waiting:
            self._bypass_blocked()
            loop = asyncio.get_running_loop()
            self._timer = self._timer or loop.call_later(self._blocked_after, self._on_timer)

    def close(self) -> None:
        """Stops the timer."""
        if self._timer:
            self._timer.cancel()

    def _enqueue(self, waiter: Waiter) -> None:
        self._queues[waiter.priority].add(waiter)
        self._count(waiter.kind, 1)
        if self.waiting > self._max_queued:
            self._drop_one()
        self.dispatch()

    def _dequeue(self, waiter: Waiter) -> None:
        queue = self._queues[waiter.priority]
        if waiter in queue.operations.get(waiter.operation, ()):
            queue.remove(waiter)
            self._count(waiter.kind, -1)

    def _drop_one(self) -> None:
        queue = next(queue for queue in reversed(self._queues.values()) if queue.operations)
        waiter = queue.newest_of_longest()
        self._dequeue(waiter)
        if waiter.granted and waiter.is_waiting:
            full = "The queue of requests to upstream is full"
            waiter.granted.set_exception(UpstreamRateLimited(full, retry_after=1.0))

    def _next(self) -> Waiter | None:
        for queue in self._queues.values():
            while (waiter := queue.next()) is not None:
                self._count(waiter.kind, -1)
                if waiter.is_waiting:  # else it was cancelled and is about to leave
                    return waiter
        return None

    def _grant(self, waiter: Waiter) -> None:
        waiter.granted_at = asyncio.get_running_loop().time()
        self._running[waiter] = None
        if waiter.granted:
            waiter.granted.set_result(None)

    def _on_timer(self) -> None:
        self._timer = None
        self.dispatch()

    def _bypass_blocked(self) -> None:
        """See Note [Head-of-line blocking]."""
        latest = asyncio.get_running_loop().time() - self._blocked_after
        running = Counter(waiter.kind for waiter in self._running)
        blocked = {waiter.kind for waiter in self._running if waiter.granted_at <= latest}
        for kind in [kind for kind, waiting in self._waiting.items() if waiting]:
            while blocked - {kind} and running[kind] < RESERVE and self.in_flight < self.limit.cap:
                waiter = self._first_of(kind)
                if waiter is None:
                    break
                self._dequeue(waiter)
                self._grant(waiter)
                running[kind] += 1

    def _first_of(self, kind: str) -> Waiter | None:
        candidates = (queue.first_of(kind) for queue in self._queues.values())
        return next((waiter for waiter in candidates if waiter), None)

    def _count(self, kind: str, by: int) -> None:
        self._waiting[kind] += by
        self.waiting += by
