"""Writes: sent twice only where that is certainly safe.

The tests call the upstream client and count the requests that arrive at a real port.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from gateway.errors import OutcomeUnknown, RequestNotSent
from gateway.upstream.calls import FetchCall
from gateway.upstream.client import UpstreamClient
from gateway.upstream.writes import make_call
from tests.promises.faults import (
    hangs_after_headers,
    hangs_before_headers,
    resets,
    resets_in_the_body,
    says,
    truncates,
)
from tests.promises.faulty import Fault, FaultyTwilio, misbehaving
from tests.promises.rows import account, final
from tests.transports import client_over

Figure = Callable[[str], None]
CALL = make_call((("To", "+15005550010"), ("From", "+15005550006")))
IN_DOUBT: dict[str, Fault] = {
    "500": says(500),
    "502": says(502),
    "503": says(503),
    "504": says(504),
    "a reset": resets,
    "a reset in the body": resets_in_the_body,
    "a truncated answer": truncates,
    "an HTML page": says(200, b"<html>"),
    "a hang": hangs_before_headers,
    "a hang after the headers": hangs_after_headers,
}


@pytest.fixture
def upstream() -> Iterator[FaultyTwilio]:
    """A Twilio that does nothing wrong yet."""
    with misbehaving(account()) as twilio:
        yield twilio


@asynccontextmanager
async def client_of(twilio: FaultyTwilio) -> AsyncIterator[UpstreamClient]:
    """A client with the default settings, but for one second in place of eight."""
    client = client_over(twilio.url, read_timeout=1.0)
    try:
        yield client
    finally:
        await client.aclose()


async def test_a_call_is_made_once(upstream: FaultyTwilio) -> None:
    async with client_of(upstream) as client:
        made = await client.send(CALL)
    seen = upstream.look()
    assert made.sid.startswith("CA")
    assert (seen.count("^POST Calls "), seen.processed_posts) == (1, 1)


@pytest.mark.parametrize("name", IN_DOUBT)
async def test_a_write_that_may_have_happened_is_not_retried(
    upstream: FaultyTwilio, name: str
) -> None:
    """Also over a connection that was used before, as clients are tempted to then."""
    async with client_of(upstream) as client:
        await client.fetch(FetchCall(sid=final(1)))
        upstream.fail(IN_DOUBT[name], "^POST")
        with pytest.raises(OutcomeUnknown):
            await client.send(CALL)
    assert upstream.look().count("^POST") == 1


async def test_a_stale_connection_causes_no_second_post(
    upstream: FaultyTwilio, figure: Figure
) -> None:
    """Ten times: a connection is used, upstream closes it, the next request is a POST."""
    async with client_of(upstream) as client:
        for number in range(10):
            await client.fetch(FetchCall(sid=final(number)))
            upstream.vanish()
            upstream.come_back()
            await client.send(CALL)
    seen = upstream.look()
    assert (seen.count("^POST"), seen.processed_posts) == (10, 10)
    figure("10 POSTs over connections just closed: 10 received")


async def test_a_write_refused_with_429_is_retried(upstream: FaultyTwilio, figure: Figure) -> None:
    upstream.fail(says(429), "^POST", times=2)
    async with client_of(upstream) as client:
        await client.send(CALL)
    seen = upstream.look()
    assert (seen.count("^POST"), seen.processed_posts) == (3, 1)
    figure("3 received, 1 processed")


async def test_a_write_that_was_not_sent_is_reported_as_not_sent(upstream: FaultyTwilio) -> None:
    upstream.vanish()
    async with client_of(upstream) as client:
        with pytest.raises(RequestNotSent):
            await client.send(CALL)
    assert upstream.look().requests == []
    upstream.come_back()
