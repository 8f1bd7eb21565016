"""A gateway in production, from outside. Each test counts what upstream receives."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.errors import error_codes
from tests.end_to_end.program import Server, serving
from tests.plain_twilio import ACCOUNT, TOKEN
from tests.schema.test_limits import ABUSE, INTROSPECTION
from tests.waiting import until

pytestmark = pytest.mark.xdist_group("servers")

ORDINARY = "{ calls(first: 3) { nodes { sid } } }"
FILTERED = "query($f: CallFilter) { calls(filter: $f) { nodes { sid } } }"
Tell = Callable[[str, object], None]
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: |    \| ")
CLIENT = httpx.Client(timeout=20, verify=False)  # noqa: S501 (plain HTTP on this machine)


@dataclass
class Upstream:
    """An account without calls on a real port; it records requests and headers."""

    port: int
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture(scope="module", autouse=True)
def connections() -> Iterator[None]:
    with CLIENT:
        yield


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.requests.append((self.path, dict(self.headers)))
            body = json.dumps({"calls": [], "page": 0, "uri": self.path}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        asked = Upstream(server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield asked
        server.shutdown()


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[Server]:
    given = {
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "TWILIO_BASE_URL": f"http://127.0.0.1:{upstream.port}",
        "GATEWAY_ENV": "production",
        "GATEWAY_LOG_LEVEL": "debug",
        "GATEWAY_ALLOWED_ORIGINS": "https://desk.example.com",
    }
    with serving("--port", "0", until="GraphQL", **given) as server:
        until(lambda: upstream.requests)  # the check of the credential, which runs beside the start
        yield server
    assert server.exit_code == 0
    assert all(LINE.match(line) for line in server.log.splitlines()), server.log
    assert TOKEN not in server.log


def ask(gateway: Server, query: str, **variables: Any) -> httpx.Response:
    """Sends one POST."""
    body = {"query": query, "variables": variables}
    return CLIENT.post(f"{gateway.url}/graphql", json=body)


def codes(response: httpx.Response) -> set[str]:
    """The codes of all errors. Fails unless each is in the closed list."""
    found = {error["extensions"]["code"] for error in response.json()["errors"]}
    assert found <= error_codes().keys()
    return found


def resident(gateway: Server) -> float:
    """The process's resident memory in MB."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", status)
    return int(kilobytes) / 1024


def test_an_ordinary_query_goes_upstream(gateway: Server, upstream: Upstream) -> None:
    upstream.requests.clear()

    assert ask(gateway, ORDINARY).json() == {"data": {"calls": {"nodes": []}}}
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("name", ABUSE)
def test_an_abusive_document_is_refused_in_time_with_no_upstream_request(
    gateway: Server, upstream: Upstream, name: str, record_property: Tell
) -> None:
    upstream.requests.clear()
    query, variables = ABUSE[name]
    began = time.monotonic()
    response = ask(gateway, query, **variables)
    seconds = time.monotonic() - began
    record_property("figure", f"{name} {seconds * 1000:.0f} ms")

    assert seconds < 2
    assert codes(response) <= {"LIMIT_EXCEEDED", "INTROSPECTION_DISABLED"}
    assert upstream.requests == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_abuse_does_not_grow_the_process(gateway: Server, record_property: Tell) -> None:
    """Different documents, so that none is served from a cache.

    The first rounds fill the bounded caches and load late imports.
    """

    def abuse(round_: str) -> None:
        for number in range(150):
            name = "repeats" if number % 10 == 0 else "2^30"
            assert ask(gateway, f"{ABUSE[name][0]} # {round_} {number}").status_code == 200

    for number in range(4):
        abuse(f"round {number}")
    before = resident(gateway)
    abuse("last")
    grown = resident(gateway) - before
    record_property("figure", f"{grown:.1f} MB")
    assert grown < 10


@pytest.mark.parametrize(
    "query",
    [INTROSPECTION, "{ __type(name: \"Call\") { name } }", "{ _service { sdl } }",
     "{ ...A } fragment A on Query { a: __schema { queryType { name } } }"],
    ids=["__schema", "__type", "_service", "in a fragment"],
)  # fmt: skip
def test_production_does_not_show_the_schema(gateway: Server, query: str) -> None:
    assert codes(ask(gateway, query)) == {"INTROSPECTION_DISABLED"}


