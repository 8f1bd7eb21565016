"""Three gateways behind one store: they share the requests that run at once.

Upstream is a sandbox that allows 10 requests at once and answers 429 beyond. Three gateways in one
process share only the server, like three programs.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count

import httpx
import pytest

from gateway.access import Account
from gateway.errors import UpstreamError
from gateway.live.shared_limits import SharedLimits
from gateway.sandbox import SandboxConfig, create_app
from gateway.server import open_gateway
from gateway.server.upstream_share import UpstreamShare
from gateway.settings import Secret, UpstreamSettings
from gateway.upstream.calls import FetchCall
from gateway.upstream.client import UpstreamClient
from gateway.upstream.shares import FIRST_SHARE
from tests.live.servers import ServerProcess, running_own_server, running_server
from tests.plain_twilio import sid
from tests.settings import settings_of
from tests.waiting import until_in_loop

ALLOWED, LATENCY = 10, 0.03
HEARTBEAT = 0.1  # seconds, in these tests
SANDBOX = SandboxConfig(calls=0, concurrency=ALLOWED, latency=LATENCY)
ACCOUNT = Account(SANDBOX.account_sid, SANDBOX.account_sid, Secret(SANDBOX.auth_token))


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """A server of the test's own."""
    with getattr(request, "param", running_server)() as running:
        yield running


EACH_SERVER = pytest.mark.parametrize(
    "server", [running_server, running_own_server], indirect=True, ids=["valkey", "own"]
)


class Upstream(httpx.AsyncBaseTransport):
    """The sandbox in this process. It counts since the last `look`."""

    def __init__(self) -> None:
        self.app = create_app(SANDBOX)
        self._transport = httpx.ASGITransport(app=self.app)
        self._in_flight = 0
        self.look()

    def look(self) -> tuple[int, int, int]:
        """The most in flight at once, the requests and those that got 429, since the last look."""
        seen = getattr(self, "most", 0), getattr(self, "requests", 0), getattr(self, "refused", 0)
        self.most, self.requests, self.refused = self._in_flight, 0, 0
        return seen

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._in_flight += 1
        self.requests += 1
        self.most = max(self.most, self._in_flight)
        try:
            response = await self._transport.handle_async_request(request)
            self.refused += response.status_code == 429
            return response
        finally:
            self._in_flight -= 1


class Replicas:
    """Gateways' clients of one upstream, and clients of theirs that read calls without a pause."""

    def __init__(self, server: ServerProcess, cap: int) -> None:
        self.upstream = Upstream()
        self.gateways: list[UpstreamClient] = []
        self.failed: list[UpstreamError] = []
        self._url = server.url
        self._settings = UpstreamSettings(max_in_flight=cap)
        self._clients: list[asyncio.Task[None]] = []
        self._numbers = count()
        self._stack = AsyncExitStack()

    async def add(self) -> UpstreamClient:
        """Starts one more gateway's client."""
        gateway = UpstreamClient(ACCOUNT, self._settings, self.upstream)
        limits = SharedLimits(self._url, ACCOUNT.sid)
        share = UpstreamShare(gateway.queue, limits, HEARTBEAT)
        for close in (gateway.aclose, limits.aclose, share.aclose):
            self._stack.push_async_callback(close)
        self.gateways.append(gateway)
        await until_in_loop(lambda: self.shares[-1] != FIRST_SHARE)
        return gateway

    @property
    def shares(self) -> list[int]:
        """What each gateway may run at most."""
        return [gateway.queue.limit.cap for gateway in self.gateways]

    def load(self, gateway: UpstreamClient, clients: int = 12) -> None:
        """So many clients read calls through this gateway until the end."""
        self._clients += [asyncio.ensure_future(self._read(gateway)) for _ in range(clients)]

    async def _read(self, gateway: UpstreamClient) -> None:
        while True:
            try:
                await gateway.fetch(FetchCall(sid=sid("CA", next(self._numbers))))
            except UpstreamError as error:
                self.failed.append(error)

    async def seen(self, requests: int) -> tuple[int, int, int]:
        """As `look`, after so many requests from now on."""
        self.upstream.look()
        await until_in_loop(lambda: self.upstream.requests >= requests)
        return self.upstream.look()

    async def aclose(self) -> None:
        """Ends the clients, the gateways and upstream."""
        for client in self._clients:
            assert client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        await self._stack.aclose()
        await self.upstream.app.state.sandbox.aclose()


