"""One client for each credential: the gateway's own, and in passthrough one for each caller's.

Connections, requests in flight and the planner's statistics are kept per credential; credentials
never share them. Live calls and idempotency keys belong to the account: all its accepted
credentials share them (upstream.credential_check, Note [Acceptance]). This module must not know how
a client is made, nor how a credential is presented.

Note [Made-up credentials]. Anybody can make up a credential. So the pool makes a client only when
an operation has to send a request with it. It keeps clients of accepted credentials apart from
unproven ones: those that upstream has not accepted yet, or refuses now. Unproven clients have few
places. Each use of one takes an attempt from its account SID and from its address, and both are
refunded unless upstream refuses the credential. So made-up credentials never evict an accepted
one, and an attacker has ATTEMPTS_PER_ACCOUNT guesses, then one every ACCOUNT_ATTEMPT_INTERVAL
seconds.

Note [Closed in the background]. A task of its own closes an evicted client once nobody uses it. So
the operation that caused the eviction does not wait for the client's running mutations, and cannot
cancel them by being cancelled itself.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import (
    AsyncGenerator,
    Callable,
    Hashable,
    Iterator,
    MutableMapping,
    Sequence,
)
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

from gateway.access import Account
from gateway.access.rate_limit import RateLimiter
from gateway.errors import RateLimited, UpstreamError
from gateway.live.idempotency import IdempotentExecutor, RunningMutations
from gateway.live.snapshots import ResultCoalescer
from gateway.live.store import Store
from gateway.live.subscriptions import (
    CallUpdate,
    SubscriberSlots,
    SubscriptionManager,
    for_accepted_credentials,
)
from gateway.planner import Costs
from gateway.server.account_stores import AccountStores
from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.client import UpstreamClient, utc_now
from gateway.upstream.credential_check import CredentialCheck
from gateway.upstream.pipeline import RequestContext

__all__ = [
    "AccountClient",
    "AccountClientPool",
    "AttemptLimiter",
]

ATTEMPTS_PER_ACCOUNT, ACCOUNT_ATTEMPT_INTERVAL = 100, 6.0
# Many tenants may share one proxy and reconnect at once after a restart.
ATTEMPTS_PER_ADDRESS, ADDRESS_ATTEMPT_INTERVAL = 200, 1.0
MAX_UNPROVEN_IN_USE = 200
MAX_UNPROVEN_IDLE = 32


class AccountClient:
    """One credential's client, the costs learned with it, and its account's live calls.

    `operations` and `results` are those of subscriptions (event_results, Note [One execution for
    all]). The store opens and polling starts with `start`, or on first use. `proof` is None for the
    gateway's own credential. Close with `aclose`.
    """

    def __init__(
        self,
        client: UpstreamClient,
        stores: AccountStores,
        slots: SubscriberSlots,
        now: Callable[[], datetime] = utc_now,
        proof: CredentialCheck | None = None,
    ) -> None:
        self.client = client
        self.costs = Costs()
        self.operations: MutableMapping[Hashable, Any] = WeakValueDictionary()
        self.results: ResultCoalescer[Any] = ResultCoalescer()
        self.mutations = RunningMutations()
        self.users = 0
        self.is_evicted = False
        self._stores = stores
        self._slots = slots
        self._now = now
        self._proof = proof
        self._polling: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts to receive events of live calls, and to poll for subscribers."""
        _ = self.subscriptions

    @property
    def is_accepted(self) -> bool:
        """True if upstream accepted the credential when it last judged it."""
        return self._proof is None or self._proof.is_accepted

    @property
    def is_refused(self) -> bool:
        """True if upstream refused the credential when it last judged it."""
        return self._proof is not None and self._proof.is_refused

    @cached_property
    def store(self) -> Store:
        """The account's store."""
        return self._stores.open(self.client.account_sid)

    @cached_property
    def idempotent(self) -> IdempotentExecutor:
        """Runs mutations under the account's idempotency keys."""
        return IdempotentExecutor(self.store, self.mutations)

    @cached_property
    def subscriptions(self) -> SubscriptionManager:
        """The subscriptions of this credential. The first use starts polling."""
        subscriptions = SubscriptionManager.of(self.client, self.store, self._slots, self._now)
        self._polling = asyncio.ensure_future(subscriptions.run())
        return subscriptions

    async def require_membership(self, until: float | None = None) -> None:
        """See LiveAccount."""
        if self._proof is not None:
            newest = ListCalls(page_size=1)
            await self._proof.require(
                lambda: self.client.page(newest, None, RequestContext(self, until=until))
            )

    async def recent_call(self, sid: str, until: float | None = None) -> CallResource | None:
        """See LiveAccount. A credential that upstream never accepted sends no request."""
        call = self.subscriptions.recent_call(sid) if self.is_accepted else None
        if call is None:
            return None
        try:
            await self.require_membership(until)
        except UpstreamError:
            return None
        return call

    def watch_call(self, sid: str) -> AsyncGenerator[CallUpdate, None]:
        """See LiveAccount."""
        return self._watch(lambda: self.subscriptions.call(sid))

    def watch_calls(self, lists: Sequence[ListCalls]) -> AsyncGenerator[CallUpdate, None]:
        """See LiveAccount."""
        return self._watch(lambda: self.subscriptions.calls(lists))

    def _watch(
        self, watch: Callable[[], AsyncGenerator[CallUpdate, None]]
    ) -> AsyncGenerator[CallUpdate, None]:
        if self._proof is None:
            return watch()
        return for_accepted_credentials(watch, self.require_membership, self._proof.until_refused)

    async def aclose(self) -> None:
        """Waits for running mutations, then closes the store and the client."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        await self.mutations.aclose()
        if "store" in vars(self):
            await self._stores.close(self.client.account_sid)
        await self.client.aclose()


class AttemptLimiter:
    """Limits attempts with unproven credentials; see Note [Made-up credentials]."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._accounts = RateLimiter(
            1 / ACCOUNT_ATTEMPT_INTERVAL,
            ATTEMPTS_PER_ACCOUNT,
            clock,
            message="Too many credentials of this account were refused",
        )
        self._addresses = RateLimiter(
            1 / ADDRESS_ATTEMPT_INTERVAL,
            ATTEMPTS_PER_ADDRESS,
            clock,
            message="Too many credentials from this address were refused",
        )

    def take(self, account_sid: str, address: str | None) -> None:
        """Counts one attempt. Raises RateLimited."""
        self._accounts.take(account_sid)
        if address is not None:
            try:
                self._addresses.take(address)
            except RateLimited:
                self._accounts.refund(account_sid)
                raise

    def refund(self, account_sid: str, address: str | None) -> None:
        """Undoes one `take`: upstream did not refuse the credential."""
        self._accounts.refund(account_sid)
        if address is not None:
            self._addresses.refund(address)


