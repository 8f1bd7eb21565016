"""A Twilio that misbehaves: serves a plain account's rows on a real port, with faults.

It is also its own proxy. It runs in a thread of its own, so a slow test does not slow it. Its
faults are a list of rules, its requests are counted in a tally; the test's thread may read and set
both at any time. This module must not know the gateway, nor which faults there are (faults.py).
"""

import asyncio
import random
import re
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.plain_twilio import PlainTwilio, call, describe, error

__all__ = ["Exchange", "Fault", "FaultyTwilio", "Tally", "misbehaving"]


@dataclass
class Tally:
    """What upstream received since the last `look`. `arrivals` are in `time.monotonic` seconds."""

    requests: list[str] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    most_in_flight: int = 0
    refused: int = 0
    abandoned: int = 0
    processed_posts: int = 0
    authorizations: list[str] = field(default_factory=list)
    cookies: list[str] = field(default_factory=list)

    def count(self, pattern: str) -> int:
        """How many requests match the pattern, like `GET Calls/CA…` or `Recordings`."""
        return sum(bool(re.search(pattern, request)) for request in self.requests)

    @property
    def by_path(self) -> Counter[str]:
        """Requests by their path without SIDs and parameters."""
        return Counter(re.sub(r"/[A-Z]{2}\w{32}|\?.*", "", request) for request in self.requests)


