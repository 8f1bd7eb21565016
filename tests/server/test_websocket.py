"""graphql-transport-ws over real sockets: the protocol, and clients that violate it."""

import asyncio
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from gateway.server import websocket as ours
from tests.plain_twilio import calls_in, sid
from tests.server.sockets import WATCH, stage

ONE = "query One($sid: ID!) { call(sid: $sid) { status } }"


async def test_a_subscription_begins_with_the_state_and_ends_with_the_final_one() -> None:
    async with stage(calls_in("ringing", "ringing")) as there, there.socket() as client:
        await client.watch(1)
        events = [await client.event()]
        for status in ("in-progress", "completed"):
            await there.goes(1, status)
            events.append(await client.event())
        end = await client.receive()

    assert events == [
        ("RINGING", None, "CURRENT"),
        ("IN_PROGRESS", "RINGING", "WEBHOOK"),
        ("COMPLETED", "IN_PROGRESS", "WEBHOOK"),
    ]
    assert end == {"type": "complete", "id": "1"}


async def test_a_query_is_answered_over_the_socket() -> None:
    async with stage(calls_in("ringing", "ringing")) as there, there.socket() as client:
        await client.subscribe("q", ONE, sid=sid("CA", 1))
        messages = [await client.receive(), await client.receive()]

    assert messages == [
        {"type": "next", "id": "q", "payload": {"data": {"call": {"status": "RINGING"}}}},
        {"type": "complete", "id": "q"},
    ]


@pytest.mark.parametrize(
    "query",
    ["{ call(", "{ nothing }", "subscription { nothing }", "", "query A { __typename }"],
    ids=["unparsable", "invalid", "invalid subscription", "empty", "name"],
)
async def test_a_bad_document_fails_its_own_id_and_not_the_socket(query: str) -> None:
    async with stage(calls_in("ringing", "ringing")) as there, there.socket() as client:
        await client.watch(1, "good")
        await client.event()
        payload = {"query": query, "operationName": "Another" if "query A" in query else None}
        await client.send({"type": "subscribe", "id": "bad", "payload": payload})
        error = await client.receive()
        await there.goes(1, "in-progress")
        event = await client.event()

    assert (error["type"], error["id"]) == ("error", "bad")
    assert error["payload"][0]["message"]
    assert event == ("IN_PROGRESS", "RINGING", "WEBHOOK")


async def test_a_call_that_does_not_exist_is_an_error_of_its_id() -> None:
    async with stage(calls_in("ringing", "ringing")) as there, there.socket() as client:
        await client.watch(9)
        unknown = await client.receive()
        await client.subscribe("2", WATCH, sid="CA1")
        malformed = await client.receive()

    assert unknown["payload"][0]["extensions"] == {"code": "NOT_FOUND"}
    assert malformed["payload"][0]["extensions"] == {"code": "BAD_USER_INPUT"}


async def test_ping_is_answered_and_pong_needs_no_answer() -> None:
    async with stage() as there, there.socket(greets=False) as client:
        await client.send({"type": "pong"})
        await client.send({"type": "ping", "payload": {"a": 1}})
        answer = await client.receive()

    assert answer == {"type": "pong"}