@asynccontextmanager
async def replicas(server: ServerProcess, cap: int, gateways: int = 3) -> AsyncIterator[Replicas]:
    """So many gateways, each allowed `cap` requests at once."""
    several = Replicas(server, cap)
    try:
        for _ in range(gateways):
            await several.add()
        await until_in_loop(lambda: several.shares == [cap // gateways] * gateways)
        yield several
    finally:
        await several.aclose()


@EACH_SERVER
async def test_together_they_run_what_one_may_and_a_floor_for_a_newcomer(
    server: ServerProcess,
) -> None:
    async with replicas(server, ALLOWED) as several:
        for gateway in several.gateways:
            several.load(gateway)
        await until_in_loop(lambda: sorted(several.shares) == [3, 3, 4])
        most, _, refused = await several.seen(60)
        assert ALLOWED - 1 <= most <= ALLOWED
        assert refused == 0

        several.load(await several.add())
        most, requests, refused = await several.seen(250)
        assert most <= ALLOWED + FIRST_SHARE
        assert refused <= 0.02 * requests
        assert sum(several.shares) <= ALLOWED
    assert several.failed == []


async def test_who_is_busy_gets_what_the_others_leave(server: ServerProcess) -> None:
    async with replicas(server, ALLOWED) as several:
        several.load(several.gateways[0])
        await until_in_loop(lambda: several.shares == [8, 1, 1])
        several.load(several.gateways[1])
        await until_in_loop(lambda: sorted(several.shares) == [1, 4, 5])


async def test_few_requests_get_429_though_nobody_knows_what_upstream_allows(
    server: ServerProcess,
) -> None:
    """Each may run 100; after a 429 all of them keep below."""
    async with replicas(server, 100) as several:
        for gateway in several.gateways:
            several.load(gateway)
        await until_in_loop(lambda: several.upstream.refused > 0)
        await until_in_loop(lambda: sum(several.shares) <= 2 * ALLOWED)
        while (await several.seen(50))[2] > 0:
            pass
        several.failed.clear()
        _, requests, refused = await several.seen(300)
        assert refused <= 0.02 * requests
    assert several.failed == []


@EACH_SERVER
async def test_without_the_store_they_keep_their_shares_and_nothing_is_lost(
    server: ServerProcess,
) -> None:
    """It comes back empty."""
    async with replicas(server, ALLOWED) as several:
        for gateway in several.gateways:
            several.load(gateway)
        await until_in_loop(lambda: sorted(several.shares) == [3, 3, 4])
        await asyncio.to_thread(server.stop)
        most, _, refused = await several.seen(60)
        assert ALLOWED - 1 <= most <= ALLOWED
        assert refused == 0
        await asyncio.to_thread(server.start)
        most, _, refused = await several.seen(150)
        assert ALLOWED - 1 <= most <= ALLOWED
        assert refused == 0
        await until_in_loop(lambda: sorted(several.shares) == [3, 3, 4])
    assert several.failed == []


async def test_a_gateway_that_ends_leaves_its_share_to_the_others(server: ServerProcess) -> None:
    """A whole gateway, as its settings say, beside another one."""
    settings = settings_of(
        account_sid=ACCOUNT.sid,
        auth_token=ACCOUNT.password,
        store_url=Secret(server.url),
        max_in_flight=ALLOWED,
    )
    async with replicas(server, ALLOWED, gateways=1) as several:
        several.load(several.gateways[0])
        async with open_gateway(settings, several.upstream) as gateway:
            await until_in_loop(lambda: several.shares == [8])
            assert gateway.client.queue.limit.cap == 2
        await until_in_loop(lambda: several.shares == [10])