@dataclass
class Exchange:
    """One request, its right response, and the means to send another one."""

    request: httpx.Request
    answer: httpx.Response
    send: Callable[[bytes], Awaitable[None]]
    close: Callable[[], None]
    reset: Callable[[], None]

    async def respond(
        self, status: int, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        """Sends a whole answer, JSON unless the headers say otherwise."""
        given = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        await self.send(head(status, given | (headers or {})) + body)


Fault = Callable[[Exchange], Awaitable[None]]


def head(status: int, headers: dict[str, str]) -> bytes:
    """The bytes before a body."""
    lines = [f"HTTP/1.1 {status} Made-Up", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass
class Rule:
    """A fault for a share of the matching requests, so many times."""

    fault: Fault
    where: re.Pattern[str]
    times: float
    share: float


class FaultyTwilio:
    """The account.

    `delay` is seconds before each answer, `crowding` seconds more for each request in flight,
    `at_a_time` how many get an answer that is not a 429.
    """

    def __init__(
        self, account: PlainTwilio, portal: BlockingPortal, tls: ssl.SSLContext | None = None
    ) -> None:
        self.account = account
        self.delay = 0.0
        self.crowding = 0.0
        self.concurrency: int | None = None
        self.in_flight = 0
        self.seen = Tally()
        self.defects: list[BaseException] = []
        self._portal = portal
        self._tls = tls
        self._port = 0
        self._rules: list[Rule] = []
        self._random = random.Random(1)
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self.come_back()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def fail(
        self, fault: Fault, where: str = "", *, times: float = float("inf"), share: float = 1.0
    ) -> None:
        """Adds a fault for requests (like `GET Calls?Status=busy`) that match `where`.

        Of several rules that match, the oldest applies.
        """
        self._rules = [*self._rules, Rule(fault, re.compile(where), times, share)]

    def heal(self) -> None:
        """Removes all faults and delays."""
        self._rules = []
        self.delay = self.crowding = 0.0
        self.concurrency = None

    def look(self) -> Tally:
        """The tally since the last look; starts a new one."""
        tally, self.seen = self.seen, Tally()
        return tally

    def come_back(self) -> None:
        """Takes connections, on the same port as before if there was one."""
        self._portal.call(self._listen)

    def vanish(self) -> None:
        """Refuses connections and breaks those that there are."""
        self._portal.call(self._close)

    async def _listen(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), "127.0.0.1", self._port, ssl=self._tls, backlog=1024
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.reset()

    async def serve(self, request: httpx.Request, connection: "Connection") -> None:
        """One request, to the last byte of its answer or until the client has left."""
        described = self._note(request)
        self.in_flight += 1
        self.seen.most_in_flight = max(self.seen.most_in_flight, self.in_flight)
        try:
            await self._answer(request, described, connection)
        except asyncio.CancelledError:
            self.seen.abandoned += 1
            raise
        finally:
            self.in_flight -= 1

    def _note(self, request: httpx.Request) -> str:
        described = describe(request)
        self.seen.requests.append(described)
        self.seen.arrivals.append(time.monotonic())
        self.seen.authorizations += request.headers.get_list("authorization")
        self.seen.cookies += request.headers.get_list("cookie")
        return described

    async def _answer(
        self, request: httpx.Request, described: str, connection: "Connection"
    ) -> None:
        exchange = Exchange(
            request, httpx.Response(204), connection.send, connection.close, connection.reset
        )
        if self.concurrency is not None and self.in_flight > self.concurrency:
            self.seen.refused += 1
            refusal = error(429, 20429)
            await exchange.respond(429, refusal.content)
            return
        await asyncio.sleep(self.delay + self.crowding * self.in_flight)
        fault = self._fault_for(described)
        if fault is None or request.method == "GET":
            exchange.answer = self._right_answer(request)
        if fault is not None:
            await fault(exchange)
        else:
            await exchange.respond(exchange.answer.status_code, exchange.answer.content)

    def _fault_for(self, described: str) -> Fault | None:
        for rule in self._rules:
            is_meant = rule.times > 0 and rule.where.search(described)
            if is_meant and self._random.random() < rule.share:
                rule.times -= 1
                return rule.fault
        return None

    def _right_answer(self, request: httpx.Request) -> httpx.Response:
        if request.method != "POST":
            return self.account.answer(request)
        self.seen.processed_posts += 1
        made = call(9_000_000 + self.seen.processed_posts, status="queued")
        return httpx.Response(201, json=made)

    def connected(self, connection: "Connection") -> None:
        """A connection was made."""
        self._connections.add(connection)

    def disconnected(self, connection: "Connection") -> None:
        """A connection is gone."""
        self._connections.discard(connection)


class Connection(asyncio.Protocol):
    """HTTP/1.1 with one request after the other; a closed connection cancels its request."""

    def __init__(self, twilio: FaultyTwilio) -> None:
        self._twilio = twilio
        self._received = bytearray()
        self._serving: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._twilio.connected(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self._twilio.disconnected(self)
        self._writable.set()
        if self._serving is not None:
            self._serving.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._serve_next()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def send(self, data: bytes) -> None:
        """Sends as fast as the other side reads."""
        self._transport.write(data)
        await self._writable.wait()

    def close(self) -> None:
        """Ends the connection once all is sent."""
        self._transport.close()

    def reset(self) -> None:
        """Breaks the connection: what was not yet sent is lost."""
        self._transport.abort()

    def _serve_next(self) -> None:
        request = self._next_request() if self._serving is None else None
        if request is not None:
            loop = asyncio.get_running_loop()
            self._serving = loop.create_task(self._twilio.serve(request, self))
            self._serving.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving = None
        if task.cancelled():
            return
        if defect := task.exception():
            self._twilio.defects.append(defect)
            self.reset()
        else:
            self._serve_next()

    def _next_request(self) -> httpx.Request | None:
        whole, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return None
        line, *fields = whole.decode("latin-1").split("\r\n")
        headers = httpx.Headers(dict(field.split(": ", 1) for field in fields))
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return None
        self._received = rest[length:]
        method, target, _ = line.split(" ")
        return httpx.Request(
            method,
            target if target.startswith("http") else f"http://{headers['host']}{target}",
            headers=headers,
            content=bytes(rest[:length]),
        )


@contextmanager
def misbehaving(
    account: PlainTwilio | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[FaultyTwilio]:
    """A faulty Twilio on a port of its own, in a thread of its own; `tls` makes it speak TLS."""
    with start_blocking_portal() as portal:
        twilio = FaultyTwilio(account or PlainTwilio(), portal, tls)
        try:
            yield twilio
        finally:
            twilio.vanish()
    assert twilio.defects == []
