"""Subscriptions of the program: a sandbox call, and the close at SIGTERM."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.end_to_end.program import Server, serving

MAKE = """mutation { makeCall(input: {from: "+12125550142", to: "+15005550011",
    instructions: {twiml: "<Response/>"}}) { call { sid } userErrors { message } } }"""
WATCH = 'subscription { callUpdated(sid: "%s") { call { status } } }'


@contextmanager
def watching(server: Server, query: str) -> Iterator[ClientConnection]:
    """A subscribed socket. Its URL has a query string, as clients may send."""
    url = server.url.replace("http", "ws") + "/graphql?token=a-secret-of-mine"
    subscribe = {"id": "1", "type": "subscribe", "payload": {"query": query}}
    with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        for message in ({"type": "connection_init"}, subscribe):
            socket.send(json.dumps(message))
        assert json.loads(socket.recv(timeout=20)) == {"type": "connection_ack"}
        yield socket


def test_a_call_in_the_sandbox_is_watched_to_its_end() -> None:
    """The line is busy, so the call ends soon."""
    with serving("--port", "0", until="GraphQL: ") as server:
        sid = server.ask(MAKE)["makeCall"]["call"]["sid"]
        with watching(server, WATCH % sid) as socket:
            statuses: list[Any] = []
            while (message := json.loads(socket.recv(timeout=20)))["type"] == "next":
                statuses.append(message["payload"]["data"]["callUpdated"]["call"]["status"])

    assert message == {"type": "complete", "id": "1"}
    assert statuses[-1] == "BUSY"
    assert "RINGING" in statuses
    assert "a-secret-of-mine" not in server.log
    assert "Traceback" not in server.log


def test_sigterm_closes_websockets_without_waiting() -> None:
    forever = "subscription { callsUpdated { call { status } } }"
    with serving("--port", "0", until="GraphQL: ") as server, watching(server, forever) as socket:
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        with suppress(ConnectionClosed):
            while True:
                socket.recv(timeout=20)
        server.process.wait(timeout=20)
        waited = time.monotonic() - began

    assert socket.close_code in {1001, 1012}
    assert waited < 8
    assert server.exit_code == 0