MALFORMED: dict[str, Any] = {
    "no JSON": "{",
    "nothing": "",
    "binary": b"{}",
    "a list": [],
    "null": None,
    "a text": '"text"',
    "a number": 1,
    "no type": {},
    "an unknown type": {"type": "start"},
    "a type that is no text": {"type": {}},
    "init with a list": {"type": "connection_init", "payload": []},
    "no id": {"type": "subscribe", "payload": {"query": "{ __typename }"}},
    "an empty id": {"type": "subscribe", "id": "", "payload": {"query": "{ __typename }"}},
    "an id that is no text": {"type": "subscribe", "id": 1, "payload": {"query": "{ a }"}},
    "no payload": {"type": "subscribe", "id": "1"},
    "no query": {"type": "subscribe", "id": "1", "payload": {}},
    "variables as a list": {
        "type": "subscribe",
        "id": "1",
        "payload": {"query": "", "variables": 1},
    },
    "complete without id": {"type": "complete"},
    "half a surrogate": '{"type": "ping", "payload": {"a": "\\ud800"}}',
    "deep JSON": '{"type": "ping", "payload": {"a":' + "[" * 30_000 + "]" * 30_000 + "}}",
    "a huge number": '{"type": "ping", "payload": ' + "9" * 20_000 + "}",
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_message_closes_with_4400(message: Any) -> None:
    async with stage() as there, there.socket() as client:
        await client.send(message)
        closed = await client.closed()

    assert closed[0] == 4400


async def test_a_message_of_more_than_64_kb_closes_with_1009() -> None:
    async with stage() as there, there.socket() as client:
        await client.send({"type": "ping", "payload": {"a": "x" * 64 * 1024}})
        closed = await client.closed()

    assert closed[0] == 1009


async def test_subscribing_before_the_acknowledgement_closes_with_4401() -> None:
    async with stage() as there, there.socket(greets=False) as client:
        await client.subscribe("1", "{ __typename }")

        assert await client.closed() == (4401, "Unauthorized")


async def test_a_second_init_closes_with_4429() -> None:
    async with stage() as there, there.socket() as client:
        await client.send({"type": "connection_init"})

        assert await client.closed() == (4429, "Too many initialisation requests")


async def test_an_id_in_use_closes_with_4409_and_is_free_after_its_end() -> None:
    async with stage(calls_in("ringing", "ringing")) as there, there.socket() as client:
        await client.watch(1, "a")
        await client.event()
        await client.send({"type": "complete", "id": "a"})
        await client.watch(2, "a")
        await client.event()
        await client.watch(1, "a")
        closed = await client.closed()

    assert closed == (4409, "Subscriber for this id already exists")


async def test_a_missing_connection_init_closes_with_4408() -> None:
    """Pings do not extend it; an initialised client may be silent."""
    async with stage() as there, there.socket() as greeted:
        async with there.socket(greets=False) as silent:
            began = asyncio.get_running_loop().time()
            await silent.send({"type": "ping"})
            closed = await silent.closed()
            waited = asyncio.get_running_loop().time() - began
        await asyncio.sleep(0.3)
        await greeted.send({"type": "ping"})
        answer = await greeted.receive()

    assert closed == (4408, "Connection initialisation timeout")
    assert 4 < waited < 9
    assert answer == {"type": "pong"}


@pytest.mark.parametrize("offered", [["graphql-ws"], None], ids=["legacy", "none"])
async def test_another_subprotocol_closes_with_4406(offered: list[Subprotocol] | None) -> None:
    async with stage() as there, there.socket(greets=False, subprotocols=offered) as client:
        assert await client.closed() == (4406, "Subprotocol not acceptable")


async def test_the_new_protocol_is_chosen_beside_the_legacy_one() -> None:
    both = [Subprotocol("graphql-ws"), Subprotocol("graphql-transport-ws")]
    async with stage() as there, there.socket(subprotocols=both) as client:
        assert client.connection.subprotocol == "graphql-transport-ws"


@pytest.mark.parametrize("origin", ["https://evil.example", "https://a.b.desk.example", "null"])
async def test_a_page_of_another_origin_is_refused_at_the_handshake(
    caplog: pytest.LogCaptureFixture, origin: str
) -> None:
    async with stage(allowed_origins=("https://*.desk.example",)) as there:
        with pytest.raises(InvalidStatus) as refusal:
            async with there.socket(origin=origin):
                pass

    assert refusal.value.response.status_code == 403
    assert f"refused a web page of origin '{origin}'" in caplog.text


@pytest.mark.parametrize(
    "origin",
    ["http://127.0.0.1:{port}", "https://calls.example.com", "https://a.desk.example",
     "capacitor://localhost"],
)  # fmt: skip
async def test_pages_of_the_gateway_itself_and_of_the_list_may_connect(origin: str) -> None:
    """Of its own host and port, and of its public URL."""
    listed = ("https://*.desk.example", "capacitor://localhost")
    async with stage(public_url="https://calls.example.com/api", allowed_origins=listed) as there:
        here = origin.format(port=there.port)
        async with there.socket(origin=here) as client:
            await client.send({"type": "ping"})

            assert await client.receive() == {"type": "pong"}


async def test_at_most_50_operations_at_once_on_one_socket() -> None:
    async with stage(calls_in("ringing", "ringing")) as there, there.socket() as client:
        for number in range(ours.MAX_OPERATIONS):
            await client.watch(1, str(number))
            await client.event()
        await client.watch(1, "too many")
        error = await client.receive()
        await client.send({"type": "complete", "id": "7"})
        await client.watch(1, "now it fits")
        event = await client.event()

    assert (error["type"], error["id"]) == ("error", "too many")
    assert error["payload"] == [
        {
            "message": "At most 50 concurrent operations on one socket",
            "extensions": {"code": "LIMIT_EXCEEDED", "limit": "socket_operations", "allowed": 50},
        }
    ]
    assert event == ("RINGING", None, "CURRENT")


async def test_a_client_that_completes_an_operation_gets_no_more_of_its_events() -> None:
    async with stage(calls_in("ringing", "ringing")) as there, there.socket() as client:
        await client.watch(1, "ends")
        await client.event()
        await client.watch(2, "stays")
        await client.event()
        await client.send({"type": "complete", "id": "ends"})
        await client.send({"type": "complete", "id": "never was"})
        await there.until_watched(1)
        await there.goes(1, "completed")
        await there.goes(2, "completed")
        messages = [await client.receive(), await client.receive()]

    assert [message["id"] for message in messages] == ["stays", "stays"]


async def test_a_client_that_vanishes_leaves_nothing_behind() -> None:
    """`stage` fails if a subscription or task is left over."""
    async with stage(calls_in("ringing", "ringing")) as there, there.socket() as client:
        for number in range(5):
            await client.watch(1, str(number))
            await client.event()
        client.connection.transport.abort()
        await there.until_watched(0)


async def test_a_server_that_shuts_down_says_so() -> None:
    async with stage(calls_in("ringing", "ringing")) as there, there.socket() as client:
        await client.watch(1)
        await client.event()
        there.server.should_exit = True
        closed = await client.closed()

    assert closed[0] in {1001, 1012}
