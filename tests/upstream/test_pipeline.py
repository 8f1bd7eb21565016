"""The pipeline: reads are retried where that helps and in time; writes never happen twice."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from gateway.errors import (
    CircuitOpen,
    OutcomeUnknown,
    RequestNotSent,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.telemetry.records import UpstreamExchange
from gateway.upstream.breaker import BreakerState
from gateway.upstream.calls import FetchCall, ListCalls
from gateway.upstream.client import RequestContext
from gateway.upstream.recordings import FetchRecording
from gateway.upstream.writes import make_call
from tests.plain_twilio import PlainTwilio, call, sid
from tests.upstream.stage import connected, raising

CALL = FetchCall(sid=sid("CA", 1))
GOOD = httpx.Response(200, json=call(1))
MAKE = make_call((("To", "+1 5&"), ("StatusCallbackEvent", "a"), ("StatusCallbackEvent", "b")))
Answer = httpx.Response | Exception | Callable[[], httpx.Response]


class Script(httpx.AsyncBaseTransport):
    """An upstream that gives these responses, then repeats the last; records its requests."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer


def streamed(*chunks: bytes, **headers: str) -> Callable[[], httpx.Response]:
    """A body that comes in parts."""

    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: httpx.Response(200, headers=named, content=body())


def hanging() -> httpx.Response:
    """Headers, then nothing."""

    async def body() -> AsyncIterator[bytes]:
        await asyncio.sleep(60)
        yield b""

    return httpx.Response(200, content=body())


RETRYABLE: dict[str, Answer] = {
    "connect": httpx.ConnectError("refused"),
    "reset": httpx.ReadError("reset"),
    "no HTTP": httpx.RemoteProtocolError("disconnected"),
    "429": httpx.Response(429),
    "500": httpx.Response(500),
    "502": httpx.Response(502),
    "503": httpx.Response(503),
    "504": httpx.Response(504),
    "truncated": httpx.Response(200, content=b'{"sid": "CA'),
    "html": httpx.Response(200, content=b"<html>", headers={"Content-Type": "text/html"}),
    "envelope": httpx.Response(200, json={"calls": []}),
    "another": httpx.Response(200, json=call(2)),
    "hang": hanging,
}


@pytest.mark.parametrize("failure", RETRYABLE.values(), ids=RETRYABLE)
async def test_a_read_is_attempted_three_times_at_most(failure: Answer) -> None:
    exchanges: list[UpstreamExchange] = []
    recovering, failing = Script(failure, failure, GOOD), Script(failure)
    async with connected(recovering, attempt_timeout=0.05) as client:
        assert (await client.fetch(CALL, exchanges.append)) is not None
    async with connected(failing, attempt_timeout=0.05) as client:
        with pytest.raises(UpstreamError):
            await client.fetch(CALL)

    assert (len(recovering.requests), len(failing.requests)) == (3, 3)
    assert [exchange.failure is None for exchange in exchanges] == [False, False, True]


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 501, 505])
async def test_a_lasting_failure_is_not_retried(status: int) -> None:
    script = Script(httpx.Response(status))
    async with connected(script) as client:
        with pytest.raises(UpstreamError):
            await client.page(ListCalls())
    assert len(script.requests) == 1


async def test_retry_after_that_fits_is_waited_for() -> None:
    script = Script(httpx.Response(429, headers={"Retry-After": "1"}), GOOD)
    started = time.monotonic()
    async with connected(script) as client:
        await client.fetch(CALL)
    assert 1.0 <= time.monotonic() - started < 6


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_beyond_the_deadline_fails_at_once_and_is_reported(status: int) -> None:
    script = Script(httpx.Response(status, headers={"Retry-After": "30"}))
    started = time.monotonic()
    async with connected(script) as client:
        with pytest.raises(UpstreamError) as caught:
            await client.fetch(CALL)

    assert time.monotonic() - started < 1
    assert len(script.requests) == 1
    assert caught.value.extensions["retryAfter"] == 30.0


