"""The way upstream of each credential: the gateway's own, and in passthrough one for each caller's.

A client, what it keeps in flight and what the planner has learned of the account are of one
credential; nothing of them is shared with another. Live calls and idempotency keys are the
account's: members of it share them (upstream.credential_check, Note [Standing]). This module must
not know how a client is made, nor how a credential is presented.

Note [Made-up credentials]. Anybody can make one up. So a credential has a client only when
something is to be sent with it; it takes a place among those that are kept once upstream has
accepted it, and no sooner; those that it has not, or no longer, have few places of their own. Each
use of such a one takes a try from its account SID and from the address that it comes from, and
gives both back unless upstream refuses it. So made-up credentials crowd out none that is accepted,
and a guesser has TRIES_OF_AN_ACCOUNT, then one in SECONDS_FOR_A_TRY.

Note [Closed in the background]. A client that has lost its place is closed when nobody uses it any
more, in a task of its own: whoever came in its place does not wait for what it has begun, and does
not cancel that by leaving.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any

from gateway.access import Account
from gateway.access.rate_limit import RateLimiter
from gateway.errors import RateLimited, UpstreamError
from gateway.live.idempotency import IdempotentExecutor, Running
from gateway.live.snapshots import ResultCoalescer
from gateway.live.store import Store
from gateway.live.subscriptions import CallUpdate, SubscriberSlots, SubscriptionManager, for_members
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

TRIES_OF_AN_ACCOUNT, SECONDS_FOR_A_TRY = 100, 6.0
# Many tenants may come through one proxy, all at once after a restart.
TRIES_OF_AN_ADDRESS, SECONDS_FOR_A_TRY_THERE = 200, 1.0
UNPROVEN_IN_USE = 200
UNPROVEN_AT_REST = 32


class AccountClient:
    """One credential's client, the costs learned with it, and its account's live calls.

    The store is opened, and polling begins, with `begin`, or when one of them is first used.
    `standing` is None where the credential is the gateway's own. Close with `aclose`.
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
        self.results: ResultCoalescer[Any] = ResultCoalescer()
        self.running = Running()
        self.users = 0
        self.is_kept = True
        self._stores = stores
        self._slots = slots
        self._now = now
        self._proof = proof
        self._polling: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Hears of live calls from now on, and polls for whoever watches."""
        _ = self.subscriptions

    @property
    def is_accepted(self) -> bool:
        """True when upstream took the credential when it was last asked with it."""
        return self._proof is None or self._proof.is_accepted

    @property
    def is_refused(self) -> bool:
        """True when upstream refused the credential when it was last asked with it."""
        return self._proof is not None and self._proof.is_refused

    @cached_property
    def store(self) -> Store:
        """The account's."""
        return self._stores.open(self.client.account_sid)

    @cached_property
    def idempotent(self) -> IdempotentExecutor:
        """Those under the account's idempotency keys."""
        return IdempotentExecutor(self.store, self.running)

    @cached_property
    def subscriptions(self) -> SubscriptionManager:
        """Who watches with this credential; it polls from now on."""
        subscriptions = SubscriptionManager.of(self.client, self.store, self._slots, self._now)
        self._polling = asyncio.ensure_future(subscriptions.run())
        return subscriptions

    async def enter(self, until: float | None = None) -> None:
        """See LiveAccount."""
        if self._proof is not None:
            newest = ListCalls(page_size=1)
            await self._proof.require(
                lambda: self.client.page(newest, None, RequestContext(self, until=until))
            )

    async def recent_call(self, sid: str, until: float | None = None) -> CallResource | None:
        """See LiveAccount. Nothing is asked for a credential that upstream never took."""
        found = self.subscriptions.recent_call(sid) if self.is_accepted else None
        if found is None:
            return None
        try:
            await self.enter(until)
        except UpstreamError:
            return None
        return found

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
        return for_members(watch, self.enter, self._proof.until_refused)

    async def aclose(self) -> None:
        """Lets acts that have begun end, then closes store and client."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        await self.running.aclose()
        if "store" in vars(self):
            await self._stores.close(self.client.account_sid)
        await self.client.aclose()


class AttemptLimiter:
    """How often what upstream does not accept is tried; see Note [Made-up credentials]."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._accounts = RateLimiter(
            1 / SECONDS_FOR_A_TRY,
            TRIES_OF_AN_ACCOUNT,
            clock,
            words="Too many credentials of this account were refused",
        )
        self._addresses = RateLimiter(
            1 / SECONDS_FOR_A_TRY_THERE,
            TRIES_OF_AN_ADDRESS,
            clock,
            words="Too many credentials from this address were refused",
        )

    def take(self, account_sid: str, address: str | None) -> None:
        """One try. Raises RateLimited."""
        self._accounts.take(account_sid)
        if address is not None:
            try:
                self._addresses.take(address)
            except RateLimited:
                self._accounts.give_back(account_sid)
                raise

    def give_back(self, account_sid: str, address: str | None) -> None:
        """It was not refused."""
        self._accounts.give_back(account_sid)
        if address is not None:
            self._addresses.give_back(address)


