"""What gateways share about live calls: events, the replay cache, idempotency records, leases.

`Store` is the contract. `MemoryStore` implements it in one process and is the default; the store
over Valkey builds on it. All data here is bounded in number and in time. This module must not know
webhooks, GraphQL or upstream.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from cachetools import TLRUCache, TTLCache

from gateway.errors import StoreUnavailable, SubscriberLagged
from gateway.live.events import CallStatusEvent, advance

__all__ = ["CLAIM_SECONDS", "Claim", "EventSubscription", "MemoryStore", "Store"]

T = TypeVar("T")
CLAIM_SECONDS = 24 * 3600.0
"""How long an idempotency key keeps its outcome."""
# A call lasts a day at most: a state without an event for this long is dropped.
STATE_SECONDS = 24 * 3600.0
MAX_CALLS = 20_000
MAX_REPLAY_KEYS = 100_000
MAX_CLAIMS = 100_000
MAX_LEASES = 10_000


@dataclass(frozen=True, slots=True)
class Claim:
    """The record of an idempotency key.

    `fingerprint` identifies the first input; `outcome` is its result, None while unknown. `is_new`
    is True when the key was free: the claimer must execute the action.
    """

    fingerprint: str
    outcome: str | None = None
    is_new: bool = False


class OfCall(Protocol):
    """What happened to a call."""

    @property
    def call_sid(self) -> str:
        """The call."""


E = TypeVar("E", bound=OfCall)


class EventSubscription(Generic[E]):
    """One subscriber's events of one call, or of all (`call_sid` None): each new state, in order.

    A slow subscriber gets only the newest state of each call: it misses states between, never the
    last. Iterate it, in one task; it ends with `close` or `end`. `limit` is the most calls that may
    wait.
    """

    __slots__ = (
        "__weakref__",
        "_end_reason",
        "_limit",
        "_on_close",
        "_pending",
        "_waiter",
        "call_sid",
    )

    def __init__(
        self,
        call_sid: str | None,
        on_close: Callable[["EventSubscription[E]"], None],
        limit: int = MAX_CALLS,
    ) -> None:
        self.call_sid = call_sid
        self._on_close = on_close
        self._limit = limit
        self._pending: OrderedDict[str, E] = OrderedDict()
        self._waiter: asyncio.Future[None] | None = None
        self._end_reason: Exception | None = None

    def deliver(self, state: E) -> None:
        """Queues a call's new state, which replaces an older one that still waits."""
        self._pending.pop(state.call_sid, None)
        if len(self._pending) >= self._limit:
            self._pending.clear()
            self.end(
                SubscriberLagged(
                    "The subscriber read too slowly and events were dropped; subscribe again"
                )
            )
        elif self._end_reason is None:
            self._pending[state.call_sid] = state
            self._wake()

    def end(self, error: Exception | None = None) -> None:
        """Ends the iteration after the waiting states, with the error if there is one."""
        self._end_reason = self._end_reason or error or StopAsyncIteration()
        self._wake()

    def close(self) -> None:
        """Drops the waiting states and ends the iteration at once."""
        self._pending.clear()
        self.end()
        self._on_close(self)

    def __enter__(self) -> "EventSubscription[E]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> "EventSubscription[E]":
        return self

    async def __anext__(self) -> E:
        """The next state. Raises SubscriberLagged when more than `limit` calls waited."""
        while not self._pending:
            if self._end_reason is not None:
                raise self._end_reason
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._pending.popitem(last=False)[1]

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Store(Protocol):
    """What gateways share. Any gateway may call any method at any time."""

    async def publish(self, event: CallStatusEvent) -> CallStatusEvent | None:
        """Publishes to every subscriber of every gateway; the new state, None if nothing is new.

        Never raises: an unreachable gateway gets the event as soon as it can be reached.
        """

    def subscribe(self, call_sid: str | None = None) -> EventSubscription[CallStatusEvent]:
        """Events of a call, or of all, from now on. For earlier ones see `state`."""

    def state(self, call_sid: str) -> CallStatusEvent | None:
        """The call's state as this gateway knows it; None without an event for a day."""

    async def add_if_new(self, key: str, seconds: float) -> bool:
        """Adds a key to the replay cache; False when a gateway added it within `seconds`."""

    async def claim(self, key: str, fingerprint: str) -> Claim:
        """Claims a free idempotency key for CLAIM_SECONDS; its record, free or not.

        Raises StoreUnavailable when the record cannot be read.
        """

    async def settle(self, key: str, fingerprint: str, outcome: str) -> None:
        """Records the outcome of a claimed action for CLAIM_SECONDS. Never raises."""

    async def release(self, key: str) -> None:
        """Frees a key whose action certainly did nothing. Never raises."""

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        """Acquires or renews a lease for `seconds` from now; False when another holder has it.

        Every gateway gets it while the store is unreachable: work is done twice, not never.
        """

    async def aclose(self) -> None:
        """Ends every subscription. No method may be called afterwards."""


