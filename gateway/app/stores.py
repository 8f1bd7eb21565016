"""Which store of live calls a gateway has: one that others share, or its own."""

from gateway.live.store import MemoryStore, Store
from gateway.live.valkey import ValkeyStore
from gateway.settings import Settings

__all__ = ["store_for"]


def store_for(settings: Settings, account_sid: str) -> Store:
    """The store for an account's calls."""
    if settings.store_url is None:
        return MemoryStore()
    return ValkeyStore(settings.store_url.reveal(), account_sid)
