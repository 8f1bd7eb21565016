"""Connections upstream: several httpx clients of a few connections each, and none is stranded.

What is used of httpcore that it does not promise to keep (names of trace events) is used here and
nowhere else: see tests/test_libraries.py. This module must not know what is asked.

Note [Connections]. httpx's pool looks at all its connections for each request: one pool of 96 costs
7 to 10 ms of CPU a request, pools of 8 cost 0.7 ms (measured; LIBRARY-FACTS section 7.3).
httpx-aiohttp costs 0.6 ms, but repeats a GET of its own accord when a kept connection was dropped,
which nobody could count. So there are clients of POOL connections each, made when they are first
needed. How many requests run at once is decided before one comes here, so none waits in a pool. A
pool closes what is idle only when it is used again, so a client besides the first is closed when it
has rested for REST seconds: after a rush the descriptors are what they were before.

Note [Stranded connections]. A request that is cancelled when its new connection stands and its
first byte is not yet sent leaves that connection in httpcore's pool (1.0.9): it is not idle, never
expires and is never used, so it costs a descriptor for ever. So each request is watched through
httpcore's trace, and a client in which one was left so takes no new request and is closed, with all
that it holds, when its last request has ended.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from gateway.errors import RequestNotSent

__all__ = ["Connections"]

POOL = 8
REST = 5.0
CONNECTED, SENDING = "connection.connect_tcp.complete", "http11.send_request_headers.started"
"""Events of httpcore's trace."""


class Watch:
    """Sees how far one request came: httpcore's trace."""

    is_stranded = False

    async def __call__(self, event: str, _info: Mapping[str, Any]) -> None:
        if event == CONNECTED:
            self.is_stranded = True
        elif event == SENDING:
            self.is_stranded = False


class Connections:
    """Requests over clients that are made with these options. Close it with `aclose`.

    A client besides the first is closed when it has rested for `rest` seconds.
    """

    def __init__(self, rest: float = REST, **options: Any) -> None:
        self._rest_seconds = rest
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=POOL)
        self._options = {"limits": limits, **options}
        # One transport is one place for all: it takes that of the network.
        self._room = POOL if options.get("transport") is None else float("inf")
        self._is_closed = False
        self._running: dict[httpx.AsyncClient, int] = {}
        self._retired: set[httpx.AsyncClient] = set()
        self._resting: dict[httpx.AsyncClient, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def stream(self, method: str, url: str, **given: Any) -> AsyncIterator[httpx.Response]:
        """An answer, to be read. Raises what httpx raises; may be cancelled at any moment.

        After `aclose` it raises RequestNotSent.
        """
        if self._is_closed:
            raise RequestNotSent("The connections upstream are closed")
        client, watch = self._client(), Watch()
        self._running[client] += 1
        try:
            trace = {"trace": watch}
            async with client.stream(method, url, extensions=trace, **given) as response:
                yield response
        except asyncio.CancelledError:
            if watch.is_stranded:
                self._retired.add(client)
            raise
        finally:
            if client in self._running:  # else it was closed while the request ran
                self._running[client] -= 1
                if not self._running[client]:
                    self._rest(client)

    async def aclose(self) -> None:
        """Closes the connections, and with them the requests that run."""
        self._is_closed = True
        for timer in self._resting.values():
            timer.cancel()
        for client in list(self._running):
            self._let_go(client)
        await asyncio.gather(*self._closing)

    def _rest(self, client: httpx.AsyncClient) -> None:
        """Its last request has ended."""
        if client in self._retired:
            self._let_go(client)
        elif client is not next(iter(self._running)):
            loop = asyncio.get_running_loop()
            self._resting[client] = loop.call_later(self._rest_seconds, self._let_go, client)

    def _let_go(self, client: httpx.AsyncClient) -> None:
        self._retired.discard(client)
        self._resting.pop(client, None)
        del self._running[client]
        closing = asyncio.ensure_future(client.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _client(self) -> httpx.AsyncClient:
        """The first client with room; see Note [Connections]."""
        for client, running in self._running.items():
            if running < self._room and client not in self._retired:
                if client in self._resting:
                    self._resting.pop(client).cancel()
                return client
        client = httpx.AsyncClient(**self._options)
        self._running[client] = 0
        return client