class AccountClientPool:
    """Upstreams by credential, made when first used; of those accepted the `most` used last stay.

    See Note [Made-up credentials] and Note [Closed in the background]. Close with `aclose`.
    """

    def __init__(
        self,
        make: Callable[[Account], AccountClient],
        most: int,
        tries: AttemptLimiter | None = None,
    ) -> None:
        self._make = make
        self._most = most
        self._most_at_rest = UNPROVEN_AT_REST
        self._tries = tries or AttemptLimiter()
        self._accepted: OrderedDict[str, AccountClient] = OrderedDict()
        self._unproven: OrderedDict[str, AccountClient] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    @contextmanager
    def upstream(self, account: Account, address: str | None = None) -> Iterator[AccountClient]:
        """The credential's upstream, which is not closed before this use of it ends.

        `address` is where the caller asks from, None where that is not known. Raises RateLimited.
        """
        self._keep_what_was_accepted()
        upstream = self._accepted.get(account.digest)
        is_try = upstream is None
        if upstream is None:
            upstream = self._try(account, address)
        else:
            self._accepted.move_to_end(account.digest)
        upstream.users += 1
        try:
            yield upstream
        finally:
            upstream.users -= 1
            if is_try and not upstream.is_refused:
                self._tries.give_back(account.sid, address)
            if upstream.is_refused and self._accepted.get(account.digest) is upstream:
                self._unproven[account.digest] = self._accepted.pop(account.digest)
            if not upstream.is_kept and not upstream.users:
                self._close(upstream)
            self._keep_what_was_accepted()

    async def aclose(self) -> None:
        """Closes every client that is not in use; the others close when they are not."""
        self._most = self._most_at_rest = 0
        self._keep_what_was_accepted()
        if self._closing:
            await asyncio.wait(self._closing)

    def _try(self, account: Account, address: str | None) -> AccountClient:
        """The upstream of a credential that is not accepted, or not any more."""
        self._tries.take(account.sid, address)
        upstream = self._unproven.pop(account.digest, None)
        if upstream is None:
            if sum(other.users > 0 for other in self._unproven.values()) >= UNPROVEN_IN_USE:
                self._tries.give_back(account.sid, address)
                raise RateLimited("Too many credentials are tried at once that are not known", 1)
            upstream = self._make(account)
        self._unproven[account.digest] = upstream
        return upstream

    def _keep_what_was_accepted(self) -> None:
        """Each to its place by what upstream said meanwhile; whoever has none is closed."""
        for digest, upstream in list(self._unproven.items()):
            if upstream.is_accepted:
                self._accepted[digest] = self._unproven.pop(digest)
        while len(self._accepted) > self._most:
            _, oldest = self._accepted.popitem(last=False)
            oldest.is_kept = False
            if not oldest.users:
                self._close(oldest)
        at_rest = [digest for digest, upstream in self._unproven.items() if not upstream.users]
        for digest in at_rest[: max(len(at_rest) - self._most_at_rest, 0)]:
            self._close(self._unproven.pop(digest))

    def _close(self, upstream: AccountClient) -> None:
        closing = asyncio.ensure_future(upstream.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
