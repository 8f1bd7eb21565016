"""Scopes permit the same for every operation, and `pii` decides what is shown."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from graphql import ExecutionResult, GraphQLObjectType, get_named_type

from gateway.access import Caller, Scope
from gateway.schema import schema
from gateway.schema.masked_fields import mask_of
from gateway.schema.strawberry_internals import graphql_schema
from gateway.server.factory import open_gateway
from gateway.server.operations import Gateway, OperationOptions
from gateway.server.results import response_map
from gateway.settings import Secret
from gateway.telemetry.upstream_trace import Explain, UpstreamTrace
from gateway.upstream.calls import FetchCall, ListCalls
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, notification, recording, sid
from tests.settings import settings_of

PLAINLY = OperationOptions()
TO, FROM, FORWARDER = "+16175551212", "+442079460018", "+13125550111"
NAMES_NOBODY = {
    "Call.accountSid", "Call.id", "Call.parentCallSid", "Call.phoneNumberSid", "Call.priceUnit",
    "Call.sid", "Call.uri", "CallEdge.cursor", "Notification.accountSid", "Notification.callSid",
    "Notification.id", "Notification.moreInfo", "Notification.requestMethod", "Notification.sid",
    "Notification.uri", "NotificationEdge.cursor", "PageInfo.endCursor", "PageInfo.startCursor",
    "Recording.accountSid", "Recording.callSid", "Recording.conferenceSid", "Recording.id",
    "Recording.priceUnit", "Recording.sid", "Recording.uri", "RecordingEdge.cursor",
    "CallUserError.field", "CallUserError.message", "CallUserError.moreInfo", "_Service.sdl",
}  # fmt: skip
ROW = "to from forwardedFrom callerName toEndpoint { ...end } fromEndpoint { ...end }"
END = """fragment end on CallEndpoint {
  __typename ... on PhoneNumber { number } ... on SipAddress { address }
  ... on ClientIdentifier { name } ... on OtherEndpoint { value } }"""
LOG = "messageText requestUrl requestVariables responseBody responseHeaders"


def account() -> PlainTwilio:
    """A call with everything personal, its recording and notification."""
    return PlainTwilio(
        calls=[
            call(1, to=TO, forwarded_from=FORWARDER, caller_name="KEVIN DOE")
            | {"from": "sip:kevin@pbx.example.com"},
            call(2, to="client:kevin") | {"from": FROM},
            call(3, to="anonymous", caller_name=TO),
        ],
        recordings=[recording(1, of=1)],
        notifications=[
            notification(
                1, of=1, message_text=f"To={TO}", request_url=f"https://kevin.example.com/?To={TO}"
            )
        ],
    )


@asynccontextmanager
async def asked_by(*scopes: Scope) -> AsyncIterator[tuple[PlainTwilio, "Asker"]]:
    """The account, and a caller with these scopes."""
    settings, twilio = settings_of(account_sid=ACCOUNT, auth_token=Secret(TOKEN)), account()
    async with open_gateway(settings, twilio) as gateway:
        yield twilio, Asker(gateway, Caller("kim", frozenset(scopes)))


class Asker:
    """A caller at a gateway."""

    def __init__(self, gateway: Gateway, caller: Caller) -> None:
        self._gateway, self._caller = gateway, caller

    async def ask(
        self, query: str, terms: OperationOptions = PLAINLY, operation: str | None = None
    ) -> dict[str, Any]:
        """The response map."""
        prepared = self._gateway.prepare(query, operation)
        result = await self._gateway.execute(prepared, None, terms, caller=self._caller)
        return response_map(result)

    def stream(self, query: str) -> AsyncIterator[ExecutionResult]:
        """The results of a subscription."""
        return self._gateway.stream(query, caller=self._caller)


def test_every_text_field_is_personal_or_names_nobody() -> None:
    """A new field has to be marked, or added to the list above."""
    texts = {
        f"{type_.name}.{name}": field
        for type_ in graphql_schema(schema).type_map.values()
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__")
        for name, field in type_.fields.items()
        if get_named_type(field.type).name in {"String", "ID"}
    }

    assert {name for name, field in texts.items() if mask_of(field) is None} == NAMES_NOBODY


async def test_without_pii_numbers_and_names_are_masked() -> None:
    async with asked_by(Scope.READ) as (_, kim):
        answer = await kim.ask(f"{{ calls {{ nodes {{ {ROW} }} }} }} {END}")

    assert "errors" not in answer
    assert answer["data"]["calls"]["nodes"] == [
        {
            "to": "+1617•••1212",
            "from": "sip:•••@pbx.example.com",
            "forwardedFrom": "+1312•••0111",
            "callerName": "•••",
            "toEndpoint": {"__typename": "PhoneNumber", "number": "+1617•••1212"},
            "fromEndpoint": {"__typename": "SipAddress", "address": "sip:•••@pbx.example.com"},
        },
        {
            "to": "client:•••",
            "from": "+4420•••0018",
            "forwardedFrom": None,
            "callerName": None,
            "toEndpoint": {"__typename": "ClientIdentifier", "name": "•••"},
            "fromEndpoint": {"__typename": "PhoneNumber", "number": "+4420•••0018"},
        },
        {
            "to": "•••",
            "from": "+1617•••0101",
            "forwardedFrom": None,
            "callerName": "•••",
            "toEndpoint": {"__typename": "OtherEndpoint", "value": "•••"},
            "fromEndpoint": {"__typename": "PhoneNumber", "number": "+1617•••0101"},
        },
    ]


async def test_without_pii_texts_that_may_hold_anything_are_hidden_whole() -> None:
    async with asked_by(Scope.READ) as (_, kim):
        answer = await kim.ask(
            f'{{ notification(sid: "{sid("NO", 1)}") {{ errorCode {LOG} }}'
            f'  recording(sid: "{sid("RE", 1)}") {{ duration mediaUrl }} }}'
        )

    assert answer["data"] == {
        "notification": {
            "errorCode": 15003,
            "messageText": "•••",
            "requestUrl": "•••",
            "requestVariables": "•••",
            "responseBody": None,
            "responseHeaders": "•••",
        },
        "recording": {"duration": 30, "mediaUrl": "•••"},
    }


EVERYWHERE = {
    "calls": f"{{ calls {{ edges {{ node {{ {ROW} }} }} }} }}",
    "edges": f"{{ calls {{ nodes {{ {ROW} notifications {{ nodes {{ {LOG} }} }} }} }} }}",
    "call": f'{{ call(sid: "{sid("CA", 1)}") {{ {ROW} }} }}',
    "node": f'{{ node(id: "{sid("CA", 1)}") {{ ... on Call {{ {ROW} }} }} }}',
    "nodes": f'{{ nodes(ids: ["{sid("CA", 1)}"]) {{ ... on Call {{ {ROW} }} }} }}',
    "entities": f'{{ _entities(representations: [{{__typename: "Call", sid: "{sid("CA", 1)}"}}])'
    f" {{ ... on Call {{ {ROW} }} }} }}",
    "recording": f'{{ recording(sid: "{sid("RE", 1)}") {{ call {{ {ROW} }} }} }}',
    "notification": f'{{ notification(sid: "{sid("NO", 1)}") {{ {LOG} call {{ {ROW} }} }} }}',
    "alias": f'{{ call(sid: "{sid("CA", 1)}") {{ uri: to sid: from id: callerName ...more }} }}'
    f" fragment more on Call {{ {ROW} }}",
}


@pytest.mark.parametrize("query", EVERYWHERE.values(), ids=EVERYWHERE)
async def test_no_number_or_name_is_shown_without_pii(query: str) -> None:
    async with asked_by(Scope.READ) as (_, kim):
        answer = await kim.ask(f"{query} {END}", OperationOptions(explain=Explain.REQUESTS))

    assert "errors" not in answer
    assert "•••" in str(answer)
    for personal in (TO[1:], FROM[1:], FORWARDER[1:], "kevin", "KEVIN", "DOE"):
        assert personal not in str(answer)


@pytest.mark.parametrize("query", EVERYWHERE.values(), ids=EVERYWHERE)
async def test_with_pii_they_are_shown(query: str) -> None:
    async with asked_by(Scope.READ, Scope.PII) as (_, kim):
        answer = await kim.ask(f"{query} {END}")

    assert "errors" not in answer
    assert "•••" not in str(answer)
    assert TO in str(answer)


PROBES = {
    "to": f'{{ calls(filter: {{to: "{TO}"}}) {{ nodes {{ sid }} }} }}',
    "from": f'{{ calls(last: 1, before: "x", filter: {{from: "{TO}"}}) {{ nodes {{ sid }} }} }}',
    "child": f'{{ call(sid: "{sid("CA", 1)}")'
    f' {{ childCalls(filter: {{from: "{TO}"}}) {{ pageInfo {{ hasNextPage }} }} }} }}',
    "entity": f'{{ _entities(representations: [{{__typename: "PhoneNumber", number: "{TO}"}}])'
    " { ... on PhoneNumber { number } } }",
}


@pytest.mark.parametrize(
    "terms", [OperationOptions(), OperationOptions(explain=Explain.PLAN)], ids=["read", "plan"]
)
@pytest.mark.parametrize("query", PROBES.values(), ids=PROBES)
async def test_without_pii_a_caller_cannot_find_out_whether_a_number_occurs(
    query: str, terms: OperationOptions
) -> None:
    async with asked_by(Scope.READ) as (twilio, kim):
        answer = await kim.ask(query, terms)

    assert not [request for request in twilio.asked() if "To=" in request or "From=" in request]
    assert TO not in str(answer)
    if terms.explain is not Explain.PLAN:
        (error,) = answer["errors"]
        assert error["extensions"] == {"code": "FORBIDDEN"}
        assert error["message"].endswith("needs the scope pii")


async def test_with_pii_filters_by_number_are_answered() -> None:
    async with asked_by(Scope.READ, Scope.PII) as (twilio, kim):
        answer = await kim.ask(PROBES["to"])

    assert len(answer["data"]["calls"]["nodes"]) == 1
    assert twilio.asked() == [f"GET Calls?To={TO}&PageSize=51"]


@pytest.mark.parametrize(
    ("document", "operation", "scopes", "code"),
    [
        ("{ calls { nodes { sid } } }", None, [Scope.CALL, Scope.PII], "FORBIDDEN"),
        ("query A { __typename }", None, [], "FORBIDDEN"),
        ("{ _service { sdl } }", None, [], "FORBIDDEN"),
        ("{ __schema { types { name } } }", None, [], "FORBIDDEN"),
        ("mutation { x }", None, [Scope.READ, Scope.PII], "FORBIDDEN"),
        ("query A { __typename } mutation B { x }", "B", [Scope.READ], "FORBIDDEN"),
        ("query A { __typename } mutation B { x }", "A", [Scope.CALL], "FORBIDDEN"),
        ("mutation { x }", None, [Scope.CALL], "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_an_operation_needs_the_scope_of_its_type_and_is_not_begun_without(
    document: str, operation: str | None, scopes: list[Scope], code: str | None
) -> None:
    async with asked_by(*scopes) as (twilio, kim):
        answer = await kim.ask(document, operation=operation)

    (error,) = answer["errors"]
    assert error.get("extensions", {}).get("code") == code
    assert "data" not in answer
    assert twilio.asked() == []


async def test_a_subscription_needs_read() -> None:
    async with asked_by() as (twilio, kim):
        (refused,) = [result async for result in kim.stream("subscription { x }")]

    assert refused.errors
    assert refused.errors[0].extensions == {"code": "FORBIDDEN"}
    assert twilio.asked() == []


@pytest.mark.parametrize("filter_", ['{to: "+16175551212"}', '{from: "client:kevin"}'])
async def test_a_subscription_by_number_is_for_those_who_may_know(filter_: str) -> None:
    query = f"subscription {{ callsUpdated(filter: {filter_}) {{ source }} }}"
    async with asked_by(Scope.READ) as (twilio, kim):
        (refused,) = [result async for result in kim.stream(query)]

    assert refused.errors
    assert (refused.errors[0].extensions or {})["code"] == "FORBIDDEN"
    assert twilio.asked() == []


def test_an_explanation_masks_what_is_asked_about_somebody() -> None:
    """In every request: of the parameters, only those are shown that never hold personal data."""
    trace = UpstreamTrace(lambda: 0.0, shows_personal=False)
    entry = trace.begin(ListCalls(to=TO, page_size=5), "per-key", [], (1, 0.1))
    shown = UpstreamTrace(lambda: 0.0).begin(ListCalls(to=TO), "per-key", [], (1, 0.1))

    assert entry.query == "To=+1617•••1212&PageSize=5"
    assert shown.query == f"To={TO}&PageSize=50"
    assert trace.begin(FetchCall(sid=sid("CA", 1)), "per-key", [], (1, 0.1)).query == ""
