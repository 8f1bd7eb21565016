"""Gateways behind one store count the requests of a caller together."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from gateway.access.shared_rate_limit import SharedRateLimiter
from gateway.errors import RateLimited
from gateway.live.shared_limits import SharedLimits
from gateway.server import create_app
from gateway.settings import Secret
from tests.live.servers import ServerProcess, running_own_server, running_server
from tests.plain_twilio import ACCOUNT
from tests.settings import settings_of

BURST = 300
SLOW = 0.01  # requests a second: none more is allowed during a test
MACHINE_IS_BUSY = 10.0  # seconds


@pytest.fixture(params=[running_server, running_own_server], ids=["valkey", "own"])
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """Each kind of server in turn."""
    with request.param() as running:
        yield running


async def allowed(limiters: list[SharedRateLimiter], caller: str, requests: int) -> int:
    """How many of so many requests of a caller are allowed, to each gateway in turn."""

    async def is_allowed(number: int) -> bool:
        try:
            await limiters[number % len(limiters)].take(caller)
        except RateLimited:
            return False
        return True

    return sum(await asyncio.gather(*map(is_allowed, range(requests))))


async def test_a_callers_burst_is_the_same_for_three_gateways(server: ServerProcess) -> None:
    """Without the store each counts for itself."""
    async with AsyncExitStack() as stack:
        limiters = []
        for _ in range(3):
            limits = SharedLimits(server.url, ACCOUNT)
            limiters.append(SharedRateLimiter(SLOW, BURST, limits, patience=MACHINE_IS_BUSY))
            stack.push_async_callback(limiters[-1].aclose)
        assert await allowed(limiters, "kevin", 2 * BURST) == BURST
        await asyncio.to_thread(server.stop)
        assert await allowed(limiters, "anna", 6 * BURST) == 3 * BURST


@asynccontextmanager
async def client_of(server: ServerProcess, burst: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a whole gateway with this store."""
    app = create_app(settings_of(store_url=Secret(server.url), rate_limit=1, rate_burst=burst))
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield client


async def status(client: httpx.AsyncClient) -> int:
    """The status of a small query."""
    return (await client.post("/graphql", json={"query": "{ __typename }"})).status_code


async def test_requests_that_others_counted_count_here(server: ServerProcess) -> None:
    """This gateway alone would allow 10,000."""
    others = SharedLimits(server.url, "callers")
    async with client_of(server, burst=10_000) as client:
        assert await status(client) == 200
        await others.take("address 127.0.0.1", 10_000, 1, 10_000)
        async with asyncio.timeout(MACHINE_IS_BUSY):
            while await status(client) == 200:  # noqa: ASYNC110 (the store may have been slow)
                await asyncio.sleep(0.1)
    await others.aclose()


async def test_without_the_store_a_gateway_counts_for_itself(server: ServerProcess) -> None:
    async with client_of(server, burst=20) as client:
        await asyncio.to_thread(server.stop)
        statuses = [await status(client) for _ in range(40)]

    assert set(statuses[:20]) == {200}
    assert 429 in statuses
