"""The loaders: what one waiter does never harms another, and nothing hangs or leaks."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest

from gateway.errors import UpstreamTimeout, UpstreamUnavailable
from gateway.loaders.dataloaders import Loaders
from gateway.loaders.plan_executor import PlanExecutor, Resolve
from gateway.planner import Costs, OperationCache, Policy, Request
from gateway.settings import Secret, UpstreamSettings
from gateway.telemetry.upstream_trace import UpstreamTrace
from gateway.upstream.calls import FetchCall, ListCalls
from gateway.upstream.client import Account, UpstreamClient
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, error, sid

ONE = FetchCall(sid=sid("CA", 1))
TWO = FetchCall(sid=sid("CA", 2))


@asynccontextmanager
async def loading(
    twilio: PlainTwilio, seconds: float = 5, executor_type: type[PlanExecutor] = PlanExecutor
) -> AsyncIterator[Loaders]:
    """The loaders of one operation with this many seconds."""
    client = UpstreamClient(Account(ACCOUNT, ACCOUNT, Secret(TOKEN)), UpstreamSettings(), twilio)
    deadline = asyncio.get_running_loop().time() + seconds
    known, trace = (
        OperationCache(datetime.now(UTC)),
        UpstreamTrace(asyncio.get_running_loop().time),
    )
    executor = executor_type(client, known, Costs(), Policy(), trace, deadline, 1000)
    loaders = Loaders(executor)
    try:
        yield loaders
    finally:
        await loaders.aclose()
        await client.aclose()


def account(**options: float) -> PlainTwilio:
    """Two calls."""
    return PlainTwilio(calls=[call(1), call(2)], **options)  # type: ignore[arg-type]


async def test_equal_requests_of_an_operation_are_one() -> None:
    twilio = account()
    async with loading(twilio) as loaders:
        rows = await asyncio.gather(*(loaders.row(ONE, "call") for _ in range(20)))
        again = await loaders.row(ONE, "call")

    assert {row.sid for row in rows if row} == {sid("CA", 1)}
    assert again is rows[0]
    assert twilio.asked() == [f"GET Calls/{sid('CA', 1)}"]


async def test_a_cancelled_waiter_leaves_the_others_their_answer() -> None:
    async with loading(account(delay=0.02)) as loaders:
        leaving = asyncio.ensure_future(loaders.row(ONE, "call"))
        staying = asyncio.ensure_future(loaders.row(ONE, "call"))
        await asyncio.sleep(0.01)
        leaving.cancel()

        assert (await staying) is not None
        assert (await loaders.row(ONE, "call")) is not None
        assert leaving.cancelled()


async def test_a_waiter_that_leaves_before_the_batch_leaves_the_key_unharmed() -> None:
    async with loading(account()) as loaders:
        leaving = asyncio.ensure_future(loaders.row(ONE, "call"))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)

        assert (await loaders.row(ONE, "call")) is not None


async def test_each_key_resolves_as_soon_as_its_own_answer_is_there() -> None:
    """A slow page delays no other key."""
    twilio = account()
    gate = asyncio.Event()

    class Slow(PlainTwilio):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if "PageSize" in str(request.url):
                await gate.wait()
            return await super().handle_async_request(request)

    async with loading(Slow(calls=twilio.calls)) as loaders:
        page = asyncio.ensure_future(loaders.page(ListCalls(), "calls"))
        assert (await loaders.row(ONE, "call")) is not None
        assert not page.done()
        gate.set()
        assert len((await page).rows) == 2


async def test_one_failing_key_leaves_the_others_their_answer() -> None:
    twilio = account()
    twilio.fault = lambda request: error(503, 20503) if sid("CA", 1) in str(request.url) else None
    async with loading(twilio) as loaders:
        outcomes = await asyncio.gather(
            loaders.row(ONE, "call"), loaders.row(TWO, "call"), return_exceptions=True
        )

    assert isinstance(outcomes[0], UpstreamUnavailable)
    assert not isinstance(outcomes[1], BaseException)


async def test_what_is_not_read_by_the_deadline_is_a_timeout() -> None:
    twilio = account(delay=30)
    async with loading(twilio, seconds=0.5) as loaders:
        with pytest.raises(UpstreamTimeout):
            await loaders.row(ONE, "call")

    assert twilio.cancelled == 1
    assert twilio.in_flight == 0


async def test_after_the_deadline_nothing_more_is_sent() -> None:
    twilio = account()
    async with loading(twilio, seconds=-1) as loaders:
        with pytest.raises(UpstreamTimeout):
            await loaders.row(ONE, "call")

    assert twilio.asked() == []


async def test_closing_cancels_what_is_still_being_read() -> None:
    twilio = account(delay=30)
    async with loading(twilio) as loaders:
        reads = [asyncio.ensure_future(loaders.row(request, "call")) for request in (ONE, TWO)]
        async with asyncio.timeout(20):
            while twilio.in_flight < 2:  # noqa: ASYNC110 (no event to wait for)
                await asyncio.sleep(0)

    assert twilio.in_flight == 0
    assert twilio.cancelled == 2
    outcomes = await asyncio.gather(*reads, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)


async def test_an_unexpected_error_reaches_every_waiter_and_hangs_nobody() -> None:
    twilio = account()

    def broken(_request: httpx.Request) -> None:
        raise ZeroDivisionError

    twilio.fault = broken
    async with loading(twilio) as loaders:
        outcomes = await asyncio.wait_for(
            asyncio.gather(
                loaders.row(ONE, "call"), loaders.row(ONE, "call"), return_exceptions=True
            ),
            5,
        )

    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError] * 2


class BrokenExecutor(PlanExecutor):
    """An executor that raises, or resolves no request."""

    fault: Exception | None = None

    async def execute(self, requests: Iterable[Request], resolve: Resolve) -> None:
        if self.fault:
            raise self.fault


@pytest.mark.parametrize(
    ("fault", "expected"), [(ZeroDivisionError(), ZeroDivisionError), (None, RuntimeError)]
)
async def test_a_planner_that_breaks_or_forgets_leaves_nobody_waiting(
    fault: Exception | None, expected: type[Exception]
) -> None:
    async with loading(account(), executor_type=BrokenExecutor) as loaders:
        BrokenExecutor.fault = fault
        outcomes = await asyncio.wait_for(
            asyncio.gather(
                loaders.row(ONE, "call"), loaders.row(TWO, "call"), return_exceptions=True
            ),
            5,
        )

    assert [type(outcome) for outcome in outcomes] == [expected] * 2


async def test_hits_and_misses_do_not_split_the_next_round() -> None:
    """A known row and an unknown one lead to requests that leave together."""
    twilio = account(delay=0.02)
    most = 0

    def watch(_request: httpx.Request) -> None:
        nonlocal most
        most = max(most, twilio.in_flight)

    twilio.fault = watch
    async with loading(twilio) as loaders:
        await loaders.row(ONE, "call")

        async def on_a_known_row() -> None:
            await loaders.row(ONE, "call")
            await loaders.page(ListCalls(to="a"), "calls")

        await asyncio.gather(on_a_known_row(), loaders.page(ListCalls(to="b"), "calls"))

    assert most == 2
