"""Clients that disconnect, over real sockets: only their own upstream work is cancelled."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from gateway.server import create_app
from gateway.server.disconnects import EXTENSION, Disconnect, while_connected
from gateway.server.uvicorn_server import ServerConfig
from gateway.settings import Secret
from tests.plain_twilio import ACCOUNT, TOKEN, call, sid
from tests.server.stage import running as served_by_uvicorn
from tests.serving import running
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


Serve = Callable[[SlowUpstream], AbstractAsyncContextManager[int]]


@pytest.fixture(params=[ServerConfig, None], ids=["our server", "another server"])
def gateway_over(request: pytest.FixtureRequest) -> Serve:
    """The port of a gateway with this upstream, over real connections."""

    @asynccontextmanager
    async def serve(upstream: SlowUpstream) -> AsyncIterator[int]:
        async with upstream.listening() as base_url:
            settings = settings_of(account_sid=ACCOUNT, auth_token=Secret(TOKEN), base_url=base_url)
            app = create_app(settings)
            ours = request.param and request.param(app, settings)
            async with running(ours) if ours else served_by_uvicorn(app) as (port, _):
                yield port

    return serve


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
async def test_a_disconnect_cancels_the_operations_upstream_work(
    gateway_over: Serve, method: str
) -> None:
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


async def test_a_disconnect_does_not_cancel_others_who_wait_for_the_same_read(
    gateway_over: Serve,
) -> None:
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


async def test_a_disconnect_within_a_request_is_no_error(gateway_over: Serve) -> None:
    upstream = SlowUpstream()
    async with gateway_over(upstream) as port:
        visitor = await Visitor.at(port)
        visitor.post(LIST, missing=5)
        await asyncio.sleep(0.03)
        visitor.leave()
        await asyncio.sleep(0.03)

    assert upstream.arrived == 0


async def test_the_gateway_answers_others_while_one_operation_waits(gateway_over: Serve) -> None:
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


async def nothing_received() -> Any:
    """A client that stays."""
    await asyncio.Event().wait()


def scope_of(disconnect: Disconnect | None) -> dict[str, Any]:
    """The scope of a request over our server, or over another."""
    return {"extensions": {EXTENSION: disconnect}} if disconnect else {}


async def test_our_server_needs_no_task_to_notice_a_disconnect() -> None:
    async def tasks() -> int:
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    before = len(asyncio.all_tasks())
    ours = await while_connected(scope_of(Disconnect()), nothing_received, tasks())
    other = await while_connected(scope_of(None), nothing_received, tasks())

    assert (ours, other) == (before, before + 1)


async def test_a_disconnect_before_the_work_lets_it_not_begin() -> None:
    began, disconnect = [], Disconnect()
    disconnect.happen()

    async def work() -> bool:
        began.append(True)
        return True

    assert await while_connected(scope_of(disconnect), nothing_received, work()) is None
    assert began == []


async def test_a_disconnect_at_the_very_end_cancels_nothing_later() -> None:
    """The cancellation is not left over for what the request does next."""
    disconnect = Disconnect()

    async def work() -> int:
        disconnect.happen()
        return 1

    assert await while_connected(scope_of(disconnect), nothing_received, work()) is None
    await asyncio.sleep(0)


async def test_another_cancellation_is_not_mistaken_for_a_disconnect() -> None:
    disconnect, waiting = Disconnect(), asyncio.Event()
    work = while_connected(scope_of(disconnect), nothing_received, waiting.wait())
    request = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    request.cancel()
    disconnect.happen()

    with pytest.raises(asyncio.CancelledError):
        await request
