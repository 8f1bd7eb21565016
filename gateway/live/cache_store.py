"""The store of the shared cache, over Valkey or Redis. It may evict what it likes.

This module must not know what an entry is.
"""

from collections.abc import Mapping, Sequence

from gateway.errors import StoreUnavailable
from gateway.live.valkey import COMMAND_TIMEOUT, SERVER_ERRORS, open_client, reply_of

__all__ = ["ValkeyCacheStore"]


class ValkeyCacheStore:
    """See CacheStore."""

    def __init__(self, url: str) -> None:
        self._commands = open_client(url, COMMAND_TIMEOUT)

    async def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """See CacheStore."""
        try:
            values: list[bytes | None] = await reply_of(self._commands.mget(keys))
        except SERVER_ERRORS as error:
            raise StoreUnavailable(f"it cannot be read: {type(error).__name__}") from None
        return values

    async def put(self, entries: Mapping[str, bytes], seconds: float) -> None:
        """See CacheStore."""
        try:
            async with self._commands.pipeline(transaction=False) as pipeline:
                for key, value in entries.items():
                    pipeline.set(key, value, px=int(seconds * 1000))
                await pipeline.execute()
        except SERVER_ERRORS as error:
            raise StoreUnavailable(f"it cannot be written: {type(error).__name__}") from None

    async def aclose(self) -> None:
        """See CacheStore."""
        await self._commands.aclose(close_connection_pool=True)
