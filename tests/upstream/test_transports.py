"""Connections upstream: a request that is cancelled at any moment leaves none behind."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.errors import RequestNotSent, UpstreamError, UpstreamTimeout
from gateway.upstream.calls import FetchCall
from gateway.upstream.pipeline import ANONYMOUS_CONTEXT, RequestContext
from gateway.upstream.sending import HttpRequest
from tests.end_to_end.hanging import HangingUpstream
from tests.plain_twilio import ROOT, sid
from tests.promises.faulty import misbehaving
from tests.transports import BOTH, client_over, transport_to
from tests.upstream.wire import authority
from tests.waiting import until_in_loop

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc")


def sockets() -> int:
    """How many sockets this process has open."""
    descriptors = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum(Path(path).is_socket() for path in descriptors)


@needs_proc
@BOTH
async def test_deadlines_that_pass_at_every_moment_strand_no_connection(via: str) -> None:
    """Some expire after connecting and before sending: Note [Stranded connections]."""
    upstream = HangingUpstream()
    with upstream.listening() as settings:
        client = client_over(settings["TWILIO_BASE_URL"], via, max_in_flight=16)
        before, clock = sockets(), asyncio.get_running_loop().time

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
        await until_in_loop(lambda: sockets() <= before)
        upstream.released.set()
        served = await asyncio.gather(*map(ask, range(40)))
        await client.aclose()

    assert set(late) == {"late"}
    assert served == [sid("CA", number) for number in range(40)]
    assert upstream.most <= 16


@needs_proc
@BOTH
async def test_after_a_rush_few_connections_are_left_and_they_serve(via: str) -> None:
    upstream = HangingUpstream()
    with upstream.listening() as settings:
        before, url = sockets(), settings["TWILIO_BASE_URL"]
        transport = transport_to(via, url)
        upstream.released.set()

        async def ask(number: int) -> int:
            request = HttpRequest("GET", f"{url}/{sid('CA', number)}.json", 10_000)
            return (await transport.exchange(request, 5)).status

        for first in range(0, 80, 20):
            await asyncio.gather(*map(ask, range(first, first + 20)))
        # Each end of a connection is a socket, and both ends are in this process.
        await until_in_loop(lambda: sockets() <= before + 2 * 8, 10)
        again = await ask(99)
        await transport.aclose()
        await until_in_loop(lambda: sockets() <= before)

    assert again == 200


@BOTH
async def test_closing_while_requests_run_ends_them_in_order(via: str) -> None:
    """Each ends with a response or an error of ours, and leaves no connection."""
    upstream = HangingUpstream()
    with upstream.listening() as settings:
        client = client_over(settings["TWILIO_BASE_URL"], via, max_in_flight=20, read_timeout=3.0)
        numbers = range(20)
        asked = [asyncio.ensure_future(client.fetch(FetchCall(sid=sid("CA", n)))) for n in numbers]
        async with asyncio.timeout(10):
            await until_in_loop(lambda: upstream.in_flight >= 8)
            await client.aclose()
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            await until_in_loop(lambda: not upstream.in_flight)

    assert all(isinstance(outcome, UpstreamError) for outcome in outcomes), outcomes


@BOTH
async def test_closed_is_closed(via: str) -> None:
    """Closing twice does no harm, and no request starts afterwards."""
    transport = transport_to(via, "http://127.0.0.1:9")
    await transport.aclose()
    await transport.aclose()
    with pytest.raises(RequestNotSent):
        await transport.exchange(HttpRequest("GET", "http://127.0.0.1:9/", 10), 1)


async def test_a_post_over_tls_meets_no_connection_that_upstream_has_closed() -> None:
    """Upstream closes it while the loop is busy: aiohttp learns of it just in time."""
    server, client = authority()
    with misbehaving(tls=server) as twilio:
        transport = transport_to("aiohttp", "", tls=client)
        url = f"{twilio.url}{ROOT}Calls.json"
        for _ in range(10):
            await transport.exchange(HttpRequest("GET", url, 100_000), 5)
            twilio.vanish()
            twilio.come_back()
            reply = await transport.exchange(HttpRequest("POST", url, 100_000), 5)
            assert reply.status == 201
        await transport.aclose()

    assert twilio.look().count("^POST") == 10
