"""One worker thread around the store: everything the sandbox does with its rows happens there.

The event loop only hands over functions and waits. Knows no HTTP.
"""

import asyncio
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar

from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.seed import example_rows
from gateway.sandbox.store import Store

T = TypeVar("T")


class Sandbox:
    """The account behind the routes; opens and seeds itself when it is first asked."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox")
        self._store: Store | None = None

    async def run(self, function: Callable[[Store], T]) -> T:
        """Calls the function with the store in the worker thread; one function at a time."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, lambda: function(self._opened()))

    async def aclose(self) -> None:
        """Closes the store. The sandbox cannot be asked again; closing twice is harmless."""
        if self._store is not None:
            await self.run(Store.close)
            self._store = None
        self._worker.shutdown(wait=False)

    def _opened(self) -> Store:
        if self._store is None:
            self._store = Store(self.config.database)
            weakref.finalize(self, self._store.close)
            if self._store.is_new:
                now = self.config.now or datetime.now(UTC)
                self._store.add(
                    example_rows(self.config.calls, self.config.seed, int(now.timestamp()))
                )
        return self._store
