"""Shutdown: readiness first, then requests in flight, then exit 0; no request is lost."""

import asyncio
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.end_to_end.hanging import HangingUpstream
from tests.end_to_end.program import Server, serving
from tests.end_to_end.service_manager import inheriting
from tests.plain_twilio import sid
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("end")

QUERY = {"query": f'{{ call(sid: "{sid("CA", 1)}") {{ sid }} }}'}


def is_refused(url: str) -> bool:
    """True if nobody listens there."""
    try:
        httpx.get(f"{url}/healthz", timeout=5)
    except httpx.ConnectError:
        return True
    return False


def test_readiness_fails_then_requests_in_flight_are_answered_then_it_exits_with_0() -> None:
    upstream = HangingUpstream()
    with (
        upstream.listening() as settings,
        serving("--port", "0", until="GraphiQL", **settings) as server,
        httpx.Client(base_url=server.url, timeout=20) as probe,
        ThreadPoolExecutor() as others,
    ):
        assert probe.get("/readyz").status_code == 200
        in_flight = others.submit(httpx.post, f"{server.url}/graphql", json=QUERY, timeout=20)
        until(lambda: upstream.in_flight == 1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        ready = probe.get("/readyz")
        until(lambda: is_refused(server.url))
        upstream.released.set()
        answer = in_flight.result()
        exit_code = server.process.wait(20)

    assert (ready.status_code, ready.json()) == (503, {"status": "not ready", "code": "DRAINING"})
    assert ready.headers["connection"] == "close"
    assert answer.json() == {"data": {"call": {"sid": sid("CA", 1)}}}
    assert exit_code == 0
    assert "Traceback" not in server.log


def test_with_a_delay_connections_are_still_taken_while_readiness_says_no() -> None:
    with serving("--port", "0", until="GraphiQL", GATEWAY_DRAIN_DELAY="2") as server:
        httpx.get(f"{server.url}/readyz", timeout=20)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        ready = httpx.get(f"{server.url}/readyz", timeout=20)
        answer = server.ask("{ __typename }")
        exit_code = server.process.wait(20)

    assert (ready.status_code, ready.json()["code"]) == (503, "DRAINING")
    assert answer == {"__typename": "Query"}
    assert exit_code == 0


def test_requests_beyond_the_drain_timeout_are_cancelled_and_it_exits_with_0() -> None:
    upstream = HangingUpstream()
    with (
        upstream.listening() as settings,
        serving("--port", "0", until="GraphiQL", **settings, GATEWAY_DRAIN_TIMEOUT="1") as server,
        ThreadPoolExecutor() as others,
    ):
        in_flight = others.submit(httpx.post, f"{server.url}/graphql", json=QUERY, timeout=20)
        until(lambda: upstream.in_flight == 1)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        exit_code = server.process.wait(20)
        seconds = time.monotonic() - began
        upstream.released.set()
        cut_off = in_flight.exception()

    assert exit_code == 0
    assert seconds < 8
    assert isinstance(cut_off, httpx.HTTPError) or in_flight.result().status_code >= 500


class Load:
    """Clients that send requests all the time, some on new connections; none retries."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_over = False
        self.answered = 0
        self.lost: list[str] = []

    async def run(self) -> None:
        """Runs until the load is stopped."""
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(self._keep_asking(is_kept=True))
                group.create_task(self._keep_asking(is_kept=False))

    async def _keep_asking(self, *, is_kept: bool) -> None:
        limits = httpx.Limits(max_keepalive_connections=None if is_kept else 0)
        async with httpx.AsyncClient(limits=limits, timeout=30) as client:
            while not self.is_over:
                await self._ask(client)
                await asyncio.sleep(0.01)

    async def _ask(self, client: httpx.AsyncClient) -> None:
        query = {"query": "{ calls(first: 1) { nodes { sid } } }"}
        try:
            answer = await client.post(f"{self.url}/graphql", json=query)
            is_whole = answer.status_code == 200 and "errors" not in answer.json()
            self.lost += [] if is_whole else [answer.text]
        except httpx.HTTPError as error:
            self.lost.append(repr(error))
        self.answered += 1


async def lines_until(server: Server, start: str) -> None:
    """Reads the program's output in a thread, so that the load goes on."""
    stdout = server.process.stdout
    assert stdout is not None
    while not (await asyncio.to_thread(stdout.readline)).startswith(start):
        assert server.process.poll() is None


async def test_replacing_the_process_under_load_loses_no_request() -> None:
    """Twice: each process inherits the socket before its predecessor gets SIGTERM."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=2048) as listener,
        inheriting(listener) as first,
    ):
        load = Load(f"http://127.0.0.1:{listener.getsockname()[1]}")
        await lines_until(first, "GraphiQL")
        working = asyncio.ensure_future(load.run())
        with inheriting(listener) as second:
            await lines_until(second, "GraphiQL")
            await ends(first)
            before = load.answered
            with inheriting(listener) as third:
                await lines_until(third, "GraphiQL")
                await ends(second)
                await asyncio.sleep(1)
                load.is_over = True
                await working

    assert load.lost == []
    assert load.answered > before > 50
    assert (first.exit_code, second.exit_code, third.exit_code) == (0, 0, 0)
    assert "Traceback" not in first.log + second.log + third.log


async def ends(server: Server) -> None:
    """Sends SIGTERM and waits for the exit."""
    server.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(server.process.wait, 30)


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_ctrl_c_ends_it_too() -> None:
    """Background jobs of a shell ignore SIGINT, and so would the program: here it does not."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with serving("--port", "0", until="GraphiQL") as server:
            server.process.send_signal(signal.SIGINT)
            server.process.wait(20)
    finally:
        signal.signal(signal.SIGINT, inherited)

    assert "Traceback" not in server.log