async def test_a_lasting_429_says_when_to_retry() -> None:
    async with connected(Script(httpx.Response(429))) as client:
        with pytest.raises(UpstreamRateLimited) as caught:
            await client.fetch(CALL)
    assert caught.value.extensions["retryAfter"] == 1.0


async def test_under_a_permanent_429_upstream_sees_at_most_a_fifth_more() -> None:
    script = Script(httpx.Response(429))
    async with connected(script) as client:
        reads = (client.fetch(FetchCall(sid=sid("CA", number))) for number in range(150))
        errors = await asyncio.gather(*reads, return_exceptions=True)

    assert {type(error) for error in errors} == {UpstreamRateLimited}
    assert 150 < len(script.requests) <= 180


async def fail(client: Any, kind: Any, times: int) -> list[str]:
    """Reads so many of this kind, one after the other; the names of the errors."""
    names = []
    for number in range(times):
        prefix = "CA" if kind is FetchCall else "RE"
        try:
            await client.fetch(kind(sid=sid(prefix, number)))
        except UpstreamError as error:
            names.append(type(error).__name__)
    return names


async def test_an_open_breaker_of_recordings_does_not_stop_calls() -> None:
    script = Script(httpx.Response(503))
    async with connected(script, max_attempts=1) as client:
        names = await fail(client, FetchRecording, 25)
        assert names == ["UpstreamUnavailable"] * 20 + ["CircuitOpen"] * 5
        assert client.breakers() == {
            "calls": BreakerState.CLOSED,
            "recordings": BreakerState.OPEN,
            "notifications": BreakerState.CLOSED,
        }
        script.answers = [GOOD]
        started = time.monotonic()
        with pytest.raises(CircuitOpen):
            await client.fetch(FetchRecording(sid=sid("RE", 1)))
        assert time.monotonic() - started < 0.05
        assert await client.fetch(CALL) is not None
    assert len(script.requests) == 21


async def test_an_open_breaker_rejects_before_the_queue() -> None:
    """A request that the breaker rejects does not wait for a slot."""
    script = Script(httpx.Response(503))
    async with connected(script, max_attempts=1, max_in_flight=1) as client:
        await fail(client, FetchRecording, 20)
        script.answers = [hanging]
        holding = asyncio.ensure_future(client.fetch(CALL))
        await asyncio.sleep(0.01)
        async with asyncio.timeout(0.5):
            with pytest.raises(CircuitOpen):
                await client.fetch(FetchRecording(sid=sid("RE", 1)))
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


async def test_4xx_and_clients_that_leave_do_not_open_the_breaker() -> None:
    script = Script(httpx.Response(400))
    async with connected(script, max_attempts=1) as client:
        assert await fail(client, FetchCall, 60) == ["UpstreamRejected"] * 60
        assert client.breakers()["calls"] is BreakerState.CLOSED
    script.answers = [hanging]
    async with connected(script, max_attempts=1) as client:
        for number in range(60):
            leaving = asyncio.ensure_future(client.fetch(FetchCall(sid=sid("CA", number))))
            await asyncio.sleep(0.001)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        assert client.breakers()["calls"] is BreakerState.CLOSED
    assert len(script.requests) == 120


