"""The table of heartbeats and callers' buckets: in a real server, and in that of the workers."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from gateway.access.rate_limit import RateLimiter
from gateway.errors import RateLimited, StoreUnavailable
from gateway.live.shared_limits import TAKE_SCRIPT, SharedLimits
from gateway.live.store_server import StoreData
from tests.live.servers import ServerProcess, running_own_server, running_server
from tests.plain_twilio import ACCOUNT

CALLER = "name kevin"
SLOW = 0.001  # tokens a second: none comes back during a test


@pytest.fixture(params=[running_server, running_own_server], ids=["valkey", "own"])
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """Each kind of server in turn."""
    with request.param() as running:
        yield running


@asynccontextmanager
async def gateways(server: ServerProcess) -> AsyncIterator[tuple[SharedLimits, SharedLimits]]:
    """The limits of two gateways over one server."""
    one, other = SharedLimits(server.url, ACCOUNT), SharedLimits(server.url, ACCOUNT)
    try:
        yield one, other
    finally:
        await one.aclose()
        await other.aclose()


async def test_a_table_is_replaced_only_as_it_was_read(server: ServerProcess) -> None:
    async with gateways(server) as (a, b):
        assert await a.table() == b""
        assert await a.replace_table(b"", b"one")
        assert not await b.replace_table(b"", b"other")
        assert await b.table() == b"one"
        assert await b.replace_table(b"one", b"other")
        assert not await a.replace_table(b"one", b"one")


async def test_a_callers_bucket_is_one_for_all_gateways(server: ServerProcess) -> None:
    async with gateways(server) as (a, b):
        taken = [(await one.take(CALLER, 4, SLOW, 10)).tokens for one in (a, b, a, b)]
        refused = await a.take(CALLER, 4, SLOW, 10)
        other = await b.take("another", 4, SLOW, 10)

    assert taken == [4, 4, 2, 0]
    assert 900 < refused.wait <= 1000
    assert other == (4, 0)


async def test_a_full_bucket_holds_exactly_the_burst(server: ServerProcess) -> None:
    """Also where the interval between two tokens is no whole number of microseconds."""
    async with gateways(server) as (a, _):
        for rate in (0.3, 3, 7, 200, 99_999):
            assert await a.take(f"at {rate}", 10_000, rate, 9) == (9, 0)


async def test_tokens_come_back_at_the_rate(server: ServerProcess) -> None:
    async with gateways(server) as (a, b):
        assert (await a.take(CALLER, 5, 50, 5)).tokens == 5
        refused = await b.take(CALLER, 1, 50, 5)
        assert refused.tokens == 0
        await asyncio.sleep(refused.wait)
        assert (await b.take(CALLER, 1, 50, 5)).tokens == 1


async def test_without_the_server_there_is_an_error_and_later_a_new_bucket(
    server: ServerProcess,
) -> None:
    async with gateways(server) as (a, b):
        await a.take(CALLER, 10, SLOW, 10)
        await asyncio.to_thread(server.stop)
        with pytest.raises(StoreUnavailable):
            await a.take(CALLER, 1, SLOW, 10)
        with pytest.raises(StoreUnavailable):
            await b.table()
        with pytest.raises(StoreUnavailable):
            await b.replace_table(b"", b"one")
        await asyncio.to_thread(server.start)

        assert (await a.take(CALLER, 10, SLOW, 10)).tokens == 10
        assert await b.replace_table(b"", b"one")


async def test_no_name_is_in_the_server_and_everything_there_expires() -> None:
    with running_server() as server:
        async with gateways(server) as (a, _), Redis.from_url(server.url) as probe:
            await a.take(CALLER, 3, 2, 10)
            await a.replace_table(b"", b"one")
            keys = await probe.keys("*")
            lives = sorted([await probe.pttl(key) for key in keys])

    assert not any(b"kevin" in key for key in keys)
    assert 1000 < lives[0] <= 1500
    assert 50_000 < lives[1] <= 60_000


STEPS = st.lists(st.tuples(st.integers(0, 64), st.integers(1, 5)), max_size=60)


@given(st.sampled_from([0.5, 1, 4, 32]), st.integers(1, 20), STEPS)
def test_the_own_server_grants_what_a_rate_limiter_would(
    rate: float, burst: int, steps: list[tuple[int, int]]
) -> None:
    """Each step is a pause in eighths of a second, and so many tokens that are wanted."""
    seconds = [1000.0]
    data, limiter = StoreData(lambda: seconds[0]), RateLimiter(rate, burst, lambda: seconds[0])
    interval = 1_000_000 / rate
    arguments = [b"%r" % interval, b"%r" % (interval * burst)]
    for pause, wanted in steps:
        seconds[0] += pause / 8
        key = b"gateway:AC1:rate:k"
        command = [b"EVAL", TAKE_SCRIPT.encode(), b"1", key, *arguments, b"%d" % wanted]
        granted = int(data.execute(command).split(b"\r\n")[1].removeprefix(b":"))
        assert granted == sum(is_allowed(limiter) for _ in range(wanted))


def is_allowed(limiter: RateLimiter) -> bool:
    """True if a request is allowed."""
    try:
        limiter.take("k")
    except RateLimited:
        return False
    return True
