"""The way upstream of each credential: the gateway's own, and in passthrough one for each caller's.

A client, what it keeps in flight and what the planner has learned of the account are of one
credential; nothing of them is shared with another. Live calls and idempotency keys are the
account's: members of it share them (upstream.standing, Note [Standing]). This module must not know
how a client is made.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from gateway.app.account_stores import AccountStores
from gateway.errors import UpstreamError
from gateway.live.members import for_members
from gateway.live.once import Acts, Running
from gateway.live.seats import Seats
from gateway.live.shared import Shared
from gateway.live.store import MemoryStore, Store
from gateway.live.watching import Update, Watching
from gateway.planner import Costs
from gateway.upstream.client import UpstreamClient, utc_now
from gateway.upstream.delivery import Caller
from gateway.upstream.requests import ListCalls
from gateway.upstream.resources import CallResource
from gateway.upstream.standing import Standing

__all__ = ["Upstream"]

MANY = 10_000


class Upstream:
    """One credential's client, the costs learned with it, and its account's live calls.

    The store is opened, and polling begins, with `begin`, or when one of them is first used.
    `standing` is None where the credential is the gateway's own. Close with `aclose`.
    """

    def __init__(
        self,
        client: UpstreamClient,
        stores: AccountStores | None = None,
        seats: Seats | None = None,
        now: Callable[[], datetime] = utc_now,
        standing: Standing | None = None,
    ) -> None:
        self.client = client
        self.costs = Costs()
        self.results: Shared[Any] = Shared()
        self.running = Running()
        self.users = 0
        self.is_kept = True
        self._stores = stores or AccountStores(lambda _: MemoryStore())
        self._seats = seats or Seats(MANY)
        self._now = now
        self._standing = standing
        self._polling: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Hears of live calls from now on, and polls for whoever watches."""
        _ = self.watching

    @property
    def is_accepted(self) -> bool:
        """True when upstream took the credential when it was last asked with it."""
        return self._standing is None or self._standing.is_accepted

    @property
    def is_refused(self) -> bool:
        """True when upstream refused the credential when it was last asked with it."""
        return self._standing is not None and self._standing.is_refused

    @cached_property
    def store(self) -> Store:
        """The account's."""
        return self._stores.open(self.client.account_sid)

    @cached_property
    def acts(self) -> Acts:
        """Those under the account's idempotency keys."""
        return Acts(self.store, self.running)

    @cached_property
    def watching(self) -> Watching:
        """Who watches with this credential; it polls from now on."""
        watching = Watching.of(self.client, self.store, self._seats, self._now)
        self._polling = asyncio.ensure_future(watching.run())
        return watching

    async def enter(self, until: float | None = None) -> None:
        """See LiveAccount."""
        if self._standing is not None:
            newest = ListCalls(page_size=1)
            await self._standing.require(
                lambda: self.client.page(newest, None, Caller(self, until=until))
            )

    async def heard(self, sid: str, until: float | None = None) -> CallResource | None:
        """See LiveAccount. Nothing is asked for a credential that upstream never took."""
        found = self.watching.heard(sid) if self.is_accepted else None
        if found is None:
            return None
        try:
            await self.enter(until)
        except UpstreamError:
            return None
        return found

    def watch_call(self, sid: str) -> AsyncGenerator[Update, None]:
        """See LiveAccount."""
        return self._watch(lambda: self.watching.call(sid))

    def watch_calls(self, lists: Sequence[ListCalls]) -> AsyncGenerator[Update, None]:
        """See LiveAccount."""
        return self._watch(lambda: self.watching.calls(lists))

    def _watch(
        self, watch: Callable[[], AsyncGenerator[Update, None]]
    ) -> AsyncGenerator[Update, None]:
        if self._standing is None:
            return watch()
        return for_members(watch, self.enter, self._standing.until_refused)

    async def aclose(self) -> None:
        """Lets acts that have begun end, then closes store and client."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        await self.running.aclose()
        if "store" in vars(self):
            await self._stores.close(self.client.account_sid)
        await self.client.aclose()
