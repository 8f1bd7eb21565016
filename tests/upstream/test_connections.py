"""Connections upstream: requests that are cancelled at any moment leave none behind."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from gateway.errors import NeverSent, UpstreamError, UpstreamTimeout
from gateway.settings import Secret
from gateway.upstream.client import Account, Limits, UpstreamClient
from gateway.upstream.connections import Connections
from gateway.upstream.requests import FetchCall
from tests.end_to_end.hanging import HangingUpstream
from tests.plain_twilio import ACCOUNT, TOKEN, sid


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc")
async def test_deadlines_that_pass_at_every_moment_strand_no_connection() -> None:
    """Some strike when a connection stands and nothing was sent: Note [Stranded connections]."""
    upstream = HangingUpstream()
    with upstream.listening() as settings:
        account, limits = Account(ACCOUNT, ACCOUNT, Secret(TOKEN)), Limits(read=0.8, in_flight=16)
        client = UpstreamClient(account, settings["TWILIO_BASE_URL"], limits=limits)
        before = len(os.listdir("/proc/self/fd"))

        async def ask(number: int, seconds: float) -> str:
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.sleep(number * 0.002)
                    row = await client.fetch(FetchCall(sid=sid("CA", number)))
                    return row.sid if row else ""
            except (TimeoutError, UpstreamTimeout):
                return "late"

        late = await asyncio.gather(*(ask(n, 1 + n * 0.002) for n in range(800)))
        await asyncio.sleep(0.1)
        after = len(os.listdir("/proc/self/fd"))
        upstream.released.set()
        served = await asyncio.gather(*(ask(n, 20) for n in range(40)))
        await client.aclose()

    assert set(late) == {"late"}
    assert served == [sid("CA", number) for number in range(40)]
    assert upstream.most <= 16
    assert after <= before + 2


async def test_clients_that_rest_are_closed_and_the_first_stays() -> None:
    """After a rush of twenty one pool of eight is left, and it serves."""
    upstream = HangingUpstream()
    with upstream.listening() as settings:
        account, limits = Account(ACCOUNT, ACCOUNT, Secret(TOKEN)), Limits(in_flight=20)
        client = UpstreamClient(account, settings["TWILIO_BASE_URL"], limits=limits)
        upstream.released.set()

        async def rush() -> int:
            for first in range(0, 80, 20):
                numbers = range(first, first + 20)
                await asyncio.gather(*(client.fetch(FetchCall(sid=sid("CA", n))) for n in numbers))
            return len(os.listdir("/proc/self/fd"))

        busy = await rush()
        await asyncio.sleep(5.5)
        rested = len(os.listdir("/proc/self/fd"))
        again = await client.fetch(FetchCall(sid=sid("CA", 99)))
        await client.aclose()
        closed = len(os.listdir("/proc/self/fd"))

    assert again is not None
    assert closed < rested < busy
    assert rested <= closed + 2 * 8


async def test_closing_while_requests_run_ends_them_in_order() -> None:
    """Each ends with an error of ours or its answer, and what they leave is nothing."""
    upstream = HangingUpstream()
    with upstream.listening() as settings:
        account, limits = Account(ACCOUNT, ACCOUNT, Secret(TOKEN)), Limits(in_flight=20, read=3.0)
        client = UpstreamClient(account, settings["TWILIO_BASE_URL"], limits=limits)
        numbers = range(20)
        asked = [asyncio.ensure_future(client.fetch(FetchCall(sid=sid("CA", n)))) for n in numbers]
        async with asyncio.timeout(10):
            while upstream.in_flight < 8:  # noqa: ASYNC110 (it is another thread)
                await asyncio.sleep(0.01)
            await client.aclose()
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            while upstream.in_flight:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    assert all(isinstance(outcome, UpstreamError) for outcome in outcomes), outcomes


async def test_closed_is_closed() -> None:
    """Twice is once, and nothing is begun afterwards."""
    connections = Connections(transport=httpx.MockTransport(lambda _: httpx.Response(204)))
    async with connections.stream("GET", "http://twilio.test/") as response:
        assert response.status_code == 204
        await connections.aclose()
    await connections.aclose()
    with pytest.raises(NeverSent):
        async with connections.stream("GET", "http://twilio.test/"):
            pass