class AccountClientPool:
    """Clients by credential, made on first use. It keeps `max_accepted` accepted ones (LRU).

    See Note [Made-up credentials] and Note [Closed in the background]. Close with `aclose`.
    """

    def __init__(
        self,
        make: Callable[[Account], AccountClient],
        max_accepted: int,
        attempts: AttemptLimiter | None = None,
    ) -> None:
        self._make = make
        self._max_accepted = max_accepted
        self._max_idle = MAX_UNPROVEN_IDLE
        self._attempts = attempts or AttemptLimiter()
        self._accepted: OrderedDict[str, AccountClient] = OrderedDict()
        self._unproven: OrderedDict[str, AccountClient] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    @contextmanager
    def lease(self, account: Account, address: str | None = None) -> Iterator[AccountClient]:
        """Lends the credential's client, which stays open until the context ends.

        `address` is the caller's, or None if it is unknown. Raises RateLimited.
        """
        self._sort_and_evict()
        client = self._accepted.get(account.digest)
        is_attempt = client is None
        if client is None:
            client = self._unproven_client(account, address)
        else:
            self._accepted.move_to_end(account.digest)
        client.users += 1
        try:
            yield client
        finally:
            client.users -= 1
            if is_attempt and not client.is_refused:
                self._attempts.refund(account.sid, address)
            if client.is_refused and self._accepted.get(account.digest) is client:
                self._unproven[account.digest] = self._accepted.pop(account.digest)
            if client.is_evicted and not client.users:
                self._close(client)
            self._sort_and_evict()

    def clients(self) -> list[AccountClient]:
        """The clients that it keeps."""
        return [*self._accepted.values(), *self._unproven.values()]

    async def aclose(self) -> None:
        """Closes idle clients now, and clients in use when their last use ends."""
        self._max_accepted = self._max_idle = 0
        self._sort_and_evict()
        if self._closing:
            await asyncio.wait(self._closing)

    def _unproven_client(self, account: Account, address: str | None) -> AccountClient:
        """The client of a credential that upstream has not accepted, or refuses now."""
        self._attempts.take(account.sid, address)
        client = self._unproven.pop(account.digest, None)
        if client is None:
            if sum(other.users > 0 for other in self._unproven.values()) >= MAX_UNPROVEN_IN_USE:
                self._attempts.refund(account.sid, address)
                raise RateLimited("Too many unproven credentials are in use at once", 1)
            client = self._make(account)
        self._unproven[account.digest] = client
        return client

    def _sort_and_evict(self) -> None:
        """Moves newly accepted clients to their place and closes the clients beyond the limits."""
        for digest, client in list(self._unproven.items()):
            if client.is_accepted:
                self._accepted[digest] = self._unproven.pop(digest)
        while len(self._accepted) > self._max_accepted:
            _, oldest = self._accepted.popitem(last=False)
            oldest.is_evicted = True
            if not oldest.users:
                self._close(oldest)
        idle = [digest for digest, client in self._unproven.items() if not client.users]
        for digest in idle[: max(len(idle) - self._max_idle, 0)]:
            self._close(self._unproven.pop(digest))

    def _close(self, client: AccountClient) -> None:
        closing = asyncio.ensure_future(client.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
