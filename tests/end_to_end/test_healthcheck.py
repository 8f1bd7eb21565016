"""`gateway healthcheck` says by its exit code whether the gateway beside it responds."""

import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from gateway.cli import main
from tests.end_to_end.program import run, serving

pytestmark = pytest.mark.usefixtures("no_settings")


def test_a_gateway_that_serves_is_healthy_without_a_word() -> None:
    """At the address of its settings, also where that is every address."""
    with serving("--port", "0", until="GraphQL: ") as server:
        port = server.url.rsplit(":", 1)[1]
        hosts = ("127.0.0.1", "0.0.0.0")  # noqa: S104
        done = [run("healthcheck", GATEWAY_HOST=host, GATEWAY_PORT=port) for host in hosts]

    assert [(one.returncode, one.stdout, one.stderr) for one in done] == [(0, "", "")] * 2


def test_a_port_where_nobody_listens_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as bound:  # bound, so that nobody else takes it, but it does not listen
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]

        assert main(["healthcheck", "--port", str(port)]) == 1

    assert capsys.readouterr() == ("", f"gateway: port {port}: no response: Connection refused\n")


def unavailable(handler: BaseHTTPRequestHandler) -> None:
    """Answers 503."""
    handler.send_error(503)


def nonsense(handler: BaseHTTPRequestHandler) -> None:
    """Answers with what is no HTTP."""
    handler.wfile.write(b"nonsense\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [(unavailable, "/healthz answered 503"), (nonsense, "no response: BadStatusLine")],
)
def test_another_answer_than_200_is_not_healthy(
    answer: Callable[[BaseHTTPRequestHandler], None],
    problem: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        assert main(["healthcheck", "--port", str(server.server_port)]) == 1
        thread.join()

    assert paths == ["/healthz"]
    assert capsys.readouterr() == ("", f"gateway: port {server.server_port}: {problem}\n")


def test_the_health_check_needs_to_know_the_port(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["healthcheck", "--port", "0"]) == 2

    message = "gateway: --port: the health check needs the port that the gateway took\n"
    assert capsys.readouterr() == ("", message)
