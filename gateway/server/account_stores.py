"""One store for each account, shared by all its credentials.

The store is in this process's memory, or shared by several gateways (Valkey). This module must not
know who uses a store.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.live.store import MemoryStore, Store
from gateway.settings import Settings
from gateway.upstream.shared_cache import SharedCache

if TYPE_CHECKING:
    from gateway.live.shared_limits import SharedLimits

__all__ = [
    "AccountStores",
    "shared_cache",
    "shared_limits",
    "store_for",
]


MAX_IDLE = 10_000
"""In-memory stores that are kept while nobody uses them: their content exists nowhere else."""


def store_for(settings: Settings, account_sid: str) -> Store:
    """A new store for an account's calls, as the settings say."""
    if settings.live.store_url is None:
        return MemoryStore()
    from gateway.live.valkey import ValkeyStore  # its client takes 6 MB that others do not need

    return ValkeyStore(settings.live.store_url.reveal(), account_sid)


def shared_limits(settings: Settings) -> "SharedLimits | None":
    """What gateways share of limits; None without a store."""
    if settings.live.store_url is None:
        return None
    from gateway.live.shared_limits import SharedLimits

    return SharedLimits(settings.live.store_url.reveal(), settings.account.sid or "callers")


def shared_cache(settings: Settings) -> SharedCache | None:
    """The cache that gateways share, if the settings name its store.

    None for an embedded sandbox: its calls are those of one process, or of one parent.
    """
    url = settings.upstream.cache_store_url
    if url is None or settings.uses_sandbox:
        return None
    from gateway.live.cache_store import ValkeyCacheStore

    return SharedCache(ValkeyCacheStore(url.reveal()))


class AccountStores:
    """Stores by account SID. Each `open` needs a `close`; `aclose` closes the idle ones."""

    def __init__(self, make: Callable[[str], Store], max_idle: int = MAX_IDLE) -> None:
        self._make = make
        self._max_idle = max_idle
        self._open: dict[str, tuple[Store, int]] = {}
        self._idle: OrderedDict[str, Store] = OrderedDict()

    def open(self, account_sid: str) -> Store:
        """The account's store."""
        store, users = self._open.get(account_sid, (None, 0))
        store = store or self._idle.pop(account_sid, None) or self._make(account_sid)
        self._open[account_sid] = (store, users + 1)
        return store

    async def close(self, account_sid: str) -> None:
        """Drops one user. The last one closes the store; an in-memory store stays idle instead."""
        store, users = self._open.pop(account_sid)
        if users > 1:
            self._open[account_sid] = (store, users - 1)
        elif isinstance(store, MemoryStore):
            self._idle[account_sid] = store
            await self._close_oldest(self._max_idle)
        else:
            await store.aclose()

    async def aclose(self) -> None:
        """Closes the idle stores."""
        await self._close_oldest(0)

    async def _close_oldest(self, max_idle: int) -> None:
        while len(self._idle) > max_idle:
            _, store = self._idle.popitem(last=False)
            await store.aclose()
