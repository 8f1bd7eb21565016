"""An upstream that hangs until released, and counts concurrent requests."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any

from tests.plain_twilio import ACCOUNT, TOKEN, call

CREDENTIAL = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}
SMALLEST_READ = "/Calls.json?PageSize=1"


class HangingUpstream:
    """Answers the gateway's credential check at once, and everything else when released."""

    def __init__(self) -> None:
        self.released = Event()
        self.most = 0
        self._waiting: set[socket.socket] = set()
        self._lock = Lock()

    @property
    def in_flight(self) -> int:
        """The number of waiting requests whose client is still connected."""
        with self._lock:
            return sum(not has_hung_up(connection) for connection in self._waiting)

    @contextmanager
    def counting(self, connection: socket.socket) -> Iterator[None]:
        """Counts this connection's request as waiting inside the context."""
        with self._lock:
            self._waiting.add(connection)
        self.most = max(self.most, self.in_flight)
        try:
            yield
        finally:
            with self._lock:
                self._waiting.discard(connection)

    @contextmanager
    def listening(self) -> Iterator[dict[str, str]]:
        """Yields the settings of a gateway that uses it."""
        server = Listener(("127.0.0.1", 0), handler_of(self))
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield CREDENTIAL | {"TWILIO_BASE_URL": f"http://127.0.0.1:{server.server_port}"}
        finally:
            self.released.set()
            server.shutdown()
            server.server_close()


def has_hung_up(connection: socket.socket) -> bool:
    """True if the peer has closed the connection."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


class Listener(ThreadingHTTPServer):
    """An HTTP server with a long listen queue."""

    request_queue_size = 1024
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Ignores errors: a gateway may disconnect."""


def handler_of(upstream: HangingUpstream) -> type[BaseHTTPRequestHandler]:
    """The handler class of a connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one segment

        def do_GET(self) -> None:
            if self.path.endswith(SMALLEST_READ):
                self._send({"calls": [call(1)]})
                return
            with upstream.counting(self.connection):
                is_there = self._wait()
            if is_there:
                wanted = self.path.rpartition("/")[2].partition(".")[0]
                row = call(1) | {"sid": wanted}
                self._send(row if wanted.startswith("CA") else {"calls": [call(1)]})

        def _wait(self) -> bool:
            """False if the gateway disconnected first."""
            while not upstream.released.wait(0.05):
                if has_hung_up(self.connection):
                    self.close_connection = True
                    return False
            return True

        def _send(self, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Logs nothing."""

    return Handler