def test_production_allows_typename(gateway: Server) -> None:
    assert ask(gateway, "{ __typename }").json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ callz { nodes { sid } } }", {}),
        ("{ calls(frist: 1) { nodes { sid } } }", {}),
        ("{ calls(filter: {status: [BUSSY]}) { nodes { sid } } }", {}),
        ("{ calls { nodes { ... on Cal { sid } } } }", {}),
        (FILTERED, {"f": {"statuz": []}}),
        (FILTERED, {"f": {"status": "BUSI"}}),
    ],
)  # fmt: skip
def test_production_suggests_no_names(
    gateway: Server, query: str, variables: dict[str, Any]
) -> None:
    response = ask(gateway, query, **variables)

    assert codes(response) <= {"GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"}
    assert "Did you mean" not in response.text


def test_production_has_no_graphiql_page(gateway: Server) -> None:
    headers = {"Accept": "text/html"}

    assert CLIENT.get(f"{gateway.url}/", headers=headers).status_code == 404
    assert CLIENT.get(f"{gateway.url}/graphql", headers=headers).status_code == 406


def test_development_suggests_names_and_shows_the_schema() -> None:
    with serving("--port", "0", until="GraphQL") as gateway:
        wrong = ask(gateway, "{ callz { nodes { sid } } }")
        shown = ask(gateway, INTROSPECTION)

    assert "Did you mean" in wrong.text
    assert len(shown.json()["data"]["__schema"]["types"]) > 20


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_foreign_page_causes_no_upstream_request(
    gateway: Server, upstream: Upstream, headers: dict[str, str]
) -> None:
    upstream.requests.clear()
    response = CLIENT.get(f"{gateway.url}/graphql", params={"query": ORDINARY}, headers=headers)

    assert (response.status_code, codes(response)) == (403, {"FOREIGN_ORIGIN"})
    assert upstream.requests == []


def test_a_listed_page_is_answered(gateway: Server) -> None:
    headers = {"Origin": "https://desk.example.com"}
    response = CLIENT.get(f"{gateway.url}/graphql", params={"query": ORDINARY}, headers=headers)

    assert response.json() == {"data": {"calls": {"nodes": []}}}
    assert response.headers["Access-Control-Allow-Origin"] == headers["Origin"]


@pytest.mark.parametrize("path", ["/graphql?query={__typename}", "/healthz", "/nowhere"])
def test_every_answer_has_its_headers(gateway: Server, path: str) -> None:
    headers = CLIENT.get(gateway.url + path).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_no_client_header_goes_upstream(gateway: Server, upstream: Upstream) -> None:
    upstream.requests.clear()
    headers = {"X-Forwarded-For": "6.6.6.6", "Cookie": "a=stolen", "X-Evil": "stolen"}
    CLIENT.post(f"{gateway.url}/graphql", json={"query": ORDINARY}, headers=headers)

    ((_, received),) = upstream.requests
    assert {name.lower() for name in received} <= {
        "host", "accept", "accept-encoding", "connection", "user-agent", "authorization",
    }  # fmt: skip
    assert "stolen" not in str(received)


def test_no_line_of_the_log_can_be_forged(gateway: Server) -> None:
    """The `gateway` fixture checks every log line at debug level; this test adds bait."""
    bait = "x\r\n2026-01-01 00:00:00,000 INFO gateway: forged\x1b[2J"
    quoted = json.dumps(bait)
    ask(gateway, f"{{ call(sid: {quoted}) {{ sid }} }}")
    ask(gateway, f"{{ calls(filter: {{to: {quoted}}}) {{ nodes {{ sid }} }} }}")
    ask(gateway, f"{{ {bait} }}")
    ask(gateway, f"{{ calls(after: {quoted}) {{ nodes {{ sid }} }} }}")
    with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2]))) as raw:
        raw.sendall(f"GET /{bait} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        raw.recv(4096)
    CLIENT.get(f"{gateway.url}/graphql", params={"query": bait, "operationName": bait})
