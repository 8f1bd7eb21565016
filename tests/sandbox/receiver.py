"""An application on the loopback interface: serves TwiML and receives callbacks, in threads."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Received:
    """One received request."""

    method: str
    url: str
    form: dict[str, str]
    headers: dict[str, str]

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the query and of the form."""
        return {**dict(parse_qsl(urlsplit(self.url).query)), **self.form}


@dataclass
class Application:
    """The application at ``origin``: a (status, body) for each path, 204 for the others."""

    origin: str
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    on_request: Callable[[Received], None] = lambda _: None

    def at(self, path: str) -> list[Received]:
        """The requests received at a path, in order."""
        url = self.origin + path
        return [request for request in self.received if request.url.split("?")[0] == url]


@contextmanager
def application() -> Iterator[Application]:
    """Serves an application on a free port during the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            request = Received(
                self.command,
                app.origin + self.path,
                dict(parse_qsl(body, keep_blank_values=True)),
                dict(self.headers.items()),
            )
            app.received.append(request)
            app.on_request(request)
            status, text = app.answers.get(self.path.split("?")[0], (204, ""))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", text)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST  # noqa: N815 - http.server's spelling

        def log_message(self, *args: Any) -> None:
            """Logs nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    app = Application(f"http://127.0.0.1:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield app
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
