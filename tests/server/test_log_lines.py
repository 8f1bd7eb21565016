"""The lines of the log: one for each operation, one for each mutation, with nothing personal."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings import AccessMode
from gateway.telemetry.logs import EscapingFormatter, JsonFormatter
from tests.plain_twilio import PlainTwilio, call, sid
from tests.server.stage import served

QUERY = "{ calls { nodes { sid } } }"
END = 'mutation { endCall(input: {sid: "%s"}) { call { sid } userErrors { code } } }'


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, Any]]]:
    """The fields of the lines of operations and mutations, as they come."""
    seen: list[dict[str, Any]] = []

    class Reader(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fields = getattr(record, "fields", None)
            if fields is not None:
                seen.append({"message": record.getMessage(), **fields})

    root, reader = logging.getLogger("gateway"), Reader()
    root.addHandler(reader)
    with caplog.at_level(logging.INFO, "gateway"):
        yield seen
    root.removeHandler(reader)


def without_time(line: dict[str, Any]) -> dict[str, Any]:
    """The line without its duration, which must be there."""
    assert line.pop("milliseconds") >= 0
    return line


async def test_every_operation_leaves_one_line(lines: list[dict[str, Any]]) -> None:
    async with served(PlainTwilio(calls=[call(1)])) as client:
        await client.post("/graphql", json={"query": QUERY})
        await client.get("/graphql", params={"query": "{ nothing }"})
        await client.post("/graphql", content=b"?")

    ok, invalid, unread = map(without_time, lines)
    assert ok == {
        "message": "operation", "type": "query", "outcome": "ok", "status": 200,
        "caller": "anonymous", "transport": "http", "upstream": 1, "rows": 1, "retries": 0,
    }  # fmt: skip
    assert (invalid["type"], invalid["outcome"]) == ("query", "refused")
    assert invalid["codes"] == ("GRAPHQL_VALIDATION_FAILED",)
    assert unread == {
        "message": "operation", "outcome": "refused", "status": 415, "codes": ("BAD_REQUEST",),
        "caller": "anonymous", "transport": "http",
    }  # fmt: skip


async def test_a_mutation_leaves_an_audit_line_whatever_comes_of_it(
    lines: list[dict[str, Any]],
) -> None:
    async with served(PlainTwilio(calls=[call(1, status="in-progress")])) as client:
        await client.post("/graphql", json={"query": END % sid("CA", 1)})
        await client.post("/graphql", json={"query": END % sid("CA", 7)})

    audit = [line for line in lines if line["message"] == "mutation"]
    assert audit == [
        {"message": "mutation", "field": "endCall", "caller": "anonymous", "sid": sid("CA", 1),
         "result": "ok"},
        {"message": "mutation", "field": "endCall", "caller": "anonymous", "sid": sid("CA", 7),
         "result": "NOT_FOUND"},
    ]  # fmt: skip


async def test_a_stream_leaves_its_line_at_its_end(lines: list[dict[str, Any]]) -> None:
    accept = {"Accept": "text/event-stream"}
    async with served(PlainTwilio(calls=[call(1)])) as client:
        await client.post("/graphql", json={"query": QUERY}, headers=accept)

    (line,) = map(without_time, lines)
    assert (line["transport"], line["status"], line["upstream"]) == ("sse", 200, 1)


async def test_a_refused_caller_leaves_a_line_without_what_was_presented(
    lines: list[dict[str, Any]],
) -> None:
    settings = {"account_sid": None, "auth_token": None, "access": AccessMode.PASSTHROUGH}
    async with served(PlainTwilio(), **settings) as client:
        await client.post("/graphql", json={"query": QUERY}, headers={"Authorization": "Bearer x9"})

    (line,) = map(without_time, lines)
    assert line == {
        "message": "operation", "outcome": "refused", "status": 401, "codes": ("UNAUTHENTICATED",),
        "transport": "http",
    }  # fmt: skip


async def test_a_refused_page_leaves_a_line(lines: list[dict[str, Any]]) -> None:
    async with served(PlainTwilio(calls=[])) as client:
        response = await client.post(
            "/graphql", json={"query": QUERY}, headers={"Origin": "https://evil.example"}
        )

    assert response.status_code == 403
    (line,) = map(without_time, lines)
    assert (line["outcome"], line["codes"]) == ("refused", ("FOREIGN_ORIGIN",))


async def test_no_line_has_what_a_client_or_a_row_says(caplog: pytest.LogCaptureFixture) -> None:
    number, name = "+16175550123", "Steal16175550123"
    rows = [call(1, to=number, caller_name=name), call(2, from_=number, status="in-progress")]
    root = f"{name}: calls(filter: {{to: $to}}) {{ nodes {{ to callerName }} }}"
    make = f'makeCall(input: {{to: "{number}", from: "{number}", instructions: {{twiml: "<a/>"}}}})'
    texts = (
        f"query {name}($to: String) {{ {root} }}",
        f"{{ {name} }}",
        f"query {name}",
        f'{{ call(sid: "{number}") {{ sid }} }}',
        f"mutation {name} {{ {make} {{ call {{ sid }} userErrors {{ message }} }} }}",
        f'{{ calls(after: "{number}") {{ nodes {{ sid }} }} }}',
        f'subscription {name} {{ callUpdated(sid: "{number}") {{ call {{ sid }} }} }}',
    )
    with caplog.at_level(logging.DEBUG, "gateway"):
        async with served(PlainTwilio(calls=rows)) as client:
            for text in texts:
                for accept in ("application/json", "text/event-stream"):
                    body = {"query": text, "variables": {"to": number}}
                    headers = {"Accept": accept, "traceparent": name, "X-Request-Id": name}
                    await client.post("/graphql", json=body, headers=headers)

    lines = [EscapingFormatter().format(record) for record in caplog.records]
    lines += [JsonFormatter().format(record) for record in caplog.records]
    assert sum("operation" in line for line in lines) >= 2 * 2 * len(texts)
    assert not [line for line in lines if "6175550123" in line]


FIELDS = st.dictionaries(
    st.text("abcdefgh", min_size=1).map(lambda name: "f_" + name),
    st.text() | st.integers() | st.booleans(),
    max_size=3,
)


@given(st.text(), FIELDS)
def test_a_line_of_json_is_one_line_with_every_field(message: str, fields: dict[str, Any]) -> None:
    record = logging.LogRecord("gateway.x", logging.INFO, "f", 1, "%s", (message,), None)
    record.fields = fields
    line = JsonFormatter().format(record)

    parsed = json.loads(line)
    assert line.splitlines() == [line]
    assert parsed["message"] == message.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    assert {name: parsed[name] for name in fields} == fields
    assert (parsed["level"], parsed["logger"]) == ("info", "gateway.x")
    assert len(EscapingFormatter().format(record).splitlines()) == 1


def test_the_formats_write_a_traceback_in_the_same_record() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("gateway.x", logging.ERROR, "f", 1, "failed", (), info)

    assert json.loads(JsonFormatter().format(record))["exception"].endswith("broken\n")
