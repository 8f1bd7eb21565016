"""Clients that send a document's hash first get the error that makes them send the document.

tests/server/test_other_clients.py has two of them.
"""

import json
from typing import Any

import pytest

from tests.plain_twilio import PlainTwilio, call
from tests.server.sockets import stage
from tests.server.stage import GRAPHQL_RESPONSE, JSON, served

HASH = {"persistedQuery": {"version": 1, "sha256Hash": "ecf4edb46db40b5132295c0291d62fb6"}}
NOT_SUPPORTED = {
    "message": "PersistedQueryNotSupported",
    "extensions": {"code": "PERSISTED_QUERY_NOT_SUPPORTED"},
}
ASKED: dict[str, dict[str, Any]] = {
    "no query": {"extensions": HASH},
    "null": {"query": None, "extensions": HASH},
    "an empty query": {"query": "", "extensions": HASH},
    "with a name": {"extensions": HASH, "operationName": "Q", "variables": {"a": 1}},
}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize(
    ("accept", "status"), [(GRAPHQL_RESPONSE, 400), (JSON, 200), ("text/event-stream", 200)]
)
async def test_a_hash_in_place_of_a_query_is_not_supported(
    name: str, accept: str, status: int
) -> None:
    headers = {"Accept": accept}
    twilio = PlainTwilio(calls=[call(1)])
    params = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in ASKED[name].items()
        if value is not None
    }
    async with served(twilio) as client:
        posted = await client.post("/graphql", json=ASKED[name], headers=headers)
        got = await client.get("/graphql", params=params, headers=headers)

    for response in (posted, got):
        assert (response.status_code, response.json()) == (status, {"errors": [NOT_SUPPORTED]})
        assert response.headers["Cache-Control"] == "private, no-cache, must-revalidate"
    assert twilio.asked() == []


@pytest.mark.parametrize("accept", ["text/html, */*", "*/*"])
async def test_a_request_with_a_hash_gets_no_page(accept: str) -> None:
    params = {"extensions": json.dumps(HASH)}
    async with served(PlainTwilio()) as client:
        response = await client.get("/graphql", params=params, headers={"Accept": accept})

    assert response.json() == {"errors": [NOT_SUPPORTED]}


@pytest.mark.parametrize(
    "extensions", [None, {}, {"other": 1}, {"persistedQuery": None}], ids=json.dumps
)
async def test_a_query_that_is_missing_without_a_hash_is_a_bad_request(extensions: Any) -> None:
    async with served(PlainTwilio()) as client:
        response = await client.post("/graphql", json={"extensions": extensions})

    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


async def test_a_query_with_its_hash_is_answered() -> None:
    async with served(PlainTwilio()) as client:
        body = {"query": "{ __typename }", "extensions": HASH}
        response = await client.post("/graphql", json=body)

    assert response.json() == {"data": {"__typename": "Query"}}


async def test_over_a_socket_a_hash_fails_its_operation_only() -> None:
    """A message with neither query nor hash violates the protocol."""
    async with stage() as there, there.socket() as client:
        await client.send({"type": "subscribe", "id": "1", "payload": {"extensions": HASH}})
        refused = await client.receive()
        await client.subscribe("1", "{ __typename }")
        answer = await client.receive()
        await client.receive()
        await client.send({"type": "subscribe", "id": "2", "payload": {"extensions": {}}})
        code, _ = await client.closed()

    assert refused == {"type": "error", "id": "1", "payload": [NOT_SUPPORTED]}
    assert answer["payload"] == {"data": {"__typename": "Query"}}
    assert code == 4400