class Expiring(NamedTuple, Generic[T]):
    """A value and the time at which it expires."""

    value: T
    expires_at: float


def expiring_cache(limit: int, now: Callable[[], float]) -> TLRUCache[str, Expiring[T]]:
    """At most `limit` values, each with its own time of expiry."""
    return TLRUCache(limit, _expiry, now)


def _expiry(_key: str, value: Expiring[Any], _now: float) -> float:
    return value.expires_at


class MemoryStore:
    """The store of one process. `now` is a clock in seconds; tests set it."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        max_calls: int = MAX_CALLS,
        max_claims: int = MAX_CLAIMS,
    ) -> None:
        self._now = now
        self._states: TTLCache[str, CallStatusEvent] = TTLCache(max_calls, STATE_SECONDS, now)
        self._replay_keys: TLRUCache[str, Expiring[bool]] = expiring_cache(MAX_REPLAY_KEYS, now)
        self._claims: TTLCache[str, Claim] = TTLCache(max_claims, CLAIM_SECONDS, now)
        self._leases: TLRUCache[str, Expiring[str]] = expiring_cache(MAX_LEASES, now)
        self._max_calls = max_calls
        self._subscriptions: dict[str | None, dict[EventSubscription[CallStatusEvent], None]] = {}

    async def publish(self, event: CallStatusEvent) -> CallStatusEvent | None:
        """See Store."""
        return self.apply(event)

    def apply(self, event: CallStatusEvent) -> CallStatusEvent | None:
        """Advances the call's state and delivers it to this process's subscribers."""
        state = advance(self._states.get(event.call_sid), event)
        if state is None:
            return None
        self._states.pop(state.call_sid, None)  # moves it to the end of `states`
        self._states[state.call_sid] = state
        for topic in (state.call_sid, None):
            for subscription in list(self._subscriptions.get(topic, ())):
                subscription.deliver(state)
        return state

    def subscribe(self, call_sid: str | None = None) -> EventSubscription[CallStatusEvent]:
        """See Store."""
        subscription = EventSubscription(call_sid, self._unsubscribe, self._max_calls)
        self._subscriptions.setdefault(call_sid, {})[subscription] = None
        return subscription

    def state(self, call_sid: str) -> CallStatusEvent | None:
        """See Store."""
        return self._states.get(call_sid)

    def states(self) -> Iterable[CallStatusEvent]:
        """The states of all calls, the last changed one last."""
        return list(self._states.values())

    async def add_if_new(self, key: str, seconds: float) -> bool:
        """See Store."""
        is_new = key not in self._replay_keys
        if is_new:
            self._replay_keys[key] = Expiring(True, self._now() + seconds)
        return is_new

    async def claim(self, key: str, fingerprint: str) -> Claim:
        """See Store. Evicts no key: raises StoreUnavailable when all keys are in use."""
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
        current = self._leases.get(name)
        is_free = current is None or current.value == holder
        if is_free:
            self._leases[name] = Expiring(holder, self._now() + seconds)
        return is_free

    async def aclose(self) -> None:
        """See Store."""
        for subscriptions in list(self._subscriptions.values()):
            for subscription in list(subscriptions):
                subscription.close()

    def _unsubscribe(self, subscription: EventSubscription[CallStatusEvent]) -> None:
        subscriptions = self._subscriptions.get(subscription.call_sid, {})
        subscriptions.pop(subscription, None)
        if not subscriptions:
            self._subscriptions.pop(subscription.call_sid, None)
