"""Automatic persisted queries: the hash first, the document once, the exact texts of the protocol.

tests/server/test_other_clients.py has the packages that speak it.
"""

import json
from hashlib import sha256
from typing import Any

import httpx
import pytest

from gateway.errors import HashMismatch, PersistedQueryNotFound
from gateway.server.persisted_queries import PersistedQueries
from gateway.settings import DocumentSettings, Switch
from tests.plain_twilio import PlainTwilio, call, sid
from tests.server.sockets import events_of, stage
from tests.server.stage import GRAPHQL_RESPONSE, JSON, served

QUERY = "query Q($a: Int) { calls(first: $a) { nodes { sid } } }"
ROWS = {"data": {"calls": {"nodes": [{"sid": sid("CA", 1)}]}}}
NOT_SUPPORTED = {
    "message": "PersistedQueryNotSupported",
    "extensions": {"code": "PERSISTED_QUERY_NOT_SUPPORTED"},
}
NOT_FOUND = {
    "message": "PersistedQueryNotFound",
    "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"},
}
MISMATCH = {
    "message": "provided sha does not match query",
    "extensions": {"code": "PERSISTED_QUERY_HASH_MISMATCH"},
}


def hash_of(text: str) -> dict[str, Any]:
    """The extensions of a request for this document."""
    given = {"version": 1, "sha256Hash": sha256(text.encode()).hexdigest()}
    return {"persistedQuery": given}


HASH = hash_of(QUERY)
ASKED: dict[str, dict[str, Any]] = {
    "no query": {"extensions": HASH},
    "null": {"query": None, "extensions": HASH},
    "an empty query": {"query": "", "extensions": HASH},
    "with a name": {"extensions": HASH, "operationName": "Q", "variables": {"a": 1}},
}
UNUSABLE = [{"version": 2, "sha256Hash": "a"}, {"sha256Hash": "a"}, {"version": 1}, 7, [], ""]


def as_parameters(body: dict[str, Any]) -> dict[str, str]:
    """The body as a query string."""
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in body.items()
        if value is not None
    }


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize(
    ("accept", "status"), [(GRAPHQL_RESPONSE, 400), (JSON, 200), ("text/event-stream", 200)]
)
@pytest.mark.parametrize(("apq", "error"), [("on", NOT_FOUND), ("off", NOT_SUPPORTED)])
async def test_a_hash_without_its_document_is_answered_by_the_protocol(
    name: str, accept: str, status: int, apq: str, error: dict[str, Any]
) -> None:
    headers = {"Accept": accept}
    twilio = PlainTwilio(calls=[call(1)])
    async with served(twilio, apq=Switch(apq)) as client:
        posted = await client.post("/graphql", json=ASKED[name], headers=headers)
        params = as_parameters(ASKED[name])
        got = await client.get("/graphql", params=params, headers=headers)

    for response in (posted, got):
        assert (response.status_code, response.json()) == (status, {"errors": [error]})
        assert response.headers["Cache-Control"] == "private, no-cache, must-revalidate"
    assert twilio.asked() == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_document_that_was_sent_with_its_hash_runs_by_its_hash(method: str) -> None:
    twilio = PlainTwilio(calls=[call(1)])
    async with served(twilio) as client:

        async def ask(body: dict[str, Any]) -> httpx.Response:
            if method == "GET":
                return await client.get("/graphql", params=as_parameters(body))
            return await client.post("/graphql", json=body)

        variables = {"variables": {"a": 3}}
        first = await ask({"extensions": HASH} | variables)
        both = await ask({"query": QUERY, "extensions": HASH} | variables)
        then = await ask({"extensions": HASH} | variables)

    assert first.json() == {"errors": [NOT_FOUND]}
    assert [response.json() for response in (both, then)] == [ROWS] * 2
    assert twilio.asked() == ["GET Calls?PageSize=4"] * 2


@pytest.mark.parametrize("accept", [GRAPHQL_RESPONSE, JSON])
async def test_a_hash_that_is_not_the_documents_is_refused(accept: str) -> None:
    twilio = PlainTwilio(calls=[call(1)])
    body = {"query": "{ calls { nodes { sid } } }", "extensions": HASH}
    async with served(twilio) as client:
        response = await client.post("/graphql", json=body, headers={"Accept": accept})
        then = await client.post("/graphql", json={"extensions": HASH})

    assert (response.status_code, response.json()) == (400, {"errors": [MISMATCH]})
    assert then.json() == {"errors": [NOT_FOUND]}
    assert twilio.asked() == []


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{ nothing }",
        "{ " + " ".join(f"a{n}: __typename" for n in range(31)) + " }",
        "{ calls { nodes { " + "childCalls { nodes { " * 20 + "sid" + " } }" * 20 + " } } }",
        "fragment F on Call { sid }",
    ],
)
async def test_a_document_that_cannot_run_is_not_kept(text: str) -> None:
    async with served(PlainTwilio()) as client:
        await client.post("/graphql", json={"query": text, "extensions": hash_of(text)})
        then = await client.post("/graphql", json={"extensions": hash_of(text)})

    assert then.json() == {"errors": [NOT_FOUND]}


