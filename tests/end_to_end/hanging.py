"""An upstream that hangs until it is released, and counts what is asked of it at once."""

import json
import select
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
    """Answers the gateway's own check at once, everything else once it is released."""

    def __init__(self) -> None:
        self.released = Event()
        self.in_flight = 0
        self.most = 0
        self.asked = 0
        self._lock = Lock()

    def count(self, change: int) -> None:
        """One more, or one less, is being answered."""
        with self._lock:
            self.in_flight += change
            self.asked += change > 0
            self.most = max(self.most, self.in_flight)

    @contextmanager
    def listening(self) -> Iterator[dict[str, str]]:
        """The settings with which a gateway asks it."""
        server = Listener(("127.0.0.1", 0), handler_of(self))
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield CREDENTIAL | {"TWILIO_BASE_URL": f"http://127.0.0.1:{server.server_port}"}
        finally:
            self.released.set()
            server.shutdown()
            server.server_close()


class Listener(ThreadingHTTPServer):
    """Has a queue for a whole rush."""

    request_queue_size = 1024
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A gateway that hangs up is no error."""


def handler_of(upstream: HangingUpstream) -> type[BaseHTTPRequestHandler]:
    """What serves one connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.endswith(SMALLEST_READ):
                self._send({"calls": [call(1)]})
                return
            upstream.count(+1)
            try:
                is_there = self._wait()
            finally:
                upstream.count(-1)
            if is_there:
                wanted = self.path.rpartition("/")[2].partition(".")[0]
                row = call(1) | {"sid": wanted}
                self._send(row if wanted.startswith("CA") else {"calls": [call(1)]})

        def _wait(self) -> bool:
            """False when the gateway hung up first."""
            while not upstream.released.wait(0.02):
                readable, _, _ = select.select([self.connection], [], [], 0)
                if readable and not self.connection.recv(1, socket.MSG_PEEK):
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
            """Silent."""

    return Handler
