"""What 2,000 subscribers cost: time to the last of them, deliveries a second, memory of each.

    python -m tests.bench.subscribers [--subscribers 2000] [--events 30]

Two servers take turns in one run, each a process of its own with the same uvicorn: the gateway,
whose subscribers watch one call, and a bare Starlette WebSocket route that sends the same bytes to
all. An event begins when its signed webhook is sent, a POST to both, and ends when the last
subscriber has its frame. The clients share one process and read frames by hand, so that they cost
little. The last line has the ratios that the gateway holds: at most 3 in time, 1.5 in memory.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.frames import Frame, Opcode

from gateway.live.signature import signature_of
from gateway.live.webhook_events import STATUS_PATH
from gateway.server import create_app, tune_gc
from gateway.server.websocket import SERVER_OPTIONS
from gateway.settings import Secret
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, sid
from tests.settings import settings_of

WATCH = """subscription { callUpdated(sid: "%s") { source previousStatus receivedAt
    call { sid status to from startTime duration callerName } } }"""
KINDS = ("gateway", "bare")


# The servers


def gateway_app() -> Starlette:
    """The gateway over an account of one call, whose caller's name is another at each read."""
    twilio = PlainTwilio(calls=[call(1, status="in-progress")])
    names = iter(range(1_000_000))
    twilio.fault = lambda _: twilio.calls[0].update(caller_name=str(next(names)))
    settings = settings_of(
        account_sid=ACCOUNT,
        auth_token=Secret(TOKEN),
        max_subscribers=1_000_000,
        rate_burst=1_000_000,  # all subscribers come from one address here
        webhook_rate_limit=100_000,
    )
    app = create_app(settings, twilio)
    app.routes.append(Route("/memory", memory))
    return app


def bare_app() -> Starlette:
    """A WebSocket route that sends one text to all who are connected, and nothing else."""
    sockets: set[WebSocket] = set()

    async def connect(websocket: WebSocket) -> None:
        await websocket.accept("graphql-transport-ws")
        await websocket.receive_text()
        await websocket.send_text('{"type":"connection_ack"}')
        await websocket.receive_text()
        await websocket.send_text(NEXT)
        sockets.add(websocket)
        try:
            await websocket.receive_text()
        except WebSocketDisconnect:
            sockets.discard(websocket)

    async def publish(request: Request) -> Response:
        await request.body()
        for websocket in sockets:
            await websocket.send_text(NEXT)
        return Response(status_code=204)

    routes = [
        WebSocketRoute("/graphql", connect),
        Route(STATUS_PATH, publish, methods=["POST"]),
        Route("/memory", memory),
    ]
    return Starlette(routes=routes)


# As long as the gateway's own message.
NEXT = '{"type":"next","id":"1","payload":{"data":{"callUpdated":' + '"' + "x" * 330 + '"' + "}}}"


