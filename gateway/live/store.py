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
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from cachetools import TLRUCache, TTLCache

from gateway.errors import GatewayError, StoreUnavailable, SubscriberLagged
from gateway.live.events import CallStatusEvent, advance

__all__ = ["CLAIM_SECONDS", "Claim", "EventSubscription", "MemoryStore", "Store"]

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


class EventSubscription:
    """One subscriber's news of one call, or of all (`call_sid` None): states that differ, in order.

    A slow subscriber finds the newest state of each call: it misses what lay between, never the
    last. Iterate it; it ends with `close` or `end`.
    """

    def __init__(
        self,
        call_sid: str | None,
        leave: Callable[["EventSubscription"], None],
        limit: int = MAX_CALLS,
    ) -> None:
        self.call_sid = call_sid
        self._leave = leave
        self._limit = limit
        self._waiting: OrderedDict[str, CallStatusEvent] = OrderedDict()
        self._news = asyncio.Event()
        self._ending: Exception | None = None

    def tell(self, state: CallStatusEvent) -> None:
        """A call's new state, in the place of one that was not taken yet."""
        self._waiting.pop(state.call_sid, None)
        if len(self._waiting) >= self._limit:
            self._waiting.clear()
            self.end(SubscriberLagged("More calls have changed than were read; subscribe again"))
        elif self._ending is None:
            self._waiting[state.call_sid] = state
            self._news.set()

    def end(self, error: GatewayError | None = None) -> None:
        """Nothing will follow: what waits is still told, then the error is raised, if any."""
        self._ending = self._ending or error or StopAsyncIteration()
        self._news.set()

    def close(self) -> None:
        """No more news, and whoever waits for some stops waiting."""
        self._waiting.clear()
        self.end()
        self._leave(self)

    def __enter__(self) -> "EventSubscription":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> "EventSubscription":
        return self

    async def __anext__(self) -> CallStatusEvent:
        """The next state. Raises SubscriberLagged when more calls changed than are kept."""
        while not self._waiting:
            if self._ending is not None:
                raise self._ending
            self._news.clear()
            await self._news.wait()
        return self._waiting.popitem(last=False)[1]


class Store(Protocol):
    """What gateways share. Every method may be called from any of them at any time."""

    async def publish(self, event: CallStatusEvent) -> CallStatusEvent | None:
        """Tells every subscriber of every gateway; the new state, None when nothing is new.

        Never raises: where the others cannot be reached they hear of it as soon as they can.
        """

    def subscribe(self, call_sid: str | None = None) -> EventSubscription:
        """News of a call, or of all. What happened before is not repeated: see `state`."""

    def state(self, call_sid: str) -> CallStatusEvent | None:
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

    async def aclose(self) -> None:
        """Ends every subscription; nothing may be asked afterwards."""


class Lasting(NamedTuple, Generic[T]):
    """A value, and the moment at which it ends."""

    value: T
    until: float


def lasting(limit: int, now: Callable[[], float]) -> TLRUCache[str, Lasting[T]]:
    """At most `limit` values that each end at a moment of their own."""
    return TLRUCache(limit, _end_of, now)


def _end_of(_key: str, kept: Lasting[Any], _now: float) -> float:
    return kept.until


class MemoryStore:
    """The store of one process. `now` is a clock in seconds, for tests."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        max_calls: int = MAX_CALLS,
        max_claims: int = MAX_CLAIMS,
    ) -> None:
        self._now = now
        self._states: TTLCache[str, CallStatusEvent] = TTLCache(max_calls, STATE_SECONDS, now)
        self._memories: TLRUCache[str, Lasting[bool]] = lasting(MAX_MEMORIES, now)
        self._claims: TTLCache[str, Claim] = TTLCache(max_claims, CLAIM_SECONDS, now)
        self._leases: TLRUCache[str, Lasting[str]] = lasting(MAX_LEASES, now)
        self._max_calls = max_calls
        self._subscriptions: dict[str | None, dict[EventSubscription, None]] = {}

    async def publish(self, event: CallStatusEvent) -> CallStatusEvent | None:
        """See Store."""
        return self.take(event)

    def take(self, event: CallStatusEvent) -> CallStatusEvent | None:
        """The notice, into the call's state and to this process's subscribers."""
        state = advance(self._states.get(event.call_sid), event)
        if state is None:
            return None
        self._states.pop(state.call_sid, None)  # to the end of `states`
        self._states[state.call_sid] = state
        for whose in (state.call_sid, None):
            for subscription in list(self._subscriptions.get(whose, ())):
                subscription.tell(state)
        return state

    def subscribe(self, call_sid: str | None = None) -> EventSubscription:
        """See Store."""
        subscription = EventSubscription(call_sid, self._leave, self._max_calls)
        self._subscriptions.setdefault(call_sid, {})[subscription] = None
        return subscription

    def state(self, call_sid: str) -> CallStatusEvent | None:
        """See Store."""
        return self._states.get(call_sid)

    def states(self) -> Iterable[CallStatusEvent]:
        """The states of all calls, the one that changed last at the end."""
        return list(self._states.values())

    async def remember(self, key: str, seconds: float) -> bool:
        """See Store."""
        is_new = key not in self._memories
        if is_new:
            self._memories[key] = Lasting(True, self._now() + seconds)
        return is_new

    async def claim(self, key: str, fingerprint: str) -> Claim:
        """See Store. No outcome makes room for another: when all keys are taken, it raises."""
        claim = self._claims.get(key)
        if claim is not None:
            return claim
        if len(self._claims) >= self._claims.maxsize:
            raise StoreUnavailable("Too many idempotency keys are in use; nothing was sent")
        self._claims[key] = Claim(fingerprint)
        return Claim(fingerprint, is_new=True)

    async def settle(self, key: str, fingerprint: str, outcome: str) -> None:
        """See Store."""
        self._claims[key] = Claim(fingerprint, outcome)

    async def release(self, key: str) -> None:
        """See Store."""
        self._claims.pop(key, None)

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """See Store."""
        held = self._leases.get(name)
        has_it = held is None or held.value == holder
        if has_it:
            self._leases[name] = Lasting(holder, self._now() + seconds)
        return has_it

    async def aclose(self) -> None:
        """See Store."""
        for subscriptions in list(self._subscriptions.values()):
            for subscription in list(subscriptions):
                subscription.close()

    def _leave(self, subscription: EventSubscription) -> None:
        fellows = self._subscriptions.get(subscription.call_sid, {})
        fellows.pop(subscription, None)
        if not fellows:
            self._subscriptions.pop(subscription.call_sid, None)