def test_the_store_is_bounded_by_bytes_and_drops_what_was_not_used() -> None:
    store = PersistedQueries(DocumentSettings(), size=2000)
    texts = [f"{{ calls(first: {n}) {{ nodes {{ sid }} }} }}" for n in range(1, 6)]
    hashes = [sha256(text.encode()).hexdigest() for text in texts]
    for hash_, text in zip(hashes, texts, strict=True):
        store.register(hash_, text, None)
        assert store.text(hashes[0]) == texts[0]

    assert [_has(store, hash_) for hash_ in hashes] == [True, False, False, True, True]
    long = "{ calls { nodes { sid } } }" + " " * 3000
    store.register(sha256(long.encode()).hexdigest(), long, None)
    assert store.text(hashes[0]) == texts[0]
    with pytest.raises(HashMismatch):
        store.register(hashes[0], texts[1], None)


def _has(store: PersistedQueries, hash_: str) -> bool:
    try:
        store.text(hash_)
    except PersistedQueryNotFound:
        return False
    return True


@pytest.mark.parametrize("given", UNUSABLE, ids=json.dumps)
async def test_an_unusable_hash_is_not_supported_and_beside_a_document_ignored(given: Any) -> None:
    extensions = {"persistedQuery": given}
    async with served(PlainTwilio()) as client:
        alone = await client.post("/graphql", json={"extensions": extensions})
        body = {"query": "{ __typename }", "extensions": extensions}
        beside = await client.post("/graphql", json=body)

    assert alone.json() == {"errors": [NOT_SUPPORTED]}
    assert beside.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("accept", ["text/html, */*", "*/*"])
async def test_a_request_with_a_hash_gets_no_page(accept: str) -> None:
    params = {"extensions": json.dumps(HASH)}
    async with served(PlainTwilio()) as client:
        response = await client.get("/graphql", params=params, headers={"Accept": accept})

    assert response.json() == {"errors": [NOT_FOUND]}


@pytest.mark.parametrize(
    "extensions", [None, {}, {"other": 1}, {"persistedQuery": None}], ids=json.dumps
)
async def test_a_query_that_is_missing_without_a_hash_is_a_bad_request(extensions: Any) -> None:
    async with served(PlainTwilio()) as client:
        response = await client.post("/graphql", json={"extensions": extensions})

    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"] == {"code": "BAD_REQUEST"}


async def test_with_persisted_queries_off_a_hash_beside_its_document_is_ignored() -> None:
    async with served(PlainTwilio(), apq=Switch.OFF) as client:
        body = {"query": "{ __typename }", "extensions": HASH}
        response = await client.post("/graphql", json=body)

    assert response.json() == {"data": {"__typename": "Query"}}


async def test_over_a_socket_a_hash_fails_its_operation_only_and_runs_once_registered() -> None:
    """A message with neither query nor hash violates the protocol."""
    own = hash_of("{ __typename }")
    async with stage() as there, there.socket() as client:
        await client.send({"type": "subscribe", "id": "1", "payload": {"extensions": own}})
        refused = await client.receive()
        payload = {"query": "{ __typename }", "extensions": own}
        answers = []
        for given in (payload, {"extensions": own}):
            await client.send({"type": "subscribe", "id": "1", "payload": given})
            answers.append(await client.receive())
            await client.receive()
        await client.send({"type": "subscribe", "id": "2", "payload": {"extensions": {}}})
        code, _ = await client.closed()

    assert refused == {"type": "error", "id": "1", "payload": [NOT_FOUND]}
    assert [answer["payload"] for answer in answers] == [{"data": {"__typename": "Query"}}] * 2
    assert code == 4400


async def test_a_hash_runs_over_server_sent_events() -> None:
    own = hash_of("{ __typename }")
    headers = {"Accept": "text/event-stream"}
    async with stage() as there, httpx.AsyncClient() as client:
        await client.post(there.url, json={"query": "{ __typename }", "extensions": own})
        body = {"extensions": own}
        async with client.stream("POST", there.url, json=body, headers=headers) as response:
            events = [event async for event in events_of(response)]

    assert events == [("next", {"data": {"__typename": "Query"}}), ("complete", None)]
