"""Every value reaches upstream exactly or is refused; nothing else gets through."""

import json
import logging
import re
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.logs import EscapingFormatter
from tests.conftest import connect
from tests.plain_twilio import ROOT, PlainTwilio, call, sid
from tests.server.stage import JSON, served

FILTERED = "query($f: CallFilter) { calls(filter: $f) { nodes { sid } } }"
# Texts with a meaning in one of the languages that a value passes through.
TRICKY = st.sampled_from(
    [
        "+16175550101", "a&Status=busy", "a=b", "a#b", "a%26b", "%", "a+b", "a b", " a ", "\0",
        "\r\nX: y", "../../Accounts", "AC/../x", '"', "'", "\\", "\\u0000", "{}", "$f", "é", "😀",
        "client:a b", "sip:a@b;c=d?e=f", "a\ud7ff", "\ufeff", "\u202e", "\u2028",
    ]
)  # fmt: skip
TEXTS = TRICKY | st.text(st.characters(codec="utf-8"), max_size=30)


class Recording(PlainTwilio):
    """Records each request as sent."""

    def __init__(self) -> None:
        super().__init__(calls=[call(1)])
        self.sent: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return await super().handle_async_request(request)


def parameters(request: httpx.Request) -> list[tuple[str, str]]:
    """The query parameters as the receiver parses them."""
    return parse_qsl(request.url.query.decode("ascii"), keep_blank_values=True, strict_parsing=True)


@given(TEXTS, TEXTS)
async def test_a_filters_text_arrives_exactly_or_is_refused(to: str, from_: str) -> None:
    twilio = Recording()
    async with connect(twilio) as client:
        answer = await client.answer(FILTERED, f={"to": to, "from": from_})

    if "errors" in answer:
        assert answer["errors"][0]["extensions"]["code"] == "INVALID_FILTER"
        assert twilio.sent == []
        return
    (request,) = twilio.sent
    assert parameters(request) == [("To", to), ("From", from_), ("PageSize", "51")]
    assert request.url.raw_path.partition(b"?")[0] == f"{ROOT}Calls.json".encode()


@given(TEXTS)
async def test_a_text_in_a_literal_is_as_exact(to: str) -> None:
    twilio = Recording()
    literal = json.dumps(to)
    async with connect(twilio) as client:
        await client.answer(f"{{ calls(filter: {{to: {literal}}}) {{ nodes {{ sid }} }} }}")

    assert [dict(parameters(request)).get("To") for request in twilio.sent] in ([], [to])
    assert len(twilio.sent) == bool(to.strip())


GOOD_SID = re.compile("(CA|RE|NO)[0-9a-fA-F]{32}")
SIDS = (
    TEXTS
    | TRICKY.map(lambda text: sid("CA", 1) + text)
    | TRICKY.map(lambda text: "CA" + text + "0" * (32 - len(text)))
)
BY_SID = {
    "call": "query($s: ID!) { call(sid: $s) { sid } }",
    "recording": "query($s: ID!) { recording(sid: $s) { sid } }",
    "notification": "query($s: ID!) { notification(sid: $s) { sid } }",
    "node": "query($s: ID!) { node(id: $s) { id } }",
    "nodes": "query($s: ID!) { nodes(ids: [$s]) { id } }",
    "parent": "query($s: ID!) { calls(filter: {parentCallSid: $s}) { nodes { sid } } }",
}


@given(SIDS, st.sampled_from(list(BY_SID)))
async def test_an_invalid_sid_is_in_no_path(text: str, field: str) -> None:
    twilio = Recording()
    async with connect(twilio) as client:
        error = await client.error(BY_SID[field], s=text)

    assert not GOOD_SID.fullmatch(text)
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert twilio.sent == []


@given(SIDS)
async def test_an_invalid_sid_in_a_representation_is_in_no_path(text: str) -> None:
    twilio = Recording()
    given_ = [{"__typename": name, "sid": text} for name in ("Call", "Recording", "Notification")]
    query = "query($r: [_Any!]!) { _entities(representations: $r) { __typename } }"
    async with connect(twilio) as client:
        answer = await client.answer(query, r=given_)

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"] * 3
    assert twilio.sent == []


OURS = {"host", "accept", "accept-encoding", "connection", "user-agent", "authorization"}
THEIRS = {
    "X-Forwarded-For": "6.6.6.6",
    "Forwarded": "for=6.6.6.6",
    "Authorization": "Bearer stolen",
    "Cookie": "session=stolen",
    "X-Twilio-Signature": "stolen",
    "Host": "evil",
    "User-Agent": "stolen",
    "Accept-Encoding": "br;q=0.123",
    "Connection": "x-evil",
    "X-Evil": "stolen",
    "I-Twilio-Idempotency-Token": "stolen",
}


@pytest.mark.parametrize("name", THEIRS)
async def test_a_clients_header_is_not_passed_on(name: str) -> None:
    twilio = Recording()
    async with served(twilio) as client:
        body = json.dumps({"query": "{ calls { nodes { sid } } }"})
        headers = {"Content-Type": JSON, name: THEIRS[name]}
        response = await client.post("/graphql", content=body, headers=headers)

    (request,) = twilio.sent
    assert response.status_code == 200
    assert set(request.headers) <= OURS
    assert THEIRS[name] not in request.headers.values()


LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR|CRITICAL) [\w.]+: "
)


def record(message: str, *values: Any, cause: Exception | None = None) -> logging.LogRecord:
    """A log record."""
    exc_info = (type(cause), cause, None) if cause else None
    return logging.LogRecord("gateway.x", logging.ERROR, "x.py", 1, message, values, exc_info)


@given(
    st.text() | st.sampled_from(["\n2026-01-01 00:00:00,000 INFO gateway: forged", "a\r\x1b[2J"])
)
def test_no_text_can_forge_a_line_of_the_log(text: str) -> None:
    """Neither in a message nor a traceback: only a record's first line is not indented."""
    whole = EscapingFormatter().format(record("said %s", text, cause=ValueError(text)))
    first, *rest = re.split("[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]", whole)

    assert LINE.match(first)
    assert all(line.startswith("    | ") for line in rest)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", whole)


def test_a_traceback_can_still_be_read() -> None:
    whole = EscapingFormatter().format(record("said %s", "é 😀", cause=ValueError("no")))

    assert whole.splitlines()[0].endswith("said é 😀")
    assert whole.splitlines()[-1] == "    | ValueError: no"
