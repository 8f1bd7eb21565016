"""A rolling restart of three replicas behind a small proxy, which probes readiness, under load."""

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests import serving as servers
from tests.end_to_end.program import Server, serving
from tests.end_to_end.test_end import Load

# The proxy probes often, so that a short delay is enough.
PROBE_INTERVAL, DRAIN_DELAY = 0.1, "1.5"

pytestmark = pytest.mark.xdist_group("end")


class Proxy:
    """Passes requests on to the ready replicas in turns. It repeats nothing."""

    def __init__(self) -> None:
        self.replicas: list[str] = []
        self.ready: list[str] = []
        self._turns = itertools.count()
        self._http = httpx.AsyncClient(timeout=30)

    async def probe(self) -> None:
        """Asks each replica whether it is ready, again and again."""
        while True:
            self.ready = [url for url in self.replicas if await self._is_ready(url)]
            await asyncio.sleep(PROBE_INTERVAL)

    async def _is_ready(self, url: str) -> bool:
        try:
            return (await self._http.get(f"{url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def pass_on(self, request: Request) -> Response:
        """The response of the replica whose turn it is."""
        url = self.ready[next(self._turns) % len(self.ready)]
        headers = {"Content-Type": request.headers["content-type"]}
        body = await request.body()
        answer = await self._http.post(f"{url}/graphql", content=body, headers=headers)
        return Response(answer.content, answer.status_code, media_type="application/json")

    async def until_ready(self, count: int) -> None:
        """Waits until it sends requests to so many replicas."""
        async with asyncio.timeout(60):
            while len(self.ready) != count:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.02)

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._http.aclose()


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Proxy, str]]:
    """A running proxy and its URL."""
    proxy = Proxy()
    app = Starlette(routes=[Route("/graphql", proxy.pass_on, methods=["POST"])])
    config = uvicorn.Config(app, access_log=False, log_config=None)
    probing = asyncio.ensure_future(proxy.probe())
    async with servers.running(config) as (port, _):
        yield proxy, f"http://127.0.0.1:{port}"
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    await proxy.aclose()


async def test_a_rolling_restart_of_three_replicas_loses_no_request() -> None:
    with ExitStack() as stack:

        def start() -> Server:
            given = {"GATEWAY_DRAIN_DELAY": DRAIN_DELAY}
            return stack.enter_context(serving("--port", "0", until="GraphiQL", **given))

        async with proxied() as (proxy, url):
            running = [await asyncio.to_thread(start) for _ in range(3)]
            proxy.replicas = [server.url for server in running]
            await proxy.until_ready(3)
            load = Load(url)
            working = asyncio.ensure_future(load.run())
            for old in running:
                new = await asyncio.to_thread(start)
                proxy.replicas.append(new.url)
                await proxy.until_ready(4)
                before = load.answered
                old.process.send_signal(signal.SIGTERM)
                await asyncio.to_thread(old.process.wait, 30)
                assert load.answered > before
                proxy.replicas.remove(old.url)
                await proxy.until_ready(3)
            load.is_over = True
            await working

    assert load.lost == []
    assert [server.exit_code for server in running] == [0, 0, 0]
