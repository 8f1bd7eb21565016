"""What gateways share about live calls: notices, replay memory, idempotency records, leases.

`Store` is the contract. `MemoryStore` keeps it within one process and is the default; the store
over Valkey builds on it. Everything kept here is bounded in number and in time. This module must
not know webhooks, GraphQL or upstream.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from gateway.errors import FellBehind, GatewayError, StoreUnavailable
from gateway.live.events import CallNotice, advance

__all__ = ["CLAIM_SECONDS", "Claim", "MemoryStore", "Store", "Subscription"]

T = TypeVar("T")
CLAIM_SECONDS = 24 * 3600.0
"""How long an idempotency key keeps its outcome."""
# A call lasts a day at most; past this time without news its state is forgotten.
STATE_SECONDS = 24 * 3600.0
MAX_CALLS = 20_000
MAX_MEMORIES = 100_000
MAX_CLAIMS = 100_000
MAX_LEASES = 10_000


@dataclass(frozen=True, slots=True)
class Claim:
    """What an idempotency key stands for.

    `fingerprint` is that of the input that was given first; `outcome` what came of it, None while
    that is not known; `is_new` tells that the key was free: whoever claimed it has to act.
    """

    fingerprint: str
    outcome: str | None = None
    is_new: bool = False


class Subscription:
    """One subscriber's news of one call, or of all (`call_sid` None): states that differ, in order.

    A slow subscriber finds the newest state of each call: it misses what lay between, never the
    last. Iterate it; it ends with `close` or `end`.
    """

    def __init__(
        self, call_sid: str | None, leave: Callable[["Subscription"], None], limit: int = MAX_CALLS
    ) -> None:
        self.call_sid = call_sid
        self._leave = leave
        self._limit = limit
        self._waiting: OrderedDict[str, CallNotice] = OrderedDict()
        self._news = asyncio.Event()
        self._ending: Exception | None = None

    def tell(self, state: CallNotice) -> None:
        """A call's new state, in the place of one that was not taken yet."""
        self._waiting.pop(state.call_sid, None)
        if len(self._waiting) >= self._limit:
            self._waiting.clear()
            self.end(FellBehind("More calls have changed than were read; subscribe again"))
        elif self._ending is None:
            self._waiting[state.call_sid] = state
            self._news.set()

    @property
    def is_waiting(self) -> bool:
        """True when there is a state that was not taken yet."""
        return bool(self._waiting)

    def end(self, error: GatewayError | None = None) -> None:
        """Nothing will follow: what waits is still told, then the error is raised, if any."""
        self._ending = self._ending or error or StopAsyncIteration()
        self._news.set()

    def close(self) -> None:
        """No more news, and whoever waits for some stops waiting."""
        self._waiting.clear()
        self.end()
        self._leave(self)

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> CallNotice:
        """The next state. Raises FellBehind when more calls changed than a store remembers."""
        while not self._waiting:
            if self._ending is not None:
                raise self._ending
            self._news.clear()
            await self._news.wait()
        return self._waiting.popitem(last=False)[1]


class Store(Protocol):
    """What gateways share. Every method may be called from any of them at any time."""

    async def publish(self, notice: CallNotice) -> CallNotice | None:
        """Tells every subscriber of every gateway; the new state, None when nothing is new.

        Never raises: where the others cannot be reached they hear of it as soon as they can.
        """

    def subscribe(self, call_sid: str | None = None) -> Subscription:
        """News of a call, or of all. What happened before is not repeated: see `state`."""

    def state(self, call_sid: str) -> CallNotice | None:
        """The furthest that this gateway has heard of a call, if lately."""

    async def remember(self, key: str, seconds: float) -> bool:
        """True the first time that any gateway is told this key within so many seconds."""

    async def claim(self, key: str, fingerprint: str) -> Claim:
        """What an idempotency key stands for; a free one is taken for CLAIM_SECONDS.

        Raises StoreUnavailable where that cannot be known.
        """

    async def settle(self, key: str, fingerprint: str, outcome: str) -> None:
        """Notes what came of the act that `claim` allowed, for CLAIM_SECONDS. Never raises."""

    async def release(self, key: str) -> None:
        """Frees a key whose act certainly did not happen. Never raises."""

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """True when `holder` has the lease, newly or still: then for so many seconds from now.

        Where the others cannot be reached everybody has it: work done twice, not never.
        """

    async def end_lease(self, name: str, holder: str) -> None:
        """Gives the lease back, if `holder` has it."""

    async def aclose(self) -> None:
        """Ends every subscription; nothing may be asked afterwards."""


