"""One store for each account, whichever of its credentials are used here.

It is one that several gateways share, or this gateway's own. This module must not know who uses a
store.
"""

from collections import OrderedDict
from collections.abc import Callable

from gateway.live.store import MemoryStore, Store
from gateway.live.valkey import ValkeyStore
from gateway.settings import Settings

__all__ = [
    "AccountStores",
    "store_for",
]


MOST_AT_REST = 10_000
"""Accounts whose memory is kept while nobody uses it: what it knows is nowhere else."""


def store_for(settings: Settings, account_sid: str) -> Store:
    """The store for an account's calls."""
    if settings.live.store_url is None:
        return MemoryStore()
    return ValkeyStore(settings.live.store_url.reveal(), account_sid)


class AccountStores:
    """Stores by account SID. Whoever opens one closes it again; `aclose` closes those at rest."""

    def __init__(self, make: Callable[[str], Store], most_at_rest: int = MOST_AT_REST) -> None:
        self._make = make
        self._most_at_rest = most_at_rest
        self._used: dict[str, tuple[Store, int]] = {}
        self._at_rest: OrderedDict[str, Store] = OrderedDict()

    def open(self, account_sid: str) -> Store:
        """The account's store."""
        store, users = self._used.get(account_sid, (None, 0))
        store = store or self._at_rest.pop(account_sid, None) or self._make(account_sid)
        self._used[account_sid] = (store, users + 1)
        return store

    async def close(self, account_sid: str) -> None:
        """One user less. Without any a store is closed, or rests where its memory is its own."""
        store, users = self._used.pop(account_sid)
        if users > 1:
            self._used[account_sid] = (store, users - 1)
        elif isinstance(store, MemoryStore):
            self._at_rest[account_sid] = store
            await self._close_oldest(self._most_at_rest)
        else:
            await store.aclose()

    async def aclose(self) -> None:
        """Closes the stores that nobody uses."""
        await self._close_oldest(0)

    async def _close_oldest(self, most: int) -> None:
        while len(self._at_rest) > most:
            _, store = self._at_rest.popitem(last=False)
            await store.aclose()