async def memory(_request: Request) -> Response:
    """Bytes of this process's memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])  # noqa: ASYNC240 (no disk)
    return JSONResponse(pages * os.sysconf("SC_PAGE_SIZE"))


def serve(kind: str, port: int) -> None:
    """One server, until it is ended."""
    tune_gc()  # as the program does
    app = gateway_app() if kind == "gateway" else bare_app()
    options: dict[str, Any] = {"access_log": False, "log_level": "critical", **SERVER_OPTIONS}
    uvicorn.run(app, port=port, http="httptools", backlog=4096, **options)


# The clients


def webhook(base_url: str, turn: int) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a signed webhook, each with a fact that is new."""
    form = {
        "CallSid": sid("CA", 1),
        "AccountSid": ACCOUNT,
        "CallStatus": "in-progress",
        "SequenceNumber": str(turn),
        "CallerName": f"turn {turn}",
    }
    signature = signature_of(base_url + STATUS_PATH, tuple(form.items()), Secret(TOKEN))
    headers = {
        "X-Twilio-Signature": signature,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return urlencode(form).encode(), headers


class Subscriber(asyncio.Protocol):
    """One socket: greets, subscribes, and notes the moment of each result."""

    def __init__(self, arrived: Callable[[], None]) -> None:
        self._arrived = arrived
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake."""
        self._transport = transport
        self._transport.write(
            b"GET /graphql HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        """Messages are small: each comes whole."""
        if data.startswith(b"HTTP/1.1 101"):
            self._send({"type": "connection_init"})
        if b'"connection_ack"' in data:
            self._send(SUBSCRIBE)
        for _ in range(data.count(b'"type":"next"')):
            self._arrived()

    def _send(self, message: Any) -> None:
        frame = Frame(Opcode.TEXT, json.dumps(message).encode())
        self._transport.write(frame.serialize(mask=True, extensions=[]))


SUBSCRIBE = {
    "type": "subscribe",
    "id": "1",
    "payload": {"query": WATCH % sid("CA", 1)},
}


@dataclass
class Crowd:
    """All subscribers of a server: how many have the present event, and when the last had it."""

    size: int
    _count: int = 0
    _all: asyncio.Event = field(default_factory=asyncio.Event)

    def arrived(self) -> None:
        """One subscriber has the event."""
        self._count += 1
        if self._count == self.size:
            self._all.set()

    async def all_have_it(self) -> float:
        """When the last had it."""
        await asyncio.wait_for(self._all.wait(), 120)
        now = time.monotonic()
        self._count = 0
        self._all.clear()
        return now


@dataclass
class Result:
    """`seconds` from an event to its last subscriber; `memory` bytes of a subscriber."""

    seconds: list[float] = field(default_factory=list)
    memory: float = 0.0

    def median(self) -> float:
        """Milliseconds."""
        return statistics.median(self.seconds) * 1000

    def p99(self) -> float:
        """Milliseconds; of few events the slowest."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000


@asynccontextmanager
async def subscribed(
    kind: str, port: int, size: int, result: Result
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A server with its subscribers; the call sends one event and notes its time."""
    command = [
        sys.executable,
        "-m",
        "tests.bench.subscribers",
        "--serve",
        kind,
        "--port",
        str(port),
    ]
    server = await asyncio.create_subprocess_exec(*command)
    transports: list[asyncio.BaseTransport] = []
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120) as control:
            before = await _memory(control)
            crowd = Crowd(size)
            loop = asyncio.get_running_loop()
            for start in range(0, size, 100):
                connections = (
                    loop.create_connection(lambda: Subscriber(crowd.arrived), "127.0.0.1", port)
                    for _ in range(min(100, size - start))
                )
                transports += [pair[0] for pair in await asyncio.gather(*connections)]
            await crowd.all_have_it()
            result.memory = (await _memory(control) - before) / size

            async def publish() -> None:
                content, headers = webhook(f"http://127.0.0.1:{port}", len(result.seconds))
                began = time.monotonic()
                response, ended = await asyncio.gather(
                    control.post(STATUS_PATH, content=content, headers=headers),
                    crowd.all_have_it(),
                )
                response.raise_for_status()
                result.seconds.append(ended - began)

            yield publish
    finally:
        for transport in transports:
            transport.close()
        server.terminate()
        await server.wait()


async def _memory(control: httpx.AsyncClient) -> float:
    while True:
        try:
            return float((await control.get("/memory")).json())
        except httpx.ConnectError:
            await asyncio.sleep(0.1)


async def main(size: int, events: int) -> None:
    """Prints both servers and their ratios."""
    results = {kind: Result() for kind in KINDS}
    async with (
        subscribed("gateway", 8911, size, results["gateway"]) as gateway,
        subscribed("bare", 8912, size, results["bare"]) as bare,
    ):
        for _ in range(events):
            await gateway()
            await bare()
    print(f"{size} subscribers in one process, {events} events")
    print(f"{'':10} {'median':>10} {'p99':>10} {'deliveries/s':>14} {'memory each':>13}")
    for kind, result in results.items():
        rate = size / result.median() * 1000
        print(
            f"{kind:10} {result.median():7.0f} ms {result.p99():7.0f} ms {rate:14,.0f} "
            f"{result.memory / 1024:10.1f} KB"
        )
    ours, theirs = results["gateway"], results["bare"]
    print(
        f"{'ratio':10} {ours.median() / theirs.median():9.1f}× {ours.p99() / theirs.p99():9.1f}× "
        f"{theirs.median() / ours.median():13.2f}× {ours.memory / theirs.memory:12.1f}×"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=2000)
    parser.add_argument("--events", type=int, default=30)
    parser.add_argument("--serve", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.serve:
        serve(options.serve, options.port)
    else:
        asyncio.run(main(options.subscribers, options.events))
