"""Requests in flight: bounded in number and time, coalesced, and cancelled without a waiter."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from gateway.errors import UpstreamTimeout, UpstreamUnavailable
from gateway.telemetry.records import UpstreamExchange
from gateway.upstream.calls import FetchCall, ListCalls
from gateway.upstream.date_ranges import DateTimeRange
from tests.plain_twilio import NOON, PlainTwilio, call, sid
from tests.upstream.stage import connected

CALL = FetchCall(sid=sid("CA", 1))


class Gate(httpx.AsyncBaseTransport):
    """An upstream that responds to no request until it is opened."""

    def __init__(self, answer: httpx.Response | Exception | None = None) -> None:
        self.answer = answer or httpx.Response(200, json=call(1))
        self.opened = asyncio.Event()
        self.arrived = 0
        self.cancelled = 0
        self.in_flight = 0
        self.most = 0

    async def handle_async_request(self, _request: httpx.Request) -> httpx.Response:
        self.arrived += 1
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def settle() -> None:
    """Runs all tasks that can run without waiting for time."""
    for _ in range(30):
        await asyncio.sleep(0)


async def test_no_more_requests_are_in_flight_than_allowed_and_all_are_answered() -> None:
    twilio = PlainTwilio(calls=[call(number) for number in range(30)], delay=0.002)
    most = 0

    def watch(_request: httpx.Request) -> None:
        nonlocal most
        most = max(most, twilio.in_flight)

    twilio.fault = watch
    async with connected(twilio, max_in_flight=4) as client:
        rows = await asyncio.gather(
            *(client.fetch(FetchCall(sid=sid("CA", number))) for number in range(30))
        )

    assert [row and row.sid for row in rows] == [sid("CA", number) for number in range(30)]
    assert most == 4
    assert twilio.in_flight == 0


async def test_a_request_that_failed_or_was_cancelled_gives_its_place_back() -> None:
    gate = Gate(httpx.ReadError("broke"))
    async with connected(gate, max_in_flight=1, max_attempts=1) as client:
        for number in range(3):
            left = asyncio.ensure_future(client.fetch(FetchCall(sid=sid("CA", number))))
            await settle()
            left.cancel()
            await settle()
        gate.opened.set()
        for _ in range(3):
            with pytest.raises(UpstreamUnavailable):
                await client.fetch(CALL)

    assert (gate.arrived, gate.cancelled, gate.most) == (6, 3, 1)


async def test_time_in_the_queue_does_not_count_against_the_attempt() -> None:
    """Sixteen requests of 20 ms each, one at a time, with a timeout of 250 ms for each attempt."""
    twilio = PlainTwilio(calls=[call(n) for n in range(16)], delay=0.02)
    async with connected(twilio, attempt_timeout=0.25, max_in_flight=1) as client:
        rows = await asyncio.gather(*(client.fetch(FetchCall(sid=sid("CA", n))) for n in range(16)))

    assert all(rows)


async def drip() -> AsyncIterator[bytes]:
    """A body that always has one byte more: httpx's own timeout, for each read, never expires."""
    while True:
        await asyncio.sleep(0.005)
        yield b" "


async def test_a_body_that_drips_ends_at_the_total_deadline() -> None:
    exchanges: list[UpstreamExchange] = []
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=drip()))
    started = time.monotonic()
    async with connected(transport, read_timeout=0.05, hook=exchanges.append) as client:
        with pytest.raises(UpstreamTimeout):
            await client.fetch(CALL)

    assert 0.04 < time.monotonic() - started < 5
    assert [exchange.failure for exchange in exchanges] == ["UpstreamTimeout"]


async def test_an_upstream_that_never_answers_ends_at_the_total_deadline() -> None:
    gate = Gate()
    async with connected(gate, read_timeout=0.03) as client:
        with pytest.raises(UpstreamTimeout):
            await client.fetch(CALL)

    assert (gate.in_flight, gate.cancelled) == (0, 1)


async def test_equal_requests_in_flight_are_one() -> None:
    gate = Gate()
    async with connected(gate) as client:
        waiting = [asyncio.ensure_future(client.fetch(CALL)) for _ in range(5)]
        await settle()
        arrived = gate.arrived
        gate.opened.set()
        rows = await asyncio.gather(*waiting)

    assert arrived == gate.arrived == 1
    assert all(row is rows[0] for row in rows)


