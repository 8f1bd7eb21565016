"""A name with undecodable characters: every response with it is valid JSON in UTF-8."""

import json
import re
from typing import Any

import httpx
import pytest

from tests.plain_twilio import PlainTwilio, Row, call, sid
from tests.server.sockets import stage
from tests.server.stage import GRAPHQL_RESPONSE, JSON, served

NAMES = {
    "a byte that is not UTF-8": (b"Ad\xe9", "Ad\ufffd"),
    "half a surrogate pair": (rb"Ada\ud83d", "Ada\ufffd"),
    "a surrogate in UTF-8": (b"Ada\xed\xa0\xbd", "Ada\ufffd\ufffd\ufffd"),
    "a control character": (b"Ad\x07a", "Ad\x07a"),
}
EACH_NAME = pytest.mark.parametrize("name", NAMES)
LIST = "{ calls { nodes { sid callerName } } }"
SINGLE = f'{{ call(sid: "{sid("CA", 1)}") {{ sid callerName }} }}'
WATCH = f'subscription {{ callUpdated(sid: "{sid("CA", 1)}") {{ call {{ sid callerName }} }} }}'


def twilio(text: bytes) -> PlainTwilio:
    """Two calls; the first caller has this name."""
    account = PlainTwilio(calls=[call(1, caller_name="NAME"), call(2, caller_name="Bob")])

    def fault(request: httpx.Request) -> httpx.Response:
        answer = account.answer(request)
        return httpx.Response(answer.status_code, content=answer.content.replace(b"NAME", text))

    account.fault = fault
    return account


def sound(body: bytes | str) -> Any:
    """Parses strictly: no lone surrogate, neither as bytes nor as an escape."""
    text = body.decode("utf-8", "strict") if isinstance(body, bytes) else body
    value = json.loads(text)
    assert not re.search("[\ud800-\udfff]", json.dumps(value, ensure_ascii=False))
    return value


def rows(read: str) -> list[Row]:
    """The expected rows."""
    return [
        {"sid": sid("CA", 1), "callerName": read},
        {"sid": sid("CA", 2), "callerName": "Bob"},
    ]


@EACH_NAME
@pytest.mark.parametrize("accept", [JSON, GRAPHQL_RESPONSE])
async def test_over_http(name: str, accept: str) -> None:
    text, read = NAMES[name]
    async with served(twilio(text)) as client:
        headers = {"Accept": accept}
        listed = await client.post("/graphql", json={"query": LIST}, headers=headers)
        single = await client.get("/graphql", params={"query": SINGLE}, headers=headers)

    assert sound(listed.content) == {"data": {"calls": {"nodes": rows(read)}}}
    assert sound(single.content) == {"data": {"call": rows(read)[0]}}


@EACH_NAME
async def test_over_a_socket(name: str) -> None:
    text, read = NAMES[name]
    async with stage(twilio(text)) as there, there.socket() as client:
        await client.subscribe("list", LIST)
        listed = sound(await client.connection.recv())
        await client.receive()
        await client.subscribe("watch", WATCH)
        event = sound(await client.connection.recv())

    assert listed["payload"] == {"data": {"calls": {"nodes": rows(read)}}}
    assert event["payload"] == {"data": {"callUpdated": {"call": rows(read)[0]}}}


@EACH_NAME
async def test_over_server_sent_events(name: str) -> None:
    text, read = NAMES[name]
    async with stage(twilio(text)) as there, httpx.AsyncClient() as client:
        response = await client.post(
            there.url, json={"query": WATCH}, headers={"Accept": "text/event-stream"}
        )

    _, event, complete, _ = response.content.split(b"\n\n")
    assert event.startswith(b"event: next\ndata: ")
    data = sound(event.removeprefix(b"event: next\ndata: "))
    assert data == {"data": {"callUpdated": {"call": rows(read)[0]}}}
    assert complete == b"event: complete\ndata:"
