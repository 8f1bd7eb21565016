"""How connections are served: deadlines close slow ones, and no others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import websockets
from starlette.types import Receive, Scope, Send

from gateway.server.disconnects import EXTENSION
from gateway.server.uvicorn_server import ServerConfig
from tests.serving import running
from tests.settings import settings_of

LIMIT = 0.5  # seconds: request_timeout in these tests
LONG = 3 * LIMIT
LARGE = 8_000_000  # bytes
GET = b"GET /%b HTTP/1.1\r\nHost: g\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """`/slow` answers late, `/parts` in parts, `/large` with 8 MB; the rest at once."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(LONG)
        await send({"type": "websocket.send", "text": "still here"})
        await receive()
        return
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        await asyncio.sleep(LONG)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(6 if scope["path"] == "/parts" else 0):
        await asyncio.sleep(LONG / 4)
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
    body = b"x" * LARGE if scope["path"] == "/large" else b"whole"
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    """A server of this app, and its port."""
    given = settings_of(**{"request_timeout": LIMIT, "keep_alive_timeout": 2 * LIMIT} | settings)
    async with running(ServerConfig(app, given, lifespan="off")) as (port, server):
        yield port, server


async def talk(port: int, *texts: bytes, pause: float = 0.0, until: bytes = b"") -> bytes:
    """Sends these texts; returns what the server sends, up to `until` or its close."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            for text in texts:
                writer.write(text)
                await writer.drain()
                await asyncio.sleep(pause)
            return await (reader.readuntil(until) if until else reader.read())
    except asyncio.IncompleteReadError as error:
        return error.partial
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("path", [b"slow", b"parts"])
async def test_an_answer_may_take_longer_than_a_request(path: bytes) -> None:
    async with serving() as (port, _):
        answer = await talk(port, GET % path, until=b"whole")

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"whole")


async def test_a_request_in_parts_is_answered_if_it_is_whole_in_time() -> None:
    head = b"POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 4\r\n"
    async with serving() as (port, _):
        answer = await talk(port, head, b"\r\nab", b"cd", pause=LIMIT / 6, until=b"whole")

    assert answer.endswith(b"whole")


async def test_each_request_of_a_connection_has_its_own_time() -> None:
    async with serving() as (port, _):
        answer = await talk(port, *[GET % b""] * 5, pause=LIMIT * 0.7)

    assert answer.count(b"whole") == 5


async def test_requests_one_after_the_other_without_waiting_are_answered_in_order() -> None:
    async with serving() as (port, _):
        answer = await talk(port, GET % b"slow" + GET % b"" + GET % b"parts")

    assert answer.count(b"HTTP/1.1 200") == 3
    assert answer.endswith(b"part\r\n5\r\nwhole\r\n0\r\n\r\n")


@pytest.mark.parametrize("texts", [[b""], [b"GET / HTTP"], [GET % b"", b"\r\n", b"\r\n", b"\r\n"]])
async def test_an_incomplete_request_is_disconnected(texts: list[bytes]) -> None:
    async with serving() as (port, _):
        async with asyncio.timeout(6):
            answer = await talk(port, *texts, pause=LIMIT * 0.6)

    assert answer.count(b"whole") == texts.count(GET % b"")


async def test_a_steady_reader_gets_a_large_response_whole() -> None:
    """It takes longer than the deadline, within which the client always reads a part."""
    async with serving(request_timeout=2) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=100_000)
        writer.write(GET % b"large")
        taken = 0
        async with asyncio.timeout(60):
            while taken < LARGE:
                part = await reader.read(200_000)
                assert part
                taken += len(part)
                await asyncio.sleep(0.05)
        writer.close()


async def test_a_client_that_does_not_read_is_disconnected() -> None:
    async with serving(keep_alive_timeout=60) as (port, server):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(GET % b"large")
        async with asyncio.timeout(20):
            while not server.server_state.connections:  # noqa: ASYNC110 (there is no event for it)
                await asyncio.sleep(0.01)
            while server.server_state.connections:  # noqa: ASYNC110 (nor for this)
                await asyncio.sleep(0.05)
        writer.transport.abort()


async def test_a_request_is_notified_when_its_client_disconnects() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def waiting(scope: Scope, _receive: Receive, _send: Send) -> None:
        scope["extensions"][EXTENSION].notify = cancelled.set
        begun.set()
        await cancelled.wait()

    config = ServerConfig(waiting, settings_of(), lifespan="off")
    async with running(config) as (port, _), asyncio.timeout(10):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET % b"")
        await begun.wait()
        writer.transport.abort()
        await cancelled.wait()


async def test_a_websocket_has_no_request_timeout() -> None:
    async with serving() as (port, _), websockets.connect(f"ws://127.0.0.1:{port}/") as connection:
        assert await asyncio.wait_for(connection.recv(), 10) == "still here"


async def test_an_idle_connection_is_closed_after_keep_alive() -> None:
    async with serving(keep_alive_timeout=0.3) as (port, _):
        async with asyncio.timeout(6):
            answer = await talk(port, GET % b"")

    assert answer.count(b"whole") == 1


async def test_more_clients_than_allowed_get_503() -> None:
    async with serving(max_connections=2) as (port, _):
        busy = [asyncio.ensure_future(talk(port, GET % b"slow", until=b"whole")) for _ in range(2)]
        await asyncio.sleep(LIMIT / 2)
        refused = await talk(port, GET % b"", until=b"\r\n")
        await asyncio.gather(*busy)

    assert refused == b"HTTP/1.1 503 Service Unavailable\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
        b"Content-Length: 0\r\nContent-Length: 40\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: +0\r\n\r\n",
    ],
)
async def test_no_request_is_smuggled_behind_another(headers: bytes) -> None:
    async with serving() as (port, _):
        answer = await talk(port, b"POST / HTTP/1.1\r\nHost: g\r\n" + headers + GET % b"hidden")

    assert b"whole" not in answer
    assert answer.startswith(b"HTTP/1.1 400")
