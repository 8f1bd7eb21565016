"""Subscriptions in the schema: each event is executed anew, and once for all subscribers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.access import ANONYMOUS
from gateway.live.events import EventSource
from gateway.live.polling import ALL_CALLS
from gateway.server import Gateway, OperationOptions, open_gateway
from gateway.server.results import response_map
from gateway.settings import Secret
from gateway.telemetry.upstream_trace import Explain
from tests.live.stage import event
from tests.live.watched import settle
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, recording, sid
from tests.settings import settings_of

CALL = sid("CA", 1)
EDGES = """subscription($sid: ID!) { callUpdated(sid: $sid) {
    call { status recordings { nodes { sid } } parentCall { sid } } } }"""
CALL_READ = f"GET Calls/{CALL}"
EDGE_READ = f"GET Calls/{CALL}/Recordings?PageSize=51"


class Stage:
    """A gateway in process over a ringing call; it does not poll."""

    def __init__(self, gateway: Gateway, twilio: PlainTwilio) -> None:
        self.gateway = gateway
        self.twilio = twilio

    async def set_status(self, status: str) -> None:
        """The call enters this state, and a webhook reports it."""
        self.twilio.calls[0]["status"] = status
        await self.gateway.own.store.publish(event(status))

    def listen(self, query: str = EDGES, **options: Any) -> "Listener":
        """Starts a subscription."""
        return Listener(
            self.gateway.stream(
                query, {"sid": CALL}, None, OperationOptions(**options), caller=ANONYMOUS
            )
        )


class Listener:
    """A subscription's response maps, as they come."""

    def __init__(self, results: Any) -> None:
        self.answers: list[dict[str, Any]] = []
        self.task = asyncio.ensure_future(self._listen(results))

    async def _listen(self, results: Any) -> None:
        async with aclosing(results):
            async for result in results:
                self.answers.append(response_map(result))

    async def end(self) -> list[dict[str, Any]]:
        """Its responses, after it has ended by itself."""
        await asyncio.wait_for(self.task, 10)
        return self.answers

    async def leave(self) -> None:
        """Stops it before its end."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """At the end no subscriber is left.

    Another gateway holds the lease of each poll: a poll of this one, a second after a subscription
    began, would be one more read of the call.
    """
    twilio = PlainTwilio(calls=[call(1, status="ringing")], recordings=[recording(1, 1)])
    settings = settings_of(account_sid=ACCOUNT, auth_token=Secret(TOKEN))
    async with open_gateway(settings, twilio) as gateway:
        for name in (CALL, ALL_CALLS):
            assert await gateway.own.store.lease(f"look:{name}", "another gateway", 3600)
        yield Stage(gateway, twilio)
        assert gateway.own.subscriptions.count == 0


def events(answers: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Status and recordings of each event."""
    calls = [answer["data"]["callUpdated"]["call"] for answer in answers]
    return [(c["status"], [row["sid"] for row in c["recordings"]["nodes"]]) for c in calls]


async def test_an_event_knows_nothing_of_what_an_earlier_one_read() -> None:
    async with stage() as there:
        listener = there.listen()
        await settle()
        first = there.twilio.asked()
        there.twilio.recordings.insert(0, recording(2, 1))
        await there.set_status("completed")
        answers = await listener.end()

    assert first == there.twilio.asked() == [CALL_READ, EDGE_READ]
    assert events(answers) == [
        ("RINGING", [sid("RE", 1)]),
        ("COMPLETED", [sid("RE", 2), sid("RE", 1)]),
    ]


async def test_an_event_is_executed_once_for_all_who_ask_the_same() -> None:
    async with stage() as there:
        listeners = [there.listen() for _ in range(30)]
        await settle()
        there.twilio.asked()
        await there.set_status("completed")
        answers = [await listener.end() for listener in listeners]

    assert there.twilio.asked() == [CALL_READ, EDGE_READ]
    assert all(answer[-1]["data"] is answers[0][-1]["data"] for answer in answers[1:])
    assert events(answers[0])[-1] == ("COMPLETED", [sid("RE", 1)])


async def test_who_asks_otherwise_or_was_told_otherwise_gets_an_answer_of_their_own() -> None:
    previous = "subscription($sid: ID!) { callUpdated(sid: $sid) { previousStatus } }"
    async with stage() as there:
        early = there.listen(previous)
        await settle()
        there.twilio.calls[0]["status"] = "in-progress"
        late, other = there.listen(previous), there.listen()
        await settle()
        await there.set_status("completed")
        told = [(await one.end())[-1]["data"]["callUpdated"] for one in (early, late, other)]

    # The early one got in-progress as well: the late one's first read was an event for it.
    assert told[:2] == [{"previousStatus": "IN_PROGRESS"}] * 2
    assert told[2]["call"]["status"] == "COMPLETED"


async def test_one_who_leaves_takes_the_answer_from_nobody() -> None:
    """The first subscriber starts the execution; it continues for the others."""
    async with stage() as there:
        listeners = [there.listen() for _ in range(3)]
        await settle()
        there.twilio.asked()
        there.twilio.delay = 0.05
        await there.set_status("completed")
        async with asyncio.timeout(10):
            while EDGE_READ not in there.twilio.requests:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
        await listeners[0].leave()
        answers = [await listener.end() for listener in listeners[1:]]

    assert [events(answer)[-1][0] for answer in answers] == ["COMPLETED"] * 2


