"""Raw bytes on a real port: what is hardly HTTP is refused, and the next request is answered."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.end_to_end.program import Server, serving

# The long profile takes its time.
pytestmark = [pytest.mark.timeout(0), pytest.mark.xdist_group("servers")]

# Seconds that bytes which are only half a request are waited upon.
PATIENCE = 0.1
HEADERS = {"Content-Type": "application/json"}
BODY = json.dumps({"query": "{ __typename }"}).encode()
DATA = {"data": {"__typename": "Query"}}
POST = (
    b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s"
)
GET = b"GET /graphql?query=%s HTTP/1.1\r\nHost: gateway\r\nAccept: */*\r\nConnection: close\r\n\r\n"
LINES = st.sampled_from(
    [
        b"GET / HTTP/1.1", b"BREW /graphql HTTP/1.1", b"POST /graphql HTTP/9.9", b"Host: a",
        b"Host: b", b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 5, 6",
        b"Transfer-Encoding: chunked", b"Content-Type: application/json", b"Accept: \xff", b"",
        b"Connection: upgrade", b"Upgrade: websocket", b"Upgrade: h2c", b"Expect: 100-continue",
        b"5", b"0", b"ffffffffffffffff", b"{}", b": x", b"X: " + b"y" * 9000,
    ]
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Whole requests with anything in them, their bytes changed here and there, or bytes alone."""
    anything = draw(st.binary(max_size=200))
    whole = draw(
        st.sampled_from(
            [POST % (len(anything), anything), GET % anything, POST % (len(BODY), BODY), anything]
        )
    )
    changed = bytearray(whole)
    for _ in range(draw(st.integers(0, 3)) if changed else 0):
        changed[draw(st.integers(0, len(changed) - 1))] = draw(st.integers(0, 255))
    return bytes(changed)


def statuses(answer: bytes) -> list[int]:
    """Of all answers on the connection."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def sent(port: int, data: bytes) -> bytes:
    """What comes back for the bytes until the server ends, or waits for more of them."""
    answer = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        try:
            connection.sendall(data)
            while chunk := connection.recv(65536):
                answer += chunk
        except (ConnectionError, TimeoutError):
            pass
    return bytes(answer)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Server]:
    """A gateway as a process of its own."""
    with serving("--port", "0", until="GraphQL") as server:
        yield server
    assert server.exit_code == 0
    assert "Traceback" not in server.log
    assert "ERROR" not in server.log


@given(data=requests() | st.lists(LINES, min_size=1, max_size=8).map(b"\r\n".join))
@example(data=b"\0" * 70_000)
@example(data=b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n")
@example(data=GET % (b"%7B" * 20_000))
@example(data=POST % (10**12, b"{}"))
def test_no_bytes_cause_a_server_error(gateway: Server, data: bytes) -> None:
    """No answer to them is, and the next request is answered."""
    port = int(gateway.url.rpartition(":")[2])
    answer = sent(port, data)

    assert all(status < 500 for status in statuses(answer)), answer
    assert httpx.post(f"{gateway.url}/graphql", content=BODY, headers=HEADERS).json() == DATA


def test_statuses_are_seen() -> None:
    assert statuses(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 500 Oh\r\n\r\n") == [200, 500]
