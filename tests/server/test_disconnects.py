"""Clients that disconnect, over real sockets: only their own upstream work is cancelled."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from gateway.server import create_app
from gateway.settings import Secret
from tests.plain_twilio import ACCOUNT, TOKEN, call, sid
from tests.server.stage import listening
from tests.settings import settings_of

LIST = "{ calls { nodes { sid } } }"


class SlowUpstream:
    """A server that counts waiting requests and answers when released."""

    def __init__(self) -> None:
        self.waiting = 0
        self.arrived = 0
        self.answer = asyncio.Event()
        self._changed = asyncio.Condition()

    async def until_waiting(self, count: int) -> None:
        """Waits until `count` requests wait; fails after some seconds."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.waiting == count)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its base URL."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.arrived += 1
        await self._count(+1)
        gone = asyncio.ensure_future(reader.read())
        told = asyncio.ensure_future(self.answer.wait())
        await asyncio.wait({gone, told}, return_when=asyncio.FIRST_COMPLETED)
        await self._count(-1)
        if told.done():
            body = json.dumps({"calls": [call(1)]}).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        gone.cancel()
        told.cancel()
        writer.close()

    async def _count(self, change: int) -> None:
        async with self._changed:
            self.waiting += change
            self._changed.notify_all()


@asynccontextmanager
async def gateway_over(upstream: SlowUpstream) -> AsyncIterator[int]:
    """The port of a gateway with this upstream, over real connections."""
    async with upstream.listening() as base_url:
        settings = settings_of(account_sid=ACCOUNT, auth_token=Secret(TOKEN), base_url=base_url)
        async with listening(create_app(settings)) as port:
            yield port


class Visitor:
    """A client with one raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def at(cls, port: int) -> "Visitor":
        """Connects."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def post(self, query: str, *, missing: int = 0) -> None:
        """Sends a query without the last `missing` bytes of its body."""
        body = json.dumps({"query": query}).encode()
        head = (
            "POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.writer.write(head.encode() + body[: len(body) - missing])

    def get(self, query: str) -> None:
        """Sends a query by GET."""
        path = query.replace(" ", "%20")
        head = f"GET /graphql?query={path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"
        self.writer.write(head.encode())

    def leave(self) -> None:
        """Closes the connection at once."""
        self.writer.transport.abort()

    async def answer(self) -> str:
        """Everything received until the end."""
        text = await asyncio.wait_for(self.reader.read(), 10)
        self.writer.close()
        return text.decode()


@pytest.fixture(autouse=True)
def nothing_to_complain_of(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A disconnect is no error: the log has no traceback."""
    caplog.set_level(logging.WARNING)
    yield
    assert caplog.get_records("call") == []


@pytest.mark.parametrize("method", ["get", "post"])
async def test_a_disconnect_cancels_the_operations_upstream_work(method: str) -> None:
    upstream = SlowUpstream()
    async with gateway_over(upstream) as port:
        before = asyncio.all_tasks()
        visitor = await Visitor.at(port)
        getattr(visitor, method)(
            f'{{ a: call(sid: "{sid("CA", 1)}") {{ sid }} calls {{ nodes {{ sid }} }} }}'
        )
        await upstream.until_waiting(2)
        visitor.leave()
        await upstream.until_waiting(0)
        for _ in range(1000):
            await asyncio.sleep(0.001)
            if asyncio.all_tasks() == before:
                break
        left_over = asyncio.all_tasks() - before

    assert left_over == set()
    assert upstream.arrived == 2


async def test_a_disconnect_does_not_cancel_others_who_wait_for_the_same_read() -> None:
    upstream = SlowUpstream()
    async with gateway_over(upstream) as port:
        leaving, staying = await Visitor.at(port), await Visitor.at(port)
        leaving.post(LIST)
        await upstream.until_waiting(1)
        staying.post(LIST)
        await asyncio.sleep(0.03)
        leaving.leave()
        await asyncio.sleep(0.03)
        upstream.answer.set()
        answer = await staying.answer()

    assert answer.startswith("HTTP/1.1 200 ")
    assert sid("CA", 1) in answer


async def test_a_disconnect_within_a_request_is_no_error() -> None:
    upstream = SlowUpstream()
    async with gateway_over(upstream) as port:
        visitor = await Visitor.at(port)
        visitor.post(LIST, missing=5)
        await asyncio.sleep(0.03)
        visitor.leave()
        await asyncio.sleep(0.03)

    assert upstream.arrived == 0


async def test_the_gateway_answers_others_while_one_operation_waits() -> None:
    upstream = SlowUpstream()
    async with gateway_over(upstream) as port:
        waiting, quick = await Visitor.at(port), await Visitor.at(port)
        waiting.post(LIST)
        await upstream.until_waiting(1)
        quick.get("{__typename}")
        answer = await quick.answer()
        upstream.answer.set()
        late = await waiting.answer()

    assert '"__typename":"Query"' in answer
    assert sid("CA", 1) in late
