"""Whatever a client sends over WebSocket, the connection ends cleanly and nothing is raised."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message
from strawberry.types import ExecutionResult

from gateway.errors import BadUserInput
from gateway.server.document_source import DocumentSource
from gateway.server.parameters import Parameters, check_parameters
from gateway.server.websocket import AuthenticatedConnection, GraphQLOverWebSocket
from gateway.settings import DocumentSettings

DOCUMENTS = DocumentSource(DocumentSettings())
HELLO = {"type": "connection_init"}
TYPES = ["connection_init", "ping", "pong", "subscribe", "complete", "next", "start", "", None, 1]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
ALMOST = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES)},
    optional={
        "id": st.sampled_from(["1", "2", "", 3]) | JSON,
        "payload": JSON
        | st.fixed_dictionaries(
            {"query": st.sampled_from(["good", "refused", "broken", 1])},
            optional={"variables": JSON, "operationName": JSON, "extensions": JSON},
        ),
    },
)
FRAMES = st.one_of(
    ALMOST.map(json.dumps), JSON.map(json.dumps), st.text(max_size=20), st.binary(max_size=20)
)


async def authenticate(_websocket: Any, _payload: Any) -> AuthenticatedConnection:
    """Authenticates everybody; operations behave as their document says."""

    async def execute(fields: dict[str, Any]) -> Any:
        parameters = check_parameters(fields, {}, DOCUMENTS, "")
        if parameters.query == "refused":
            raise BadUserInput("no")
        return results(parameters)

    async def results(parameters: Parameters) -> Any:
        yield ExecutionResult(data={"a": 1}, errors=None)
        if parameters.query == "broken":
            raise ValueError(parameters.query)
        await asyncio.Event().wait()

    return AuthenticatedConnection(execute)


async def converse(frames: list[str | bytes], authenticate: Any = authenticate) -> list[Message]:
    """The messages to a client that sends these frames and disconnects."""
    incoming = [{"type": "websocket.connect"}, *map(received, frames)]
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(0)
        return incoming.pop(0) if incoming else {"type": "websocket.disconnect", "code": 1000}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "websocket", "headers": [], "subprotocols": ["graphql-transport-ws"]}
    endpoint = GraphQLOverWebSocket(authenticate, lambda _: True)
    before = asyncio.all_tasks()
    await endpoint(scope, receive, send)
    assert asyncio.all_tasks() == before
    return sent


def received(frame: str | bytes) -> Message:
    """The ASGI message of a frame."""
    kind = "text" if isinstance(frame, str) else "bytes"
    return {"type": "websocket.receive", kind: frame}


@given(st.booleans(), st.lists(FRAMES, max_size=8))
def test_any_messages_are_answered_or_close_the_socket(
    greets: bool, frames: list[str | bytes]
) -> None:
    """No exception and no task remain; the last message is a close code of the protocol."""
    hello: list[str | bytes] = [json.dumps(HELLO)] if greets else []
    accepted, *rest = asyncio.run(converse(hello + frames))
    closes = [message for message in rest if message["type"] == "websocket.close"]
    types = [json.loads(message["text"])["type"] for message in rest if "text" in message]

    assert accepted["type"] == "websocket.accept"
    assert closes in ([], rest[-1:])
    assert {close["code"] for close in closes} <= {4400, 4401, 4409, 4429}
    assert set(types) <= {"connection_ack", "pong", "next", "error", "complete"}


def asking(query: str) -> list[str | bytes]:
    """The frames of a client that initialises and sends this query."""
    parameters = {"type": "subscribe", "id": "1", "payload": {"query": query}}
    return [json.dumps(HELLO), json.dumps(parameters), *[json.dumps({"type": "pong"})] * 20]


@pytest.mark.parametrize(
    ("query", "code"), [("refused", "BAD_USER_INPUT"), ("broken", "INTERNAL_ERROR")]
)
def test_a_refused_or_failing_operation_fails_its_own_id(query: str, code: str) -> None:
    *_, error = asyncio.run(converse(asking(query)))
    told = json.loads(error["text"])

    assert (told["type"], told["id"]) == ("error", "1")
    assert told["payload"][0]["extensions"] == {"code": code}


def test_a_client_that_is_not_authenticated_is_closed_with_4403() -> None:
    async def nobody(_websocket: Any, _payload: Any) -> AuthenticatedConnection:
        raise BadUserInput("a reason that is ours alone")

    _, close = asyncio.run(converse(asking("good"), nobody))

    assert close == {"type": "websocket.close", "code": 4403, "reason": "Forbidden"}
