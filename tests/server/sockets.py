"""Shared by the tests of subscriptions: a gateway on a real port, and low-level clients."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from gateway.live.events import CallStatusEvent, EventSource
from gateway.server import Gateway
from gateway.upstream.calls import CallStatus
from tests.plain_twilio import PlainTwilio, sid
from tests.server.stage import app_over, running

PROTOCOL = Subprotocol("graphql-transport-ws")
WATCH = """subscription($sid: ID!) { callUpdated(sid: $sid) {
    previousStatus source call { sid status duration } } }"""
WATCH_ALL = """subscription($filter: CallEventFilter) { callsUpdated(filter: $filter) {
    previousStatus source call { sid status } } }"""


class Stage:
    """A gateway with a plain account, and methods that change the account's calls."""

    def __init__(
        self, app: Starlette, twilio: PlainTwilio, port: int, server: uvicorn.Server
    ) -> None:
        self.app = app
        self.twilio = twilio
        self.port = port
        self.server = server
        self.url = f"http://127.0.0.1:{port}/graphql"

    @property
    def gateway(self) -> Gateway:
        """The gateway."""
        gateway: Gateway = self.app.state.gateway
        return gateway

    def becomes(self, number: int, status: str, **given: Any) -> None:
        """Sets the call's state upstream without an event."""
        (row,) = (row for row in self.twilio.calls if row["sid"] == sid("CA", number))
        row.update(given, status=status)

    async def webhook(self, number: int, status: str, sequence: int | None = None) -> None:
        """Publishes a webhook's event with this state."""
        await self.gateway.own.store.publish(
            CallStatusEvent(
                call_sid=sid("CA", number),
                status=CallStatus(status),
                sequence=sequence,
                at=datetime.now(UTC),
                source=EventSource.WEBHOOK,
            )
        )

    async def goes(self, number: int, status: str, **given: Any) -> None:
        """Sets the call's state upstream and publishes the webhook's event."""
        self.becomes(number, status, **given)
        await self.webhook(number, status)

    async def until_watched(self, count: int) -> None:
        """Waits until there are `count` subscriptions."""
        async with asyncio.timeout(10):
            while self.gateway.own.subscriptions.count != count:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.002)

    @asynccontextmanager
    async def socket(self, *, greets: bool = True, **given: Any) -> AsyncIterator["Socket"]:
        """A WebSocket, initialised unless `greets` is false."""
        url = self.url.replace("http", "ws")
        given = {"subprotocols": [PROTOCOL], "compression": None} | given
        async with connect(url, **given) as connection:
            socket = Socket(connection)
            if greets:
                await socket.greet()
            yield socket


@asynccontextmanager
async def stage(twilio: PlainTwilio | None = None, **settings: Any) -> AsyncIterator[Stage]:
    """A gateway on a real port. Fails if a subscription or task is left over."""
    twilio = twilio or PlainTwilio()
    before = asyncio.all_tasks()
    app = await asyncio.to_thread(app_over, twilio, **settings)  # it may read files
    async with running(app) as (port, server):
        there = Stage(app, twilio, port, server)
        yield there
        if there.gateway.has_account:
            await there.until_watched(0)
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.002)


class Socket:
    """A client that can also violate the protocol."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def greet(self, payload: Any = None) -> None:
        """Sends connection_init and waits for the acknowledgement."""
        await self.send({"type": "connection_init"} | ({"payload": payload} if payload else {}))
        assert await self.receive() == {"type": "connection_ack"}

    async def send(self, message: Any) -> None:
        """Sends text or bytes as they are, anything else as JSON."""
        await self.connection.send(
            message if isinstance(message, str | bytes) else json.dumps(message)
        )

    async def receive(self) -> Any:
        """The next message, within ten seconds."""
        return json.loads(await asyncio.wait_for(self.connection.recv(), 10))

    async def subscribe(self, id_: str, query: str, **variables: Any) -> None:
        """Starts an operation."""
        payload = {"query": query, "variables": variables}
        await self.send({"type": "subscribe", "id": id_, "payload": payload})

    async def watch(self, number: int, id_: str = "1") -> None:
        """Subscribes to a call."""
        await self.subscribe(id_, WATCH, sid=sid("CA", number))

    async def event(self) -> tuple[str, str | None, str]:
        """The next event: status, previous status, source."""
        message = await self.receive()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        (event,) = message["payload"]["data"].values()
        return event["call"]["status"], event["previousStatus"], event["source"]

    async def closed(self) -> tuple[int, str]:
        """The gateway's close code and reason; earlier messages are skipped."""
        with suppress(ConnectionClosed):
            while True:
                await asyncio.wait_for(self.connection.recv(), 10)
        return self.connection.close_code or 0, self.connection.close_reason or ""


async def events_of(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    """The events of a stream: name and data; comments are skipped."""
    name = ""
    async for line in response.aiter_lines():
        field, _, value = line.partition(":")
        if field == "event":
            name = value.strip()
        if field == "data":
            yield name, json.loads(value) if value.strip() else None
