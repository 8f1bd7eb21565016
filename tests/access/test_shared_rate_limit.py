"""A caller's rate across several gateways: it holds, costs few round trips, and fails open."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.shared_rate_limit import AWAY_SECONDS, BATCH_SECONDS, SharedRateLimiter, Taken
from gateway.errors import RateLimited, StoreUnavailable
from tests.access.test_rate_limit import Clock

RATE, BURST, GATEWAYS = 200, 2000, 3


class PlainBuckets:
    """Token buckets in memory. `fault` is raised or awaited at each take, if there is one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tokens: dict[str, tuple[float, float]] = {}
        self.takes: defaultdict[str, int] = defaultdict(int)
        self.fault: Exception | asyncio.Event | None = None

    async def take(self, caller: str, count: int, rate: float, burst: int) -> Taken:
        """See Buckets."""
        self.takes[caller] += 1
        if isinstance(self.fault, Exception):
            raise self.fault
        if self.fault:
            await self.fault.wait()
        now = self._clock()
        tokens, since = self._tokens.get(caller, (burst, now))
        tokens = min(burst, tokens + (now - since) * rate)
        taken = min(count, int(tokens + 1e-6))
        self._tokens[caller] = tokens - taken, now
        return Taken(taken, 0 if taken else (1 - tokens) / rate)

    async def aclose(self) -> None:
        """See Buckets."""


class Replicas:
    """Three gateways with one clock and the same buckets."""

    def __init__(self, rate: float = RATE, burst: int = BURST) -> None:
        self.clock = Clock()
        self.buckets = PlainBuckets(self.clock)
        self.limiters = [
            SharedRateLimiter(rate, burst, self.buckets, self.clock, patience=0.01)
            for _ in range(GATEWAYS)
        ]

    async def is_allowed(self, gateway: int, key: str = "a") -> bool:
        """True if a request to one of them is allowed."""
        try:
            await self.limiters[gateway % GATEWAYS].take(key)
        except RateLimited:
            return False
        return True

    async def allowed(self, requests: int, key: str = "a") -> int:
        """How many of so many requests are allowed, each to the next gateway."""
        return sum([await self.is_allowed(number, key) for number in range(requests)])


async def test_a_burst_is_that_of_one_gateway_and_costs_few_round_trips() -> None:
    replicas = Replicas()

    assert await replicas.allowed(3 * BURST) == BURST
    assert replicas.buckets.takes["a"] < BURST / 20


async def test_a_steady_caller_gets_its_rate_and_no_more() -> None:
    """Ten seconds at twice the rate, after its burst."""
    replicas = Replicas()
    await replicas.allowed(2 * BURST)
    allowed = 0
    for number in range(10 * 2 * RATE):
        replicas.clock.now += 1 / (2 * RATE)
        allowed += await replicas.is_allowed(number)

    assert 10 * RATE * 0.97 <= allowed <= 10 * RATE + 1


@pytest.mark.parametrize("rate", [3, 30, 170])
async def test_a_caller_below_the_rate_is_never_refused(rate: int) -> None:
    """What it does not spend at one gateway does not count against it for long."""
    replicas = Replicas(burst=300)
    for number in range(rate * 60):
        replicas.clock.now += 1 / rate
        assert await replicas.is_allowed(number * 7)


STEPS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 2), st.integers(1, 30)), min_size=1, max_size=30
)


@given(st.sampled_from([1, 10, 80]), st.integers(1, 60), STEPS)
def test_the_rate_holds_whatever_gateway_gets_the_requests(
    rate: int, burst: int, steps: list[tuple[int, int, int]]
) -> None:
    """Each step is a pause in eighths of a second, and so many requests to one gateway."""

    async def run() -> None:
        replicas = Replicas(rate, burst)
        began, allowed = replicas.clock.now, 0
        for pause, gateway, requests in steps:
            replicas.clock.now += pause / 8
            for _ in range(requests):
                allowed += await replicas.is_allowed(gateway)
            unspent = GATEWAYS * min(burst / 10, rate * BATCH_SECONDS)
            assert allowed <= burst + rate * (replicas.clock.now - began) + unspent + 1e-6

    asyncio.run(run())


async def test_a_refused_caller_costs_no_round_trip_before_its_next_token() -> None:
    replicas = Replicas(rate=1, burst=2)
    assert await replicas.allowed(3) == 2
    takes = replicas.buckets.takes["a"]
    for _ in range(50):
        with pytest.raises(RateLimited) as refused:
            await replicas.limiters[2].take("a")
    assert refused.value.extensions == {"code": "RATE_LIMITED", "retryAfter": 1}
    assert replicas.buckets.takes["a"] == takes
    replicas.clock.now += 1

    assert await replicas.is_allowed(2)


async def test_requests_at_once_are_counted_each_and_share_their_round_trips() -> None:
    replicas = Replicas()
    replicas.buckets.fault = ready = asyncio.Event()
    requests = [asyncio.ensure_future(replicas.is_allowed(0)) for _ in range(100)]
    await asyncio.sleep(0)
    ready.set()

    assert all(await asyncio.gather(*requests))
    assert replicas.buckets.takes["a"] <= 8


async def test_callers_have_separate_buckets() -> None:
    replicas = Replicas(rate=1, burst=3)

    assert await replicas.allowed(5, "a") == 3
    assert await replicas.allowed(5, "b") == 3


async def test_while_the_store_is_away_each_gateway_counts_for_itself_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    replicas = Replicas(rate=1, burst=4)
    replicas.buckets.fault = StoreUnavailable("away")

    assert [await replicas.allowed(3) for _ in range(5)] == [3, 3, 3, 3, 0]
    assert replicas.buckets.takes["a"] == GATEWAYS
    replicas.clock.now += AWAY_SECONDS
    assert await replicas.allowed(3) == 3
    assert len(caplog.messages) == GATEWAYS


async def test_when_the_store_is_back_it_counts_again() -> None:
    replicas = Replicas(rate=10, burst=4)
    replicas.buckets.fault = StoreUnavailable("away")
    assert await replicas.allowed(3) == 3
    replicas.buckets.fault = None
    replicas.clock.now += AWAY_SECONDS

    assert await replicas.allowed(12) == 4


async def test_a_hanging_store_delays_a_request_once_and_only_briefly() -> None:
    replicas = Replicas(rate=1, burst=40)
    replicas.buckets.fault = hanging = asyncio.Event()
    assert [await replicas.is_allowed(0) for _ in range(10)] == [True] * 10
    assert replicas.buckets.takes["a"] == 1
    hanging.set()
    for limiter in replicas.limiters:
        await limiter.aclose()


async def test_a_request_that_is_cancelled_leaves_the_round_trip_to_others() -> None:
    replicas = Replicas()
    replicas.buckets.fault = ready = asyncio.Event()
    leaving, staying = (asyncio.ensure_future(replicas.is_allowed(0)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    ready.set()

    assert await staying


async def test_without_buckets_the_gateway_counts_for_itself() -> None:
    limiter = SharedRateLimiter(1, 2, None, Clock())
    await limiter.take("a")
    await limiter.take("a")
    with pytest.raises(RateLimited):
        await limiter.take("a")
    await limiter.aclose()
