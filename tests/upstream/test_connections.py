"""Connections upstream: a request that is cancelled at any moment leaves none behind."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from gateway.errors import RequestNotSent, UpstreamError, UpstreamTimeout
from gateway.settings import Secret, UpstreamSettings
from gateway.upstream.calls import FetchCall
from gateway.upstream.client import Account, UpstreamClient
from gateway.upstream.connections import Connections
from gateway.upstream.pipeline import ANONYMOUS_CONTEXT, RequestContext
from tests.end_to_end.hanging import HangingUpstream
from tests.plain_twilio import ACCOUNT, TOKEN, sid
from tests.waiting import until_in_loop

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc")


def descriptors() -> int:
    """How many files and sockets this process has open."""
    return len(os.listdir("/proc/self/fd"))


@needs_proc
async def test_deadlines_that_pass_at_every_moment_strand_no_connection() -> None:
    """Some expire after connecting and before sending: Note [Stranded connections]."""
    upstream = HangingUpstream()
    with upstream.listening() as settings:
        account = Account(ACCOUNT, ACCOUNT, Secret(TOKEN))
        base_url = settings["TWILIO_BASE_URL"]
        client = UpstreamClient(account, UpstreamSettings(base_url=base_url, max_in_flight=16))
        before, clock = descriptors(), asyncio.get_running_loop().time

        async def ask_briefly(number: int) -> str:
            try:
                async with asyncio.timeout(1 + number * 0.002):
                    await asyncio.sleep(number * 0.002)
                    return await ask(number, RequestContext(until=clock() + 0.8))
            except (TimeoutError, UpstreamTimeout):
                return "late"

        async def ask(number: int, context: RequestContext = ANONYMOUS_CONTEXT) -> str:
            row = await client.fetch(FetchCall(sid=sid("CA", number)), context=context)
            return row.sid if row else ""

        late = await asyncio.gather(*map(ask_briefly, range(800)))
        await until_in_loop(lambda: descriptors() <= before)
        upstream.released.set()
        served = await asyncio.gather(*map(ask, range(40)))
        await client.aclose()

    assert set(late) == {"late"}
    assert served == [sid("CA", number) for number in range(40)]
    assert upstream.most <= 16


@needs_proc
async def test_clients_that_rest_are_closed_and_the_first_stays() -> None:
    """After a rush of twenty one pool of eight is left, and it serves."""
    upstream = HangingUpstream()
    with upstream.listening() as settings:
        before, connections = descriptors(), Connections(idle_seconds=0.3)
        upstream.released.set()

        async def ask(number: int) -> int:
            url = f"{settings['TWILIO_BASE_URL']}/{sid('CA', number)}.json"
            async with connections.stream("GET", url) as response:
                await response.aread()
            return response.status_code

        async def rush() -> None:
            for first in range(0, 80, 20):
                await asyncio.gather(*map(ask, range(first, first + 20)))

        await rush()
        busy = descriptors()
        await until_in_loop(
            lambda: descriptors() <= before + 2 * 8
        )  # each end of a connection is one
        rested = descriptors()
        again = await ask(99)
        await connections.aclose()
        await until_in_loop(lambda: descriptors() <= before)

    assert again == 200
    assert before < rested < busy


async def test_closing_while_requests_run_ends_them_in_order() -> None:
    """Each ends with a response or an error of ours, and leaves no connection."""
    upstream = HangingUpstream()
    with upstream.listening() as settings:
        account = Account(ACCOUNT, ACCOUNT, Secret(TOKEN))
        base_url = settings["TWILIO_BASE_URL"]
        client = UpstreamClient(
            account, UpstreamSettings(base_url=base_url, max_in_flight=20, read_timeout=3.0)
        )
        numbers = range(20)
        asked = [asyncio.ensure_future(client.fetch(FetchCall(sid=sid("CA", n)))) for n in numbers]
        async with asyncio.timeout(10):
            await until_in_loop(lambda: upstream.in_flight >= 8)
            await client.aclose()
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            await until_in_loop(lambda: not upstream.in_flight)

    assert all(isinstance(outcome, UpstreamError) for outcome in outcomes), outcomes


async def test_closed_is_closed() -> None:
    """Closing twice does no harm, and no request starts afterwards."""
    connections = Connections(transport=httpx.MockTransport(lambda _: httpx.Response(204)))
    async with connections.stream("GET", "http://twilio.test/") as response:
        assert response.status_code == 204
        await connections.aclose()
    await connections.aclose()
    with pytest.raises(RequestNotSent):
        async with connections.stream("GET", "http://twilio.test/"):
            pass