class Expiring(Generic[T]):
    """A bounded dict whose entries end; the oldest makes room."""

    def __init__(self, limit: int, now: Callable[[], float]) -> None:
        self._limit = limit
        self._now = now
        self._entries: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def get(self, key: str) -> T | None:
        """The value, None when there is none or its time is over."""
        until, value = self._entries.get(key, (0.0, None))
        return value if until > self._now() else None

    def put(self, key: str, value: T, seconds: float) -> None:
        """Keeps the value for so many seconds."""
        self._entries.pop(key, None)
        self._make_room()
        self._entries[key] = (self._now() + seconds, value)

    def drop(self, key: str) -> None:
        """Forgets the entry."""
        self._entries.pop(key, None)

    def is_full(self) -> bool:
        """True when the oldest entry would have to make room for another."""
        self._drop_ended()
        return len(self._entries) >= self._limit

    def values(self) -> Iterable[T]:
        """All, the oldest first."""
        return [value for until, value in self._entries.values() if until > self._now()]

    def _drop_ended(self) -> None:
        while self._entries and next(iter(self._entries.values()))[0] <= self._now():
            self._entries.popitem(last=False)

    def _make_room(self) -> None:
        if self.is_full():
            self._entries.popitem(last=False)


class MemoryStore:
    """The store of one process. `now` is a clock in seconds, for tests."""

    def __init__(
        self, now: Callable[[], float] = time.monotonic, max_calls: int = MAX_CALLS
    ) -> None:
        self._states: Expiring[CallNotice] = Expiring(max_calls, now)
        self._memories: Expiring[bool] = Expiring(MAX_MEMORIES, now)
        self._claims: Expiring[Claim] = Expiring(MAX_CLAIMS, now)
        self._leases: Expiring[str] = Expiring(MAX_LEASES, now)
        self._max_calls = max_calls
        self._subscriptions: dict[str | None, dict[Subscription, None]] = {}

    async def publish(self, notice: CallNotice) -> CallNotice | None:
        """See Store."""
        return self.take(notice)

    def take(self, notice: CallNotice) -> CallNotice | None:
        """The notice, into the call's state and to this process's subscribers."""
        state = advance(self._states.get(notice.call_sid), notice)
        if state is None:
            return None
        self._states.put(state.call_sid, state, STATE_SECONDS)
        for whose in (state.call_sid, None):
            for subscription in list(self._subscriptions.get(whose, ())):
                subscription.tell(state)
        return state

    def subscribe(self, call_sid: str | None = None) -> Subscription:
        """See Store."""
        subscription = Subscription(call_sid, self._leave, self._max_calls)
        self._subscriptions.setdefault(call_sid, {})[subscription] = None
        return subscription

    def state(self, call_sid: str) -> CallNotice | None:
        """See Store."""
        return self._states.get(call_sid)

    def states(self) -> Iterable[CallNotice]:
        """The states of all calls, the one that changed last at the end."""
        return self._states.values()

    async def remember(self, key: str, seconds: float) -> bool:
        """See Store."""
        is_new = self._memories.get(key) is None
        if is_new:
            self._memories.put(key, True, seconds)
        return is_new

    async def claim(self, key: str, fingerprint: str) -> Claim:
        """See Store. No outcome makes room for another: when all keys are taken, it raises."""
        claim = self._claims.get(key)
        if claim is not None:
            return claim
        if self._claims.is_full():
            raise StoreUnavailable("Too many idempotency keys are in use; nothing was sent")
        self._claims.put(key, Claim(fingerprint), CLAIM_SECONDS)
        return Claim(fingerprint, is_new=True)

    async def settle(self, key: str, fingerprint: str, outcome: str) -> None:
        """See Store."""
        self._claims.put(key, Claim(fingerprint, outcome), CLAIM_SECONDS)

    async def release(self, key: str) -> None:
        """See Store."""
        self._claims.drop(key)

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """See Store."""
        has_it = self._leases.get(name) in (None, holder)
        if has_it:
            self._leases.put(name, holder, seconds)
        return has_it

    async def end_lease(self, name: str, holder: str) -> None:
        """See Store."""
        if self._leases.get(name) == holder:
            self._leases.drop(name)

    async def aclose(self) -> None:
        """See Store."""
        for subscriptions in list(self._subscriptions.values()):
            for subscription in list(subscriptions):
                subscription.close()

    def _leave(self, subscription: Subscription) -> None:
        fellows = self._subscriptions.get(subscription.call_sid, {})
        fellows.pop(subscription, None)
        if not fellows:
            self._subscriptions.pop(subscription.call_sid, None)
