"""The way upstream of each credential: the gateway's own, and in passthrough one for each caller's.

A client, what it keeps in flight, what the planner has learned of the account and what is heard of
its live calls are of one credential; nothing of them is shared with another. This module must not
know how a client is made.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from gateway.access import Account
from gateway.live.once import Acts
from gateway.live.shared import Shared
from gateway.live.store import MemoryStore, Store
from gateway.live.watching import Watching
from gateway.planner import Costs
from gateway.upstream.client import UpstreamClient, utc_now

__all__ = ["Upstream", "UpstreamPool"]

MANY = 10_000


class Upstream:
    """One credential's client, the costs learned with it, and its account's live calls.

    `watchers` may watch at once. `begin` looks for what no webhook tells of; close with `aclose`.
    """

    def __init__(
        self,
        client: UpstreamClient,
        store: Store | None = None,
        watchers: int = MANY,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.client = client
        self.costs = Costs()
        self.store: Store = store or MemoryStore()
        self.acts = Acts(self.store)
        self.watching = Watching.of(client, self.store, watchers, now)
        self.results: Shared[Any] = Shared()
        self.users = 0
        self.is_kept = True
        self._polling: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Polls from now on, for whoever watches."""
        self._polling = asyncio.ensure_future(self.watching.run())

    async def aclose(self) -> None:
        """Lets acts that have begun end, then closes store and client."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        await self.acts.aclose()
        await self.store.aclose()
        await self.client.aclose()


class UpstreamPool:
    """Upstreams by credential, made when first asked for; the `most` used last are kept."""

    def __init__(self, make: Callable[[Account], Upstream], most: int) -> None:
        self._make = make
        self._most = most
        self._kept: OrderedDict[str, Upstream] = OrderedDict()

    @asynccontextmanager
    async def upstream(self, account: Account) -> AsyncIterator[Upstream]:
        """The credential's upstream, which is not closed before this use of it ends."""
        key = account.digest
        upstream = self._kept.pop(key, None) or self._begun(account)
        self._kept[key] = upstream
        upstream.users += 1
        try:
            await self._drop_oldest()
            yield upstream
        finally:
            upstream.users -= 1
            await _close_if_idle(upstream)

    async def aclose(self) -> None:
        """Closes every client that is not in use; the others close when they are not."""
        self._most = 0
        await self._drop_oldest()

    def _begun(self, account: Account) -> Upstream:
        upstream = self._make(account)
        upstream.begin()
        return upstream

    async def _drop_oldest(self) -> None:
        while len(self._kept) > self._most:
            _, oldest = self._kept.popitem(last=False)
            oldest.is_kept = False
            await _close_if_idle(oldest)


async def _close_if_idle(upstream: Upstream) -> None:
    if not upstream.is_kept and upstream.users == 0:
        await upstream.aclose()
