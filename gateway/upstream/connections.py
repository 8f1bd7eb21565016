"""Connections upstream: several httpx clients of a few connections each, and none is stranded.

Only this module uses private parts of httpcore (names of trace events): see
tests/test_libraries.py. It must not know what a request reads.

Note [Connections]. httpx's pool looks at all its connections for each request: one pool of 96 costs
7 to 10 ms of CPU a request, pools of 8 cost 0.7 ms (docs/design/libraries.md#5-httpx).
httpx-aiohttp costs 0.6 ms, but retries a GET by itself when a kept connection was dropped, which
nobody could count. So there are clients of POOL_SIZE connections each, made on demand. The
admission queue limits the requests in flight, so no request waits in a pool. A pool closes idle
connections only when it is used again. So every client but the first is closed after IDLE_SECONDS
without a request: after a rush the number of open descriptors is what it was before.

Note [Stranded connections]. A request may be cancelled after its new connection is made and before
its first byte is sent. That leaves the connection in httpcore's pool (1.0.9): it is not idle, never
expires and is never used, so it costs a descriptor for ever. So httpcore's trace watches each
request. A client with a stranded connection takes no new request, and is closed with all of its
connections when its last request has ended.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from gateway.errors import RequestNotSent

__all__ = ["Connections"]

POOL_SIZE = 8
IDLE_SECONDS = 5.0
CONNECTED, SENDING = "connection.connect_tcp.complete", "http11.send_request_headers.started"
"""Events of httpcore's trace."""


class ConnectionTrace:
    """httpcore's trace of one request: whether a cancel now would strand its connection."""

    is_stranded = False

    async def __call__(self, event: str, _info: Mapping[str, Any]) -> None:
        if event == CONNECTED:
            self.is_stranded = True
        elif event == SENDING:
            self.is_stranded = False


class Connections:
    """Sends requests over clients that are made with these options. Close it with `aclose`.

    Every client but the first is closed after `idle_seconds` without a request.
    """

    def __init__(self, idle_seconds: float = IDLE_SECONDS, **options: Any) -> None:
        self._idle_seconds = idle_seconds
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=POOL_SIZE)
        self._options = {"limits": limits, **options}
        # A transport takes the place of the network and has no pool: one client is enough.
        self._requests_per_client = POOL_SIZE if options.get("transport") is None else float("inf")
        self._is_closed = False
        self._running: dict[httpx.AsyncClient, int] = {}
        self._retired: set[httpx.AsyncClient] = set()
        self._idle_timers: dict[httpx.AsyncClient, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, **arguments: Any
    ) -> AsyncIterator[httpx.Response]:
        """The response, to be read. Raises what httpx raises; may be cancelled at any moment.

        After `aclose` it raises RequestNotSent.
        """
        if self._is_closed:
            raise RequestNotSent("The connections upstream are closed")
        client, trace = self._choose_client(), ConnectionTrace()
        self._running[client] += 1
        try:
            extensions = {"trace": trace}
            async with client.stream(method, url, extensions=extensions, **arguments) as response:
                yield response
        except asyncio.CancelledError:
            if trace.is_stranded:
                self._retired.add(client)
            raise
        finally:
            if client in self._running:  # else it was closed while the request ran
                self._running[client] -= 1
                if not self._running[client]:
                    self._on_idle(client)

    async def aclose(self) -> None:
        """Closes the connections; requests in flight fail."""
        self._is_closed = True
        for timer in self._idle_timers.values():
            timer.cancel()
        for client in list(self._running):
            self._discard(client)
        await asyncio.gather(*self._closing)

    def _on_idle(self, client: httpx.AsyncClient) -> None:
        """Called when the client's last request has ended."""
        if client in self._retired:
            self._discard(client)
        elif client is not next(iter(self._running)):
            loop = asyncio.get_running_loop()
            self._idle_timers[client] = loop.call_later(self._idle_seconds, self._discard, client)

    def _discard(self, client: httpx.AsyncClient) -> None:
        self._retired.discard(client)
        self._idle_timers.pop(client, None)
        del self._running[client]
        closing = asyncio.ensure_future(client.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _choose_client(self) -> httpx.AsyncClient:
        """The first client with a free connection, else a new one; see Note [Connections]."""
        for client, running in self._running.items():
            if running < self._requests_per_client and client not in self._retired:
                if client in self._idle_timers:
                    self._idle_timers.pop(client).cancel()
                return client
        client = httpx.AsyncClient(**self._options)
        self._running[client] = 0
        return client