async def test_an_edge_that_fails_costs_its_field_and_not_the_event() -> None:
    def broken(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(500) if "Recordings" in request.url.path else None

    async with stage() as there:
        there.twilio.fault = broken
        there.twilio.calls[0]["status"] = "completed"
        (answer,) = await there.listen().end()

    assert answer["data"]["callUpdated"]["call"]["recordings"] is None
    assert answer["data"]["callUpdated"]["call"]["status"] == "COMPLETED"
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["UPSTREAM_UNAVAILABLE"]


async def test_a_final_webhook_without_a_direction_is_told_though_the_call_is_gone() -> None:
    """A missing status is UNKNOWN: it fails neither the event nor the subscription."""
    fields = "{ call { sid status direction accountSid to } }"
    async with stage() as there:
        one = there.listen(f"subscription($sid: ID!) {{ callUpdated(sid: $sid) {fields} }}")
        all_ = there.listen(f"subscription {{ callsUpdated {fields} }}")
        await settle()
        there.twilio.calls.clear()
        other = sid("CA", 2)
        await there.gateway.own.store.publish(event("completed", 3))
        await there.gateway.own.store.publish(event("completed", 3, of=other))
        last = (await one.end())[-1]["data"]["callUpdated"]["call"]
        async with asyncio.timeout(10):
            while len(all_.answers) < 3:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
        await all_.leave()

    assert (last["status"], last["direction"]) == ("COMPLETED", "INBOUND")
    assert [answer.get("errors") for answer in all_.answers] == [None] * 3
    assert all_.answers[-1]["data"]["callsUpdated"]["call"] == {
        "sid": other,
        "status": "COMPLETED",
        "direction": "UNKNOWN",
        "accountSid": ACCOUNT,
        "to": None,
    }


async def test_each_event_explains_itself_where_that_is_wanted() -> None:
    async with stage() as there:
        listeners = [there.listen(explain=Explain.TOTALS) for _ in range(2)]
        await settle()
        there.twilio.recordings.insert(0, recording(2, 1))
        await there.set_status("completed")
        answers = [await listener.end() for listener in listeners]

    upstream = [[one["extensions"]["upstream"] for one in answer] for answer in answers]
    assert [[one["requests"] for one in events] for events in upstream] == [[1, 1]] * 2
    assert [[one["rows"] for one in events] for events in upstream] == [[1, 2]] * 2


async def test_an_internal_error_is_masked() -> None:
    """Internal errors are shown to no client."""

    def broken(_: httpx.Request) -> httpx.Response:
        raise RuntimeError("a secret")

    async with stage() as there:
        there.twilio.fault = broken
        (answer,) = await there.listen().end()

    assert answer == {
        "errors": [{"message": "Internal error", "extensions": {"code": "INTERNAL_ERROR"}}]
    }


async def test_an_internal_error_in_the_read_of_an_event_ends_its_subscribers_only() -> None:
    """Who subscribes later gets events again."""

    def broken(_: httpx.Request) -> httpx.Response:
        raise RuntimeError("a secret")

    async with stage() as there:
        listeners = [there.listen() for _ in range(2)]
        await settle()
        there.twilio.fault = broken
        await there.set_status("in-progress")
        ended = [(await listener.end())[-1] for listener in listeners]
        there.twilio.fault = None
        later = there.listen()
        await settle()
        await there.set_status("completed")
        answers = await later.end()

    error = {"message": "Internal error", "extensions": {"code": "INTERNAL_ERROR"}}
    assert ended == [{"errors": [error]}] * 2
    assert [status for status, _ in events(answers)] == ["IN_PROGRESS", "COMPLETED"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ('{to: ""}', "INVALID_FILTER"),
        ("{status: []}", "INVALID_FILTER"),
        ("{status: [UNKNOWN]}", "INVALID_FILTER"),
        ('{parentCallSid: "CA1"}', "BAD_USER_INPUT"),
    ],
)
async def test_a_filter_that_no_call_can_match_is_refused(given: str, code: str) -> None:
    query = f"subscription {{ callsUpdated(filter: {given}) {{ source }} }}"
    async with stage() as there:
        (answer,) = await Listener(there.gateway.stream(query, caller=ANONYMOUS)).end()

    assert answer["errors"][0]["extensions"] == {"code": code}
    assert there.twilio.requests == []


@pytest.mark.parametrize("source", list(EventSource))
async def test_an_event_says_how_the_gateway_came_to_know(source: EventSource) -> None:
    query = "subscription($sid: ID!) { callUpdated(sid: $sid) { source receivedAt } }"
    async with stage() as there:
        listener = there.listen(query)
        await settle()
        there.twilio.calls[0]["status"] = "completed"
        await there.gateway.own.store.publish(event("completed", source=source))
        first, second = [answer["data"]["callUpdated"] for answer in await listener.end()]

    assert first["source"] == "CURRENT"
    assert second == {"source": source.name, "receivedAt": "2026-03-10T12:00:00Z"}