async def test_short_timeouts_do_not_open_the_breaker_and_hangs_do() -> None:
    """A timeout after a twentieth of a second proves nothing about upstream."""
    script = Script(hanging)
    async with connected(script, max_attempts=1) as client:
        for _ in range(4):
            context = RequestContext(until=asyncio.get_running_loop().time() + 0.1)
            reads = [client.fetch(FetchCall(sid=sid("CA", n)), None, context) for n in range(8)]
            outcomes = await asyncio.gather(*reads, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {UpstreamTimeout}
        assert len(script.requests) == 32
        assert client.breakers()["calls"] is BreakerState.CLOSED
    async with connected(script, max_attempts=1, attempt_timeout=2.0) as client:
        reads = [client.fetch(FetchCall(sid=sid("CA", n))) for n in range(5)]
        await asyncio.gather(*reads, return_exceptions=True)
        assert client.breakers()["calls"] is BreakerState.OPEN


async def test_hangs_at_one_resource_do_not_slow_the_others() -> None:
    """They hold their slots; the limit for the rest stays what it was."""
    script = Script(hanging)
    async with connected(script, max_attempts=1, attempt_timeout=2.1) as client:
        before = client.concurrency
        hung = [client.fetch(FetchCall(sid=sid("CA", n))) for n in range(3)]
        await asyncio.gather(*hung, return_exceptions=True)
        script.answers = [httpx.Response(404)]
        for number in range(30):
            await client.fetch(FetchCall(sid=sid("CA", number)))
        assert client.concurrency == before


async def test_a_shared_read_lives_until_its_longest_deadline() -> None:
    async def slow() -> AsyncIterator[bytes]:
        await asyncio.sleep(0.3)
        yield GOOD.content

    async def breaking() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(0.02)
        raise httpx.ReadError("reset")

    script = Script(
        lambda: httpx.Response(200, content=breaking()), lambda: httpx.Response(200, content=slow())
    )
    async with connected(script) as client:
        now = asyncio.get_running_loop().time()
        hasty = asyncio.ensure_future(client.fetch(CALL, None, RequestContext(until=now + 0.2)))
        await asyncio.sleep(0)
        patient = asyncio.ensure_future(client.fetch(CALL, None, RequestContext(until=now + 5)))
        assert await patient is not None
        await asyncio.gather(hasty, return_exceptions=True)
    assert len(script.requests) == 2


async def test_a_read_with_all_its_attempts_ends_at_its_timeout() -> None:
    started = time.monotonic()
    async with connected(Script(hanging), attempt_timeout=0.2, read_timeout=0.5) as client:
        with pytest.raises(UpstreamTimeout):
            await client.fetch(CALL)
    assert 0.3 < time.monotonic() - started < 3


async def test_a_request_without_a_slot_in_time_is_not_sent() -> None:
    script = Script(hanging)
    async with connected(script, max_in_flight=1, read_timeout=1.0) as client:
        now = asyncio.get_running_loop().time()
        reads = [
            client.fetch(FetchCall(sid=sid("CA", n)), None, RequestContext(until=now + seconds))
            for n, seconds in enumerate((0.8, 0.2, 0.2))
        ]
        outcomes = await asyncio.gather(*reads, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {UpstreamTimeout}
    assert len(script.requests) == 1


async def test_a_form_is_posted_and_its_row_comes_back() -> None:
    script = Script(httpx.Response(201, json=call(1)))
    async with connected(script) as client:
        made = await client.send(MAKE)

    (request,) = script.requests
    assert made.sid == sid("CA", 1)
    assert (request.method, request.url.path.rsplit("/", 1)[1]) == ("POST", "Calls.json")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.content == b"To=%2B1+5%26&StatusCallbackEvent=a&StatusCallbackEvent=b"
    assert "+1" not in repr(MAKE)


@pytest.mark.parametrize(
    "failure", [httpx.Response(429), httpx.ConnectError("refused"), httpx.ConnectTimeout("slow")]
)
async def test_a_form_is_repeated_where_it_certainly_did_nothing(failure: Answer) -> None:
    recovering, failing = Script(failure, httpx.Response(201, json=call(1))), Script(failure)
    async with connected(recovering) as client:
        assert await client.send(MAKE)
    async with connected(failing) as client:
        with pytest.raises((UpstreamRateLimited, RequestNotSent)):
            await client.send(MAKE)
    assert (len(recovering.requests), len(failing.requests)) == (2, 3)


UNKNOWN = {name: RETRYABLE[name] for name in RETRYABLE if name not in {"connect", "429", "another"}}


@pytest.mark.parametrize("failure", UNKNOWN.values(), ids=UNKNOWN)
async def test_a_form_that_may_have_done_something_is_never_sent_twice(failure: Answer) -> None:
    """A kept connection that is dropped among them: it is not told as never sent."""
    script = Script(failure, httpx.Response(201, json=call(1)))
    async with connected(script, read_timeout=0.2) as client:
        with pytest.raises(OutcomeUnknown) as caught:
            await client.send(MAKE)

    assert len(script.requests) == 1
    assert caught.value.extensions["code"] == "OUTCOME_UNKNOWN"
    assert str(caught.value).endswith("Check whether it happened before you retry.")


async def test_a_form_that_is_refused_is_a_plain_refusal() -> None:
    script = Script(httpx.Response(400, json={"code": 21201}))
    async with connected(script) as client:
        with pytest.raises(UpstreamRejected) as caught:
            await client.send(MAKE)
    assert caught.value.twilio_code == 21201
    assert len(script.requests) == 1


async def test_a_body_is_given_up_beyond_its_size_and_not_asked_for_again() -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 65536
            yield b" " * 65536

    script = Script(lambda: httpx.Response(200, content=endless()))
    async with connected(script) as client:
        with pytest.raises(UpstreamInvalid, match="more than 1048576 bytes"):
            await client.fetch(CALL)
    assert given <= 1024 * 1024 + 2 * 65536
    assert len(script.requests) == 1


async def test_an_error_keeps_its_status_whatever_the_size_of_its_page() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"<p>" * 10_000

    script = Script(lambda: httpx.Response(503, content=endless()))
    async with connected(script, max_attempts=1) as client:
        with pytest.raises(UpstreamUnavailable) as caught:
            await client.fetch(CALL)
    assert caught.value.status == 503


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "GZIP"])
async def test_what_is_compressed_unasked_is_read(coding: str) -> None:
    body = gzip.compress(GOOD.content)
    script = Script(streamed(body[:20], body[20:], Content_Encoding=coding))
    async with connected(script) as client:
        assert await client.fetch(CALL) is not None
    assert script.requests[0].headers["Accept-Encoding"] == "identity"


