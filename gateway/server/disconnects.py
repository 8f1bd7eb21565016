"""Cancels the work for a client that disconnects, over any ASGI server.

Our own server notifies the request (`Disconnect` in the scope's extensions). Over another server
one task waits for the message. This module must not know what the work is.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.types import Receive, Scope

__all__ = ["EXTENSION", "Disconnect", "while_connected"]

T = TypeVar("T")
EXTENSION = "gateway.disconnect"


class Disconnect:
    """The end of one connection, which serves one request at a time."""

    __slots__ = ("has_happened", "notify")

    def __init__(self) -> None:
        self.has_happened = False
        self.notify: Callable[[], object] | None = None

    def happen(self) -> None:
        """Cancels what the connection's request does."""
        self.has_happened = True
        if self.notify is not None:
            self.notify()


async def while_connected(scope: Scope, receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`, or None if the client disconnects first, which cancels it."""
    task = asyncio.current_task()
    assert task  # noqa: S101 (an ASGI app runs in a task)
    disconnect, watcher = (scope.get("extensions") or {}).get(EXTENSION), None
    if disconnect is None:
        disconnect = Disconnect()
        watcher = asyncio.ensure_future(_watch(receive, disconnect))
    elif disconnect.has_happened:
        work.close()
        return None
    disconnect.notify = task.cancel
    try:
        result = await work
        if disconnect.has_happened:
            await asyncio.sleep(0)  # the cancellation came after the last wait of the work
        return result
    except asyncio.CancelledError:
        if disconnect.has_happened and not task.uncancel():
            return None
        raise
    finally:
        disconnect.notify = None
        if watcher is not None:
            watcher.cancel()


async def _watch(receive: Receive, disconnect: Disconnect) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    disconnect.happen()
