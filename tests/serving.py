"""Servers on free ports of the loopback interface, while a block runs."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import uvicorn

__all__ = ["Handler", "answering", "running"]


class Handler(BaseHTTPRequestHandler):
    """Answers, and says nothing of it."""

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        """The whole answer; headers with underscores."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@contextmanager
def answering(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """The base URL of a server, in threads, that handles its requests so."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@asynccontextmanager
async def running(
    config: uvicorn.Config, listener: socket.socket | None = None
) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    """The port of a uvicorn in this loop, and the server itself."""
    listener = listener or socket.create_server(("127.0.0.1", 0), backlog=2048)
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.002)
        yield listener.getsockname()[1], server
    finally:
        server.should_exit = True
        await serving
        listener.close()