async def test_a_bomb_is_inflated_no_further_than_a_plain_body_may_be_large() -> None:
    bomb = gzip.compress(b" " * 100_000_000)
    script = Script(streamed(bomb, Content_Encoding="gzip"))
    async with connected(script) as client:
        with pytest.raises(UpstreamInvalid, match="more than 1048576 bytes"):
            await client.fetch(CALL)


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "zstd", "mystery"])
async def test_a_coding_that_was_not_asked_for_is_an_invalid_answer(coding: str) -> None:
    script = Script(streamed(GOOD.content, Content_Encoding=coding))
    async with connected(script, max_attempts=1) as client:
        with pytest.raises(UpstreamInvalid):
            await client.fetch(CALL)


async def test_a_compressed_body_that_is_cut_off_is_an_invalid_answer() -> None:
    body = gzip.compress(GOOD.content)
    script = Script(streamed(body[:-9], Content_Encoding="gzip"))
    async with connected(script, max_attempts=1) as client:
        with pytest.raises(UpstreamInvalid):
            await client.fetch(CALL)


async def test_no_retries_where_the_settings_say_so() -> None:
    transport = raising(httpx.ReadError("reset"))
    exchanges: list[UpstreamExchange] = []
    once: list[dict[str, Any]] = [{"max_attempts": 1}, {"retry_budget_percent": 0}]
    for settings in once:
        async with connected(transport, **settings) as client:
            with pytest.raises(UpstreamUnavailable):
                await client.fetch(CALL, exchanges.append)
    assert len(exchanges) == 2


async def test_the_last_read_tells_how_upstream_is_and_nothing_of_our_own_line() -> None:
    twilio = PlainTwilio(calls=[call(1)], delay=0.1)
    async with connected(twilio, max_in_flight=1, max_queued=1) as client:
        clock = asyncio.get_running_loop().time
        reads = [
            asyncio.ensure_future(client.page(ListCalls(page_size=size))) for size in range(1, 5)
        ]
        done, _ = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
        assert {type(read.exception()) for read in done} == {UpstreamRateLimited}
        before = client.last_read
        assert before is None

        await asyncio.gather(*reads, return_exceptions=True)
        last = client.last_read
        assert last is not None
        assert last.code is None
        assert clock() - 5 < last.at <= clock()
