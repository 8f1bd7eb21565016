"""Which store of live calls a gateway has: one that others share, or its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.live.store import MemoryStore, Store
from gateway.live.valkey import ValkeyStore
from gateway.settings import Settings

__all__ = ["open_store"]


@asynccontextmanager
async def open_store(settings: Settings, account_sid: str) -> AsyncIterator[Store]:
    """The store for an account's calls, closed at the end."""
    store: Store = MemoryStore()
    if settings.store_url is not None:
        store = ValkeyStore(settings.store_url.reveal(), account_sid)
    try:
        yield store
    finally:
        await store.aclose()
