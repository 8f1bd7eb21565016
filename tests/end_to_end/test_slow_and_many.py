"""Slow, silent or very many clients do not disturb others."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.hanging import HangingUpstream
from tests.end_to_end.program import Server, serving
from tests.plain_twilio import sid

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")

CLOSED_WITHIN = 30.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
HEAD = (
    b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100\r\n\r\n"
)


def files(server: Server) -> int:
    """The number of open descriptors of the process."""
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def port_of(server: Server) -> int:
    """Its port."""
    return int(server.url.rpartition(":")[2])


async def silent(_streams: Streams) -> None:
    """Connects and sends nothing."""


async def drip(streams: Streams, text: bytes, then: bytes) -> None:
    """Sends the text, then single bytes for ever."""
    _, writer = streams
    writer.write(text)
    for _ in range(400):
        writer.write(then)
        await asyncio.sleep(0.25)


async def half_a_request(streams: Streams) -> None:
    """Sends a truncated head after an answered request."""
    reader, writer = streams
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n")
    await reader.readuntil(b"}")
    writer.write(b"GET /healthz HTTP/1.1\r\nHo")


MISBEHAVIOUR: dict[str, Callable[[Streams], Awaitable[None]]] = {
    "silent": silent,
    "slow head": lambda streams: drip(streams, b"GET /healthz HTTP/1.1\r\nX-Slow: ", b"a"),
    "slow first line": lambda streams: drip(streams, b"GET /", b"a"),
    "slow body": lambda streams: drip(streams, HEAD, b"a"),
    "blank lines": lambda streams: drip(streams, b"", b"\r\n"),
    "half a second request": half_a_request,
}


async def closed_after(server: Server, behave: Callable[[Streams], Awaitable[None]]) -> float:
    """Seconds until the gateway closes the connection of a client that behaves so."""
    streams = await asyncio.open_connection("127.0.0.1", port_of(server))
    began, behaviour = time.monotonic(), asyncio.ensure_future(behave(streams))
    try:
        async with asyncio.timeout(2 * CLOSED_WITHIN):
            while await streams[0].read(4096):
                pass
    except ConnectionError:
        pass
    finally:
        behaviour.cancel()
        await asyncio.gather(behaviour, return_exceptions=True)
        streams[1].close()
    return time.monotonic() - began


async def idle_descriptors(server: Server) -> int:
    """Its open descriptors after the start, without clients."""
    await asyncio.to_thread(server.ask, "{ __typename }")
    await asyncio.sleep(0.5)
    return files(server)


@pytest.mark.xdist_group("slow")
async def test_slow_silent_and_half_sent_requests_are_closed_within_30_seconds() -> None:
    """Ten of each at once, with default settings, while others are answered as usual."""
    with serving("--port", "0", until="GraphiQL") as server:
        before = await idle_descriptors(server)
        behaviours = [behave for behave in MISBEHAVIOUR.values() for _ in range(10)]
        slow = asyncio.gather(*(closed_after(server, behave) for behave in behaviours))
        async with httpx.AsyncClient() as client:
            while not slow.done():
                answer = await client.get(f"{server.url}/graphql?query={{__typename}}", timeout=10)
                assert answer.status_code == 200
                await asyncio.sleep(0.5)
        seconds = dict(zip(list(MISBEHAVIOUR) * 10, sorted(await slow), strict=True))
        await asyncio.sleep(0.2)
        after = files(server)

    assert max(seconds.values()) < CLOSED_WITHIN
    assert after <= before
    assert "Traceback" not in server.log


async def test_endless_headers_are_refused_and_not_stored() -> None:
    with serving("--port", "0", until="GraphiQL", GATEWAY_REQUEST_TIMEOUT="60") as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n")
        sent = 0
        try:
            while sent < 32 * 1024 * 1024 and not reader.at_eof():
                writer.write(b"X-Long: " + b"a" * 8000 + b"\r\n")
                sent += 8010
                await asyncio.wait_for(writer.drain(), 20)
                await asyncio.sleep(0)
            status = (await asyncio.wait_for(reader.read(), 20)).split(b"\r\n")[0]
        except ConnectionError:
            status = b""
        writer.close()

    assert sent < 8 * 1024 * 1024
    assert status in {b"", b"HTTP/1.1 431 Request Header Fields Too Large"}


async def fetch(port: int, number: int) -> tuple[int, bytes]:
    """Sends a distinct query on a new connection; returns status and body."""
    body = json.dumps({"query": f'{{ call(sid: "{sid("CA", number)}") {{ sid }} }}'}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    answer = await reader.read()
    writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), content


async def until_served(port: int) -> None:
    """Waits until the breaker is closed again, 30 s at most."""
    good = 0
    async with asyncio.timeout(30):
        while good < 5:
            _, body = await fetch(port, 5000 + good)  # a row read before is cached
            good = 0 if b"errors" in body else good + 1
            await asyncio.sleep(0.1)


def code_of(body: bytes) -> str:
    """The code of a response's only error."""
    (error,) = json.loads(body)["errors"]
    return str(error["extensions"]["code"])


@pytest.mark.xdist_group("many")
async def test_a_thousand_at_once_while_upstream_hangs_then_it_serves_again() -> None:
    """All are answered by the deadline; concurrent upstream requests never exceed the limit."""
    upstream = HangingUpstream()
    with (
        upstream.listening() as settings,
        serving("--port", "0", until="GraphiQL", **settings, GATEWAY_LOG_LEVEL="error") as server,
    ):
        before, began = await idle_descriptors(server), time.monotonic()
        async with asyncio.timeout(60):
            hung = await asyncio.gather(*(fetch(port_of(server), n) for n in range(1000)))
        seconds, most = time.monotonic() - began, upstream.most
        upstream.released.set()
        await until_served(port_of(server))
        async with asyncio.timeout(60):
            served = await asyncio.gather(*(fetch(port_of(server), n) for n in range(400)))
        async with asyncio.timeout(60):  # idle upstream connections stay open for five seconds
            while files(server) > before:  # noqa: ASYNC110 (it is another process)
                await asyncio.sleep(0.5)

    assert {status for status, _ in hung} == {200}
    assert all(code_of(body).startswith("UPSTREAM_") for _, body in hung)
    assert seconds < 30
    assert 0 < most <= 16
    assert {status for status, _ in served} == {200}
    found = [(n, body) for n, (_, body) in enumerate(served) if sid("CA", n).encode() not in body]
    assert found == []
    assert "Traceback" not in server.log
