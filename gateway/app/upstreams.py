"""The way upstream of each credential: the gateway's own, and in passthrough one for each caller's.

A client, what it keeps in flight and what the planner has learned of the account are of one
credential; nothing of them is shared with another. This module must not know how a client is made.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.access import Account
from gateway.planner import Costs
from gateway.upstream.client import UpstreamClient

__all__ = ["Upstream", "UpstreamPool"]


@dataclass
class Upstream:
    """One credential's client and the costs learned with it."""

    client: UpstreamClient
    costs: Costs = field(default_factory=Costs)
    users: int = 0
    is_kept: bool = True


class UpstreamPool:
    """Upstreams by credential, made when first asked for; the `most` used last are kept."""

    def __init__(self, make: Callable[[Account], UpstreamClient], most: int) -> None:
        self._make = make
        self._most = most
        self._kept: OrderedDict[str, Upstream] = OrderedDict()

    @asynccontextmanager
    async def upstream(self, account: Account) -> AsyncIterator[Upstream]:
        """The credential's upstream, which is not closed before this use of it ends."""
        key = account.digest
        upstream = self._kept.pop(key, None) or Upstream(self._make(account))
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

    async def _drop_oldest(self) -> None:
        while len(self._kept) > self._most:
            _, oldest = self._kept.popitem(last=False)
            oldest.is_kept = False
            await _close_if_idle(oldest)


async def _close_if_idle(upstream: Upstream) -> None:
    if not upstream.is_kept and upstream.users == 0:
        await upstream.client.aclose()
