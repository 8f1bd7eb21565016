"""Connections upstream: one httpx client at a time, and none of its connections is stranded.

This module must not know what is asked.

Note [Stranded connections]. A request that is cancelled when its new connection stands and its
first byte is not yet sent leaves that connection in httpcore's pool (1.0.9): it is not idle, never
expires and is never used, so it costs a descriptor and a place for ever; after a few deadlines that
pass in a rush nothing could be sent any more. So each request is watched through httpcore's trace,
and a client in which one was left so takes no new request and is closed, with all that it holds,
when its last request has ended.
"""

from collections.abc import Mapping
from typing import Any

import httpx

__all__ = ["Connections"]


class Watch:
    """Sees how far one request came: httpcore's trace."""

    is_stranded = False

    async def __call__(self, event: str, _info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self.is_stranded = True
        elif event == "http11.send_request_headers.started":
            self.is_stranded = False


class Connections:
    """GETs over a client that is made with these options. Close it with `aclose`."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._current = httpx.AsyncClient(**options)
        self._running: dict[httpx.AsyncClient, int] = {}

    async def get(self, url: str) -> httpx.Response:
        """The whole answer. Raises what httpx raises; may be cancelled at any moment."""
        client, watch = self._current, Watch()
        self._running[client] = self._running.get(client, 0) + 1
        try:
            return await client.get(url, extensions={"trace": watch})
        finally:
            self._running[client] -= 1
            if watch.is_stranded and client is self._current and not client.is_closed:
                self._current = httpx.AsyncClient(**self._options)
            if client is not self._current and not self._running[client]:
                del self._running[client]
                await client.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        for client in {*self._running, self._current}:
            await client.aclose()
