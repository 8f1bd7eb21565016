"""An upstream that says exactly these bytes, and keeps every byte of its requests.

This module must not know which library asks it.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trustme

__all__ = [
    "Answer",
    "Wire",
    "answer",
    "authority",
    "closes",
    "hangs",
    "headers_of",
    "resets",
    "serving",
    "tunnels",
]

PURPOSES = ssl.Purpose.CLIENT_AUTH, ssl.Purpose.SERVER_AUTH
Answer = Callable[[asyncio.StreamWriter], Awaitable[bool]]
"""Writes a response; False ends the connection."""


def answer(data: bytes) -> Answer:
    """These bytes; the connection stays."""

    async def write(writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        return True

    return write


def closes(data: bytes = b"") -> Answer:
    """These bytes, then the end of the connection."""

    async def write(writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        return False

    return write


async def resets(writer: asyncio.StreamWriter) -> bool:
    """No byte, and the connection breaks."""
    writer.transport.abort()
    return False


def hangs(data: bytes = b"") -> Answer:
    """These bytes, and nothing more."""

    async def write(writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await asyncio.sleep(3600)
        return False

    return write


def headers_of(request: bytes) -> dict[str, str]:
    """The headers of a request, by lower-case name."""
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


@dataclass
class Wire:
    """Gives its answers in order, the last one for ever."""

    answers: list[Answer]
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    port: int = 0

    @property
    def methods(self) -> list[str]:
        """The methods of its requests."""
        return [request.split(b" ")[0].decode() for request in self.requests]

    @asynccontextmanager
    async def listening(
        self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[str]:
        """Yields its URL."""
        async with serving(self._serve, host, tls) as self.port:
            name = f"[{host}]" if ":" in host else host
            yield f"{'https' if tls else 'http'}://{name}:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while await self._answer_one(reader, writer):
                pass
        finally:
            self.open -= 1

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(headers_of(head).get("content-length", "0"))
        self.requests.append(head + await reader.readexactly(length))
        respond = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        left = asyncio.ensure_future(reader.read(1))  # the client hangs up
        answering = asyncio.ensure_future(respond(writer))
        await asyncio.wait({left, answering}, return_when=asyncio.FIRST_COMPLETED)
        left.cancel()
        if not answering.done():
            answering.cancel()
            return False
        await asyncio.gather(left, return_exceptions=True)
        return await answering


def authority() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's TLS, and that of a client that trusts it."""
    server, client = (ssl.create_default_context(purpose) for purpose in PURPOSES)
    certificates = trustme.CA()
    certificates.issue_cert("127.0.0.1").configure_cert(server)
    certificates.configure_trust(client)
    return server, client


@asynccontextmanager
async def tunnels() -> AsyncIterator[str]:
    """A proxy that understands CONNECT; yields its URL."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        there = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(pipe(reader, there[1]), pipe(there[0], writer))
        finally:
            there[1].close()

    async with serving(serve) as port:
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """A server that serves each connection so, and closes it then; yields its port."""
    tasks: set[asyncio.Task[object]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        except RuntimeError:  # uvloop's error of a write to a closed connection
            pass
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve_one, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # their transports end
