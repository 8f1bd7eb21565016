"""GraphQL over HTTP: which requests are accepted or refused, and the status."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plain_twilio import PlainTwilio, call, sid
from tests.server.stage import GRAPHQL_RESPONSE, JSON, app_over, listening, served

QUERY = "query($sid: ID!) { call(sid: $sid) { sid } }"
ONE = {"sid": sid("CA", 1)}
DATA = {"data": {"call": ONE}}
TWO_OPERATIONS = "query A { __typename } query B { a: __typename }"
BOTH = pytest.mark.parametrize("media_type", [JSON, GRAPHQL_RESPONSE])


def account() -> PlainTwilio:
    """One call."""
    return PlainTwilio(calls=[call(1)])


def assert_refused(response: httpx.Response, status: int) -> str:
    """Checks that it is a GraphQL response with one error and no data; returns the message."""
    body = response.json()
    assert (response.status_code, list(body)) == (status, ["errors"])
    assert response.headers["Content-Type"].startswith("application/")
    message: str = body["errors"][0]["message"]
    return message


@BOTH
async def test_a_query_by_post_and_by_get_is_answered_in_the_media_type_asked_for(
    media_type: str,
) -> None:
    headers = {"Accept": media_type}
    async with served(account()) as client:
        posted = await client.post(
            "/graphql", json={"query": QUERY, "variables": ONE}, headers=headers
        )
        got = await client.get(
            "/graphql", params={"query": QUERY, "variables": json.dumps(ONE)}, headers=headers
        )

    for response in (posted, got):
        assert (response.status_code, response.json()) == (200, DATA)
        assert response.headers["Content-Type"] == f"{media_type}; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Vary"] == "Accept, Origin"


@pytest.mark.parametrize(
    "body",
    [
        {"query": QUERY, "variables": ONE, "operationName": None, "extensions": None},
        {"query": QUERY, "variables": ONE, "operationName": "", "extensions": {"any": [1]}},
        {"query": QUERY, "variables": ONE, "id": "unknown parameters are ignored"},
    ],
)
async def test_optional_parameters_may_be_null(body: dict[str, Any]) -> None:
    async with served(account()) as client:
        assert (await client.post("/graphql", json=body)).json() == DATA


async def test_empty_parameters_of_a_get_are_absent() -> None:
    query = {"query": "{ __typename }", "variables": "", "extensions": "", "operationName": ""}
    async with served() as client:
        response = await client.get("/graphql", params=query)

    assert response.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    "content_type",
    [JSON, f"{JSON}; charset=utf-8", f"{JSON};charset=UTF-8", "Application/JSON ; q=x"],
)
async def test_json_is_json_whatever_its_parameters(content_type: str) -> None:
    body = json.dumps({"query": QUERY, "variables": ONE})
    async with served(account()) as client:
        response = await client.post(
            "/graphql", content=body, headers={"Content-Type": content_type}
        )

    assert response.json() == DATA


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{", {}),
        ("{ nothing }", {}),
        (QUERY, {}),
        (QUERY, {"sid": {}}),
        ("{ calls(first: 10.5) { nodes { sid } } }", {}),
        (TWO_OPERATIONS, {}),
        ("# only a comment", {}),
    ],
    ids=["syntax", "validation", "variable missing", "variable type", "literal", "name", "empty"],
)
async def test_a_document_that_cannot_be_executed_is_400_without_data_in_the_new_media_type(
    query: str, variables: dict[str, Any]
) -> None:
    """And 200 in application/json, whose clients mistake a 4xx for a transport failure."""
    body = {"query": query, "variables": variables}
    async with served() as client:
        new = await client.post("/graphql", json=body, headers={"Accept": GRAPHQL_RESPONSE})
        legacy = await client.post("/graphql", json=body, headers={"Accept": JSON})

    assert_refused(new, 400)
    assert_refused(legacy, 200)


@BOTH
async def test_an_error_of_a_field_is_200_with_data(media_type: str) -> None:
    query = '{ call(sid: "x") { sid } }'
    async with served() as client:
        response = await client.get(
            "/graphql", params={"query": query}, headers={"Accept": media_type}
        )

    body = response.json()
    assert response.status_code == 200
    assert body["data"] == {"call": None}
    assert body["errors"][0]["path"] == ["call"]
    assert body["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT"}


@BOTH
async def test_an_operation_whose_every_field_failed_is_still_200(media_type: str) -> None:
    """The operation ran, so there is `data`, with a null for the field."""
    query = '{ calls(after: "made up") { nodes { sid } } }'
    async with served() as client:
        response = await client.post(
            "/graphql", json={"query": query}, headers={"Accept": media_type}
        )

    assert response.status_code == 200
    assert response.json()["data"] == {"calls": None}


@pytest.mark.parametrize("name", ["A", "B"])
async def test_of_several_operations_the_named_one_runs(name: str) -> None:
    async with served() as client:
        body = {"query": TWO_OPERATIONS, "operationName": name}
        response = await client.post("/graphql", json=body)

    assert list(response.json()["data"]) == [{"A": "__typename", "B": "a"}[name]]


@BOTH
@pytest.mark.parametrize("query", [TWO_OPERATIONS, "{ __typename }"])
async def test_an_operation_that_is_not_there_is_400(query: str, media_type: str) -> None:
    body = {"query": query, "operationName": "C"}
    async with served() as client:
        response = await client.post("/graphql", json=body, headers={"Accept": media_type})

    assert "no operation of that name" in assert_refused(response, 400)


@pytest.mark.parametrize("query", ["fragment F on Call { sid }", "scalar Money"])
async def test_a_document_without_an_operation_is_refused(query: str) -> None:
    async with served() as client:
        response = await client.post(
            "/graphql", json={"query": query}, headers={"Accept": GRAPHQL_RESPONSE}
        )

    assert_refused(response, 400)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'"{ __typename }"',
        b"null",
        b"[]",
        b'[{"query": "{ __typename }"}]',
        b"17",
        b"true",
        b"{",
        b'{"query": "{ __typename }"',
        b'{"query": "{ __typename }"} x',
        b"{'query': '{ __typename }'}",
        b"\xff\xfe{}",
        '{"query": "{ __typename }"}'.encode("utf-16"),
        b'{"query": "\\ud800"}',
        b'{"query": "{ __typename }", "variables": {"a": \xff}}',
        b"[" * 100_000,
        b'{"query": "{ __typename }", "variables": ' + b'{"a":' * 20_000,
        b'{"query": "{ __typename }", "variables": {"a": ' + b"9" * 10_000 + b"}}",
        b'{"query": "{ __typename }", "variables": {"a": 1e999}}',
        b"{}",
        b'{"query": null}',
        b'{"query": ""}',
        b'{"query": " \\n"}',
        b'{"query": 5}',
        b'{"query": ["{ __typename }"]}',
        b'{"query": "{ __typename }", "variables": []}',
        b'{"query": "{ __typename }", "variables": "{}"}',
        b'{"query": "{ __typename }", "variables": 7}',
        b'{"query": "{ __typename }", "variables": false}',
        b'{"query": "{ __typename }", "operationName": 5}',
        b'{"query": "{ __typename }", "operationName": {}}',
        b'{"query": "{ __typename }", "extensions": "x"}',
        b'{"query": "{ __typename }", "extensions": []}',
    ],
    ids=lambda content: content[:48].decode(errors="replace"),
)
@BOTH
async def test_a_body_that_is_not_a_request_is_400(content: bytes, media_type: str) -> None:
    headers = {"Content-Type": JSON, "Accept": media_type}
    async with served() as client:
        assert_refused(await client.post("/graphql", content=content, headers=headers), 400)


async def test_json_that_nests_too_deeply_exceeds_a_limit() -> None:
    deep = b'{"query": "{ __typename }", "variables": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001
    async with served() as client:
        posted = await client.post("/graphql", content=deep, headers={"Content-Type": JSON})
        nested = "[" * 12_000 + "]" * 12_000
        got = await client.get(f"/graphql?query={{__typename}}&variables={nested}")

    for response in (posted, got):
        assert_refused(response, 400)
        extensions = response.json()["errors"][0]["extensions"]
        assert extensions == {"code": "LIMIT_EXCEEDED", "limit": "nesting", "allowed": 100}


@pytest.mark.parametrize(
    "query",
    ["", "query=", "query=%20", "variables={}", "query={__typename}&variables=[]",
     "query={__typename}&variables=x", "query={__typename}&variables=%22x%22",
     "query={__typename}&extensions=5", "query={__typename}&variables=" + "[" * 9000],
)  # fmt: skip
async def test_a_query_string_that_is_no_request_is_400(query: str) -> None:
    async with served() as client:
        assert_refused(await client.get(f"/graphql?{query}"), 400)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
QUERIES = st.sampled_from([QUERY, TWO_OPERATIONS, "{ __typename }", "{ calls { x } }", "mutation"])


@given(
    st.binary()
    | st.fixed_dictionaries(
        {},
        optional={
            "query": QUERIES | ANYTHING,
            "variables": st.fixed_dictionaries({"sid": ANYTHING}) | ANYTHING,
            "operationName": st.sampled_from(["A", "B"]) | ANYTHING,
        },
    ).map(lambda body: json.dumps(body).encode())
)
async def test_no_body_causes_a_server_error(content: bytes) -> None:
    headers = {"Content-Type": JSON, "Accept": GRAPHQL_RESPONSE}
    async with served(account()) as client:
        response = await client.post("/graphql", content=content, headers=headers)

    assert response.status_code in {200, 400}
    assert "Internal error" not in response.text


@pytest.mark.parametrize(
    "query", ["%FF", "%ED%A0%80", "%00", "%7B%20call(sid%3A%22%5Cud800%22)%20%7B%20sid%20%7D%7D"]
)
async def test_bytes_that_are_not_utf8_are_a_syntax_error(query: str) -> None:
    async with served() as client:
        response = await client.get(f"/graphql?query={query}", headers={"Accept": GRAPHQL_RESPONSE})

    assert "Syntax Error" in assert_refused(response, 400)


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/graphql", "application/jsonp", "text/json", f"{JSON}, text/plain"],
)  # fmt: skip
async def test_a_body_without_a_json_content_type_is_415(content_type: str) -> None:
    """Browsers send the first three from any page without a preflight."""
    headers = {"Content-Type": content_type} if content_type else {}
    async with served() as client:
        body = json.dumps({"query": "{ __typename }"}).encode()
        assert_refused(await client.post("/graphql", content=body, headers=headers), 415)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
async def test_other_methods_are_405_and_told_which_there_are(method: str) -> None:
    async with served() as client:
        response = await client.request(method, "/graphql", json={"query": "{ __typename }"})

    assert_refused(response, 405)
    assert response.headers["Allow"] == "GET, POST"


async def test_a_head_is_405() -> None:
    async with served() as client:
        assert (await client.head("/graphql")).status_code == 405


@pytest.mark.parametrize("document", ["mutation { x }", "query Q { __typename } mutation M { x }"])
async def test_get_never_mutates(document: str) -> None:
    """Refused by its operation type, before the mutation is validated."""
    params = {"query": document, "operationName": "M" if "Q" in document else ""}
    async with served() as client:
        response = await client.get("/graphql", params=params)
        posted = await client.post("/graphql", json={"query": document, "operationName": "M"})

    assert_refused(response, 405)
    assert response.headers["Allow"] == "POST"
    assert posted.status_code != 405


@BOTH
async def test_a_subscription_is_not_answered_in_json(media_type: str) -> None:
    """tests/server/test_sse.py has the streams."""
    query, headers = {"query": "subscription { x }"}, {"Accept": media_type}
    async with served() as client:
        got = await client.get("/graphql", params=query, headers=headers)
        posted = await client.post("/graphql", json=query, headers=headers)

    assert "subscription" in assert_refused(got, 406)
    assert "subscription" in assert_refused(posted, 406)


async def test_a_body_is_read_up_to_its_limit_and_no_further() -> None:
    def padded(size: int) -> bytes:
        body = b'{"query": "{ __typename }"}'
        return body + b" " * (size - len(body))

    headers = {"Content-Type": JSON}
    async with served() as client:
        largest = await client.post("/graphql", content=padded(256 * 1024), headers=headers)
        larger = await client.post("/graphql", content=padded(256 * 1024 + 1), headers=headers)

    assert largest.status_code == 200
    assert_refused(larger, 413)


async def test_a_query_string_is_taken_up_to_the_same_limit() -> None:
    def padded(size: int) -> str:
        query = "query=%7B__typename%7D&pad="
        return query + "x" * (size - len(query))

    async with served(max_body=2048) as client:
        largest = await client.get(f"/graphql?{padded(2048)}")
        larger = await client.get(f"/graphql?{padded(2049)}")

    assert largest.status_code == 200
    assert_refused(larger, 414)
    assert larger.json()["errors"][0]["extensions"] == {
        "code": "LIMIT_EXCEEDED", "limit": "body", "allowed": 2048,
    }  # fmt: skip


async def test_a_body_that_does_not_end_is_answered_and_no_longer_read() -> None:
    """Over a real socket: the connection is closed while the client is still sending."""
    head = (
        b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    async with listening(app_over(PlainTwilio())) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 9)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_an_internal_error_says_nothing_of_its_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The response has a code; the cause is in the log only."""
    twilio = PlainTwilio(fault=lambda _: httpx.Response(200, json=1 / 0))
    async with served(twilio) as client:
        response = await client.post("/graphql", json={"query": QUERY, "variables": ONE})

    assert response.status_code == 200
    (error,) = response.json()["errors"]
    assert (error["message"], error["path"]) == ("Internal error", ["call"])
    assert error["extensions"] == {"code": "INTERNAL_ERROR"}
    assert "ZeroDivisionError" in caplog.text
