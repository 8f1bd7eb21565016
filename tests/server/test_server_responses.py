"""Responses that the server makes itself follow the app's rules; over raw sockets."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from gateway.server import create_app
from gateway.server.middleware import HEADERS
from gateway.server.uvicorn_server import MAX_HEAD, ServerConfig
from gateway.settings import Secret
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio
from tests.serving import running
from tests.settings import settings_of

LISTED = "https://desk.example.com"
PAGE = f"Host: g\r\nOrigin: {LISTED}\r\n".encode()
HEALTH = b"GET /healthz HTTP/1.1\r\n" + PAGE
PREFLIGHT = b"OPTIONS /graphql HTTP/1.1\r\n" + PAGE + b"Access-Control-Request-Method: POST\r\n"
HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\n" + PAGE + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n"
)
Answer = tuple[int, httpx.Headers, bytes]
# Invalid requests, and the status of the response.
NO_REQUESTS = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
    "a bad header": (b"GET / HTTP/1.1\r\nHost : g\r\n\r\n", 400),
    "a bad length": (b"POST /graphql HTTP/1.1\r\n" + PAGE + b"Content-Length: x\r\n\r\n", 400),
    "two framings": (
        b"POST /graphql HTTP/1.1\r\n" + PAGE
        + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
    ),
    "a URL that is none": (b"GET http:// HTTP/1.1\r\n" + PAGE + b"\r\n", 400),
    "headers without end": (b"GET / HTTP/1.1\r\nX: " + b"x" * 8 * MAX_HEAD, 431),
}  # fmt: skip


@asynccontextmanager
async def serving(
    twilio: httpx.AsyncBaseTransport | None = None, **given: Any
) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    """A gateway as deployed: its port and its server."""
    settings = settings_of(
        account_sid=ACCOUNT, auth_token=Secret(TOKEN), allowed_origins=(LISTED,), **given
    )
    app = create_app(settings, twilio or PlainTwilio())
    async with running(ServerConfig(app, settings)) as running_server:
        yield running_server


async def answer_to(port: int, text: bytes) -> Answer:
    """The whole response. Fails unless the server then closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(10):
        writer.write(text)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        parts = [line.partition(": ") for line in lines if line]
        headers = httpx.Headers([(name, value) for name, _, value in parts])
        body = await reader.readexactly(int(headers["Content-Length"]))
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()
    return int(status_line.split()[1]), headers, body


def assert_confined(headers: httpx.Headers) -> None:
    """It has the app's headers and closes the connection."""
    for name, value in HEADERS.items():
        assert headers.get_list(name) == [value]
    assert headers["Connection"] == "close"
    assert "Date" in headers


@pytest.mark.parametrize("name", NO_REQUESTS)
async def test_a_response_to_an_invalid_request_has_security_headers(name: str) -> None:
    """The page that sent it is unknown, so no page may read it."""
    text, expected = NO_REQUESTS[name]
    async with serving() as (port, _):
        status, headers, _ = await answer_to(port, text)

    assert status == expected
    assert_confined(headers)
    assert "Access-Control-Allow-Origin" not in headers


@asynccontextmanager
async def full() -> AsyncIterator[int]:
    """The port of a gateway at its connection limit."""
    async with serving(max_connections=2) as (port, _):
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in clients:
            writer.write(HEALTH + b"\r\n")
            await reader.readuntil(b"}")
        yield port
        for _, writer in clients:
            writer.close()


@pytest.mark.parametrize(
    ("page", "may_read"), [(LISTED, True), ("https://evil.example", False), ("", False)]
)
async def test_an_allowed_page_can_read_the_503_at_the_connection_limit(
    page: str, may_read: bool
) -> None:
    request = HEALTH.replace(f"Origin: {LISTED}\r\n".encode(), b"")
    origin = f"Origin: {page}\r\n".encode() if page else b""
    async with full() as port:
        status, headers, body = await answer_to(port, request + origin + b"\r\n")

    assert (status, body) == (503, b"Service Unavailable")
    assert_confined(headers)
    assert headers.get("Access-Control-Allow-Origin") == (LISTED if may_read else None)
    assert "Origin" in headers["Vary"]


async def test_the_preflight_at_the_limit_succeeds() -> None:
    """After a failed preflight a browser hides the response from the page."""
    async with full() as port:
        status, headers, _ = await answer_to(port, PREFLIGHT + b"\r\n")

    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == LISTED


async def test_a_websocket_beyond_the_limit_gets_a_503() -> None:
    async with full() as port:
        status, headers, _ = await answer_to(port, HANDSHAKE + b"\r\n")

    assert status == 503
    assert_confined(headers)


async def test_a_websocket_within_the_limit_is_opened() -> None:
    async with serving(max_connections=1) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE + b"\r\n")
        assert await reader.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        writer.close()


class Hanging(httpx.AsyncBaseTransport):
    """An upstream that never answers, and signals a request."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Never answers."""
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_page_can_read_that_shutdown_cancelled_its_request() -> None:
    body = b'{"query": "{ calls { nodes { sid } } }"}'
    request = b"POST /graphql HTTP/1.1\r\n" + PAGE + b"Content-Type: application/json\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    twilio = Hanging()
    async with serving(twilio, drain_timeout=0.1) as (port, server):
        asking = asyncio.ensure_future(answer_to(port, request + length + body))
        await twilio.asked.wait()
        server.should_exit = True
        status, headers, text = await asking

    assert status == 500  # 503 would invite a retry of what may have been a mutation
    assert json.loads(text)["errors"][0]["extensions"] == {"code": "INTERNAL_ERROR"}
    assert headers["Access-Control-Allow-Origin"] == LISTED
    assert_confined(headers)