async def test_lists_that_differ_only_in_the_exact_filter_share_the_bytes_not_the_rows() -> None:
    """Two ranges of one day: the same URL, each answer with its own rows."""
    twilio = PlainTwilio(calls=[call(1, at=100), call(2, at=0)], delay=0.005)
    whole = ListCalls(start_time=DateTimeRange(NOON, NOON + timedelta(hours=1)))
    late = ListCalls(
        start_time=DateTimeRange(NOON + timedelta(seconds=50), NOON + timedelta(hours=1))
    )
    async with connected(twilio) as client:
        pages = await asyncio.gather(client.page(whole), client.page(late))

    assert [len(page.rows) for page in pages] == [2, 1]
    assert twilio.asked() == ["GET Calls?StartTime=2026-03-10&PageSize=50"]


async def test_requests_one_after_the_other_are_two() -> None:
    """The flight keeps no result: a later read gets the present state."""
    twilio = PlainTwilio(calls=[call(1)])
    async with connected(twilio) as client:
        await client.fetch(CALL)
        twilio.calls.clear()
        assert await client.fetch(CALL) is None

    assert len(twilio.asked()) == 2


async def test_an_error_reaches_every_waiter_and_is_not_kept() -> None:
    gate = Gate(httpx.ConnectError("no route"))
    async with connected(gate, max_attempts=1) as client:
        waiting = [asyncio.ensure_future(client.fetch(CALL)) for _ in range(3)]
        await settle()
        gate.opened.set()
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        gate.answer = httpx.Response(200, json=call(1))
        row = await client.fetch(CALL)

    assert [type(error).__name__ for error in errors] == ["RequestNotSent"] * 3
    assert row is not None
    assert gate.arrived == 2


@pytest.mark.parametrize("leaver", [0, 1, 2])
async def test_one_waiter_who_leaves_costs_the_others_nothing(leaver: int) -> None:
    gate = Gate()
    async with connected(gate) as client:
        waiting = [asyncio.ensure_future(client.fetch(CALL)) for _ in range(3)]
        await settle()
        waiting[leaver].cancel()
        await settle()
        gate.opened.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    left = outcomes.pop(leaver)
    assert isinstance(left, asyncio.CancelledError)
    assert [getattr(row, "sid", row) for row in outcomes] == [CALL.sid] * 2
    assert (gate.arrived, gate.cancelled) == (1, 0)


async def test_the_last_waiter_who_leaves_ends_the_request_and_a_newcomer_starts_afresh() -> None:
    gate = Gate()
    before = asyncio.all_tasks()
    async with connected(gate) as client:
        waiting = [asyncio.ensure_future(client.fetch(CALL)) for _ in range(3)]
        await settle()
        for waiter in waiting:
            waiter.cancel()
        await settle()
        cancelled = gate.cancelled
        newcomer = asyncio.ensure_future(client.fetch(CALL))
        await settle()
        gate.opened.set()
        row = await newcomer

    assert cancelled == 1
    assert row is not None
    assert gate.arrived == 2
    assert asyncio.all_tasks() == before


async def test_a_waiter_that_joins_while_the_last_one_leaves_gets_a_result() -> None:
    """The request is being cancelled but has not ended: a new read must not join it."""
    gate = Gate()
    async with connected(gate) as client:
        leaving = asyncio.ensure_future(client.fetch(CALL))
        await settle()
        leaving.cancel()
        newcomer = asyncio.ensure_future(client.fetch(CALL))
        await settle()
        gate.opened.set()
        assert await newcomer is not None

    assert leaving.cancelled()
    assert gate.in_flight == 0


async def test_waiters_who_leave_as_the_request_fails_leave_no_error_unretrieved(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate(httpx.ReadError("broke"))
    async with connected(gate) as client:
        waiting = [asyncio.ensure_future(client.fetch(CALL)) for _ in range(2)]
        await settle()
        gate.opened.set()
        for waiter in waiting:
            waiter.cancel()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        await settle()

    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert not [record for record in caplog.records if record.name == "asyncio"]
