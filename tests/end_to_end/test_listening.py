"""The address that a gateway really listens on decides, whoever opened the socket."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.program import Server
from tests.end_to_end.service_manager import inheriting
from tests.plain_twilio import ACCOUNT, TOKEN

pytestmark = pytest.mark.xdist_group("listening")

EVERYWHERE = "0.0.0.0"  # noqa: S104
REAL = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN}
DEAD = {"TWILIO_BASE_URL": "http://127.0.0.1:9"}
QUERY = {"query": "{ __typename }"}
ANSWER = {"data": {"__typename": "Query"}}
NETWORK = {"Host": "gateway.example.com"}


def tcp(host: str, *, is_dual: bool = False) -> socket.socket:
    """A listening socket; `is_dual` means IPv6 that also accepts IPv4."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family, dualstack_ipv6=is_dual)


def mapped(host: str) -> socket.socket:
    """An IPv6 socket that listens on an IPv4 address."""
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind((f"::ffff:{host}", 0))
    listener.listen()
    return listener


def unix(path: Path) -> socket.socket:
    """A listening unix socket."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def lines_until(server: Server, start: str) -> None:
    """Reads its output up to the line that starts with `start`."""
    assert server.process.stdout is not None
    for line in server.process.stdout:
        server.lines.append(line.rstrip("\n"))
        if line.startswith(start):
            return
    raise AssertionError(server.lines)


def ask(listener: socket.socket, headers: dict[str, str]) -> httpx.Response:
    """The response over a socket, with any Host."""
    path = listener.getsockname() if listener.family == socket.AF_UNIX else None
    port = 80 if path else listener.getsockname()[1]
    host = "[::1]" if listener.family == socket.AF_INET6 else "127.0.0.1"
    host = "127.0.0.1" if "::ffff:" in str(listener.getsockname()) else host
    transport = httpx.HTTPTransport(uds=path)
    with httpx.Client(transport=transport, timeout=20) as client:
        return client.post(f"http://{host}:{port}/graphql", json=QUERY, headers=headers)


@pytest.mark.parametrize("how", ["IPv4", "IPv6", "both", "mapped", "second of two", "beside unix"])
def test_a_real_account_is_not_served_on_an_inherited_address_of_the_network(
    how: str, tmp_path: Path
) -> None:
    listeners = {
        "IPv4": lambda: [tcp(EVERYWHERE)],
        "IPv6": lambda: [tcp("::")],
        "both": lambda: [tcp("::", is_dual=True)],
        "mapped": lambda: [mapped(EVERYWHERE)],
        "second of two": lambda: [tcp("127.0.0.1"), tcp(EVERYWHERE)],
        "beside unix": lambda: [unix(tmp_path / "s"), tcp(EVERYWHERE)],
    }[how]()
    with ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
        server = stack.enter_context(inheriting(*listeners, **REAL, **DEAD))
        code = server.process.wait(20)

    assert (code, server.lines) == (2, [])
    assert server.log.startswith("gateway: GATEWAY_ACCESS: is none, so anyone who reaches ")
    assert server.log.count("\n") == 1


@pytest.mark.parametrize("how", ["IPv4", "IPv6", "both", "mapped"])
def test_an_honest_client_of_an_inherited_address_is_answered(how: str) -> None:
    """The recipe of docs/access.md: systemd listens on [::] for both, over the sandbox."""
    make: dict[str, Callable[[], socket.socket]] = {
        "IPv4": lambda: tcp(EVERYWHERE),
        "IPv6": lambda: tcp("::"),
        "both": lambda: tcp("::", is_dual=True),
        "mapped": lambda: mapped(EVERYWHERE),
    }
    with make[how]() as listener, inheriting(listener) as server:
        lines_until(server, "GraphQL")
        answer = ask(listener, NETWORK)

    assert (answer.status_code, answer.json()) == (200, ANSWER)
    assert server.exit_code == 0
    assert "Traceback" not in server.log


@pytest.mark.parametrize("how", ["IPv4", "IPv6", "mapped", "beside unix"])
def test_an_inherited_loopback_address_accepts_its_own_names_only(how: str, tmp_path: Path) -> None:
    """A name that a page resolved to it (DNS rebinding) is refused, as on its own socket."""
    listeners = {
        "IPv4": lambda: [tcp("127.0.0.1")],
        "IPv6": lambda: [tcp("::1")],
        "mapped": lambda: [mapped("127.0.0.1")],
        "beside unix": lambda: [unix(tmp_path / "s"), tcp("127.0.0.1")],
    }[how]()
    with ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
        # GATEWAY_HOST does not count.
        given = REAL | DEAD | {"GATEWAY_HOST": EVERYWHERE}
        server = stack.enter_context(inheriting(*listeners, **given))
        lines_until(server, "GraphQL")
        own = ask(listeners[-1], {})
        foreign = ask(listeners[-1], NETWORK)

    assert (own.status_code, foreign.status_code) == (200, 403)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("given", [{}, REAL | DEAD], ids=["sandbox", "real"])
def test_an_inherited_unix_socket_is_served(
    workers: str, given: dict[str, str], tmp_path: Path
) -> None:
    """Only this machine reaches it; a proxy in front uses the public name as Host."""
    path = tmp_path / "gateway.sock"
    with unix(path) as listener, inheriting(listener, GATEWAY_WORKERS=workers, **given) as server:
        lines_until(server, "GraphQL")
        answers = [ask(listener, NETWORK) for _ in range(4)]

    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, ANSWER)] * 4
    assert f"GraphQL: http://unix:{path}:/graphql" in server.lines
    assert server.exit_code == 0
    assert "Traceback" not in server.log


def test_all_inherited_sockets_are_served(tmp_path: Path) -> None:
    with (
        unix(tmp_path / "one") as one,
        tcp("127.0.0.1") as two,
        tcp("::1") as three,
        inheriting(one, two, three) as server,
    ):
        lines_until(server, f"GraphQL: http://[::1]:{three.getsockname()[1]}/graphql")
        answers = [ask(listener, {}) for listener in (one, two, three)]

    assert [answer.json() for answer in answers] == [ANSWER] * 3


def test_an_inherited_socket_that_does_not_listen_is_one_line_and_2() -> None:
    with socket.socket() as idle, inheriting(idle) as server:
        code = server.process.wait(20)

    assert (code, server.lines) == (2, [])
    assert server.log == "gateway: LISTEN_FDS: descriptor 3 is not a listening socket\n"


def test_clients_behind_a_trusted_proxy_on_a_unix_socket_are_distinguished(
    tmp_path: Path,
) -> None:
    statuses = {}
    limits = {"GATEWAY_RATE_LIMIT": "1", "GATEWAY_RATE_BURST": "2"}
    for name, trusted in ((("nobody"), {}), ("unix", {"GATEWAY_TRUSTED_PROXIES": "10.0.0.1,unix"})):
        with (
            unix(tmp_path / name) as listener,
            inheriting(listener, **limits, **trusted) as server,
        ):
            lines_until(server, "GraphQL")
            clients = [{"X-Forwarded-For": f"203.0.113.{number}"} for number in range(8)]
            statuses[name] = [ask(listener, client).status_code for client in clients]

    assert statuses["nobody"].count(429) >= 3
    assert statuses["unix"] == [200] * 8
