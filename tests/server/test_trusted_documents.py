"""Trusted documents: which run under each policy, by every id form, over every transport."""

import asyncio
import json
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.server.document_source import DocumentSource
from gateway.server.trusted_documents import TrustedDocuments
from gateway.settings import DocumentPolicy, DocumentSettings, Settings, SettingsError
from tests.plain_twilio import PlainTwilio, call, sid
from tests.server.sockets import events_of, stage
from tests.server.stage import GRAPHQL_RESPONSE, served
from tests.server.test_log_lines import lines  # noqa: F401 (a fixture)

ONE = "query One($sid: ID!) { call(sid: $sid) { status } }"
END = 'mutation End { endCall(input: {sid: "CA00"}) { userErrors { code } } }'
ALL = "query All { calls { nodes { ...Row } } } fragment Row on Call { sid }"
WATCH = "subscription Watch($sid: ID!) { callUpdated(sid: $sid) { call { status } } }"
UNKNOWN = "query Unknown { calls { nodes { sid status } } }"
HASH = sha256(ONE.encode()).hexdigest()
APOLLO = {
    "format": "apollo-persisted-query-manifest",
    "version": 1,
    "operations": [
        {"id": HASH, "name": "One", "type": "query", "body": ONE},
        {"id": "Any", "name": "One", "type": "query", "body": ONE},
        {"id": "end", "name": "End", "type": "mutation", "body": END},
    ],
}
RELAY = {"5f1d": ALL, "77aa": WATCH}
VARIABLES = {"sid": sid("CA", 1)}
FOUND = {"data": {"call": {"status": "COMPLETED"}}}
SENT = [f"GET Calls/{sid('CA', 1)}"]
FORMS: dict[str, dict[str, Any]] = {
    "documentId": {"documentId": HASH},
    "documentId with its prefix": {"documentId": f"sha256:{HASH}"},
    "doc_id": {"doc_id": HASH},
    "id": {"id": HASH},
    "hash": {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": HASH}}},
    "hash that is any id": {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "Any"}}},
    "several": {"documentId": HASH, "extensions": {"persistedQuery": {"sha256Hash": "0"}}},
}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Both shapes of manifest."""
    apollo, relay = tmp_path / "apollo.json", tmp_path / "relay.json"
    apollo.write_text(json.dumps(APOLLO))
    relay.write_text(json.dumps(RELAY))
    return str(apollo), str(relay)


def twilio() -> PlainTwilio:
    return PlainTwilio(calls=[call(1)])


def code(response: httpx.Response) -> tuple[int, str]:
    (error,) = response.json()["errors"]
    return response.status_code, error["extensions"]["code"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("policy", ["warn", "known", "ids"])
async def test_an_id_of_any_form_runs_its_document(
    files: tuple[str, str], form: str, policy: str
) -> None:
    account = twilio()
    asked = FORMS[form] | {"variables": VARIABLES}
    params = {k: v if isinstance(v, str) else json.dumps(v) for k, v in asked.items()}
    settings = {"documents": DocumentPolicy(policy), "documents_file": files}
    async with served(account, **settings) as client:
        posted = await client.post("/graphql", json=asked)
        got = await client.get("/graphql", params=params)

    assert (posted.status_code, posted.json()) == (got.status_code, got.json()) == (200, FOUND)
    assert account.asked() == SENT  # the second is answered from the cache


async def test_an_id_in_the_path_runs_its_document(files: tuple[str, str]) -> None:
    account = twilio()
    variables = {"variables": json.dumps(VARIABLES)}
    async with served(account, documents=DocumentPolicy.IDS, documents_file=files) as client:
        posted = await client.post(f"/graphql/{HASH}", json={"variables": VARIABLES})
        got = await client.get(f"/graphql/sha256:{HASH}", params=variables)
        page = {"Accept": "text/html"}
        seen = await client.get(f"/graphql/{HASH}", params=variables, headers=page)
        unknown = await client.get("/graphql/nothing")
        mutation = await client.get("/graphql/end")

    assert posted.json() == got.json() == FOUND
    assert seen.status_code == 406
    assert code(unknown) == (404, "PERSISTED_QUERY_NOT_IN_LIST")
    assert "no-store" in unknown.headers["Cache-Control"]
    assert code(mutation) == (405, "BAD_REQUEST")
    assert account.asked() == SENT


async def test_a_path_with_a_slash_at_its_end_has_no_id(files: tuple[str, str]) -> None:
    body = {"documentId": HASH, "variables": VARIABLES}
    async with served(twilio(), documents=DocumentPolicy.IDS, documents_file=files) as client:
        response = await client.post("/graphql/", json=body)
        both = await client.post(f"/graphql/{HASH}", json={"doc_id": "5f1d"})

    assert response.json() == FOUND
    assert code(both) == (400, "BAD_REQUEST")


async def test_a_page_of_another_origin_may_use_a_documents_path_only_if_it_is_allowed(
    files: tuple[str, str],
) -> None:
    settings = {
        "documents": DocumentPolicy.IDS,
        "documents_file": files,
        "allowed_origins": ("https://app.example.com",),
    }
    account = twilio()
    asked = {"Access-Control-Request-Method": "POST"}
    async with served(account, **settings) as client:
        seen = []
        for origin in ("https://app.example.com", "https://evil.example.com"):
            headers = {"Origin": origin}
            path = f"/graphql/{HASH}"
            preflight = await client.options(path, headers=headers | asked)
            response = await client.post(path, json={"variables": VARIABLES}, headers=headers)
            seen.append((preflight.status_code, response.status_code))

    assert seen == [(200, 200), (400, 403)]
    assert account.asked() == SENT


@pytest.mark.parametrize(
    "text",
    ["{ a " * 700, "{ a" * 700 + "}" * 700, "{ a(b: " + "[" * 700 + "]" * 700 + ") }",
     "{ a(b: " + "{a:" * 300, "\ud800 { a }", "{ a " * 2000, " ", "#"],
)  # fmt: skip
@pytest.mark.parametrize("policy", ["warn", "known"])
async def test_a_text_that_is_hostile_is_only_refused(
    files: tuple[str, str], text: str, policy: str
) -> None:
    settings = {"documents": DocumentPolicy(policy), "documents_file": files}
    account = twilio()
    async with served(account, **settings) as client:
        body = json.dumps({"query": text})
        headers = {"Content-Type": "application/json", "Accept": GRAPHQL_RESPONSE}
        response = await client.post("/graphql", content=body, headers=headers)

    assert response.status_code in (400, 403)
    assert account.asked() == []


async def test_without_trusted_documents_such_a_path_does_not_exist() -> None:
    async with served(twilio()) as client:
        response = await client.get(f"/graphql/{HASH}")
        ignored = await client.post("/graphql", json={"query": "{ __typename }", "id": 5})
        alone = await client.post("/graphql", json={"documentId": HASH})

    assert response.status_code == 404
    assert ignored.json() == {"data": {"__typename": "Query"}}
    assert code(alone) == (400, "BAD_REQUEST")


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "unknown text": (
        {"query": UNKNOWN},
        {"known": (403, "QUERY_NOT_IN_SAFELIST"), "ids": (400, "PERSISTED_QUERY_ID_REQUIRED")},
    ),
    "trusted text": ({"query": ALL}, {"ids": (400, "PERSISTED_QUERY_ID_REQUIRED")}),
    "no GraphQL": ({"query": "{"}, {"known": (403, "QUERY_NOT_IN_SAFELIST")}),
    "unknown id": (
        {"documentId": "no"},
        dict.fromkeys(("warn", "known", "ids"), (404, "PERSISTED_QUERY_NOT_IN_LIST")),
    ),
    "unknown hash": (
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}},
        {
            "warn": (400, "PERSISTED_QUERY_NOT_FOUND"),
            "known": (400, "PERSISTED_QUERY_NOT_SUPPORTED"),
            "ids": (400, "PERSISTED_QUERY_NOT_SUPPORTED"),
        },
    ),
    "id and text": (
        {"documentId": HASH, "query": UNKNOWN},
        {"known": (403, "QUERY_NOT_IN_SAFELIST"), "ids": (400, "CANNOT_SEND_PQ_ID_AND_BODY")},
    ),
    "two ids": (
        {"documentId": HASH, "id": "5f1d"},
        dict.fromkeys(("warn", "known", "ids"), (400, "BAD_REQUEST")),
    ),
    "an id that is a number": (
        {"id": 5},
        dict.fromkeys(("warn", "known", "ids"), (400, "BAD_REQUEST")),
    ),
    "nothing": (
        {},
        {"known": (400, "BAD_REQUEST"), "ids": (400, "PERSISTED_QUERY_ID_REQUIRED")},
    ),
}


@pytest.mark.parametrize(
    ("name", "policy"), [(name, policy) for name, (_, by) in REFUSED.items() for policy in by]
)
async def test_what_a_policy_refuses_sends_nothing(
    files: tuple[str, str], name: str, policy: str
) -> None:
    account = twilio()
    body, by_policy = REFUSED[name]
    settings = {"documents": DocumentPolicy(policy), "documents_file": files}
    async with served(account, **settings) as client:
        headers = {"Accept": GRAPHQL_RESPONSE}
        response = await client.post("/graphql", json=body, headers=headers)

    assert code(response) == by_policy[policy]
    assert account.asked() == []


SAME = [
    ALL,
    "fragment Row on Call { sid } query All { calls { nodes { ...Row } } }",
    "# now\nquery All {\n  calls {\n    nodes {\n      ...Row\n    }\n  }\n}\n"
    "fragment Row on Call{sid,}",
]
OTHER = [
    ALL.replace("sid", "status"),
    ALL.replace("nodes {", "nodes { sid"),
    ALL.replace("calls", "c: calls"),
    ALL.replace("query All", "query All2"),
    ALL + " query Other { calls { nodes { sid } } }",
]


async def test_known_compares_normalised_texts(files: tuple[str, str]) -> None:
    account = twilio()
    async with served(account, documents=DocumentPolicy.KNOWN, documents_file=files) as client:
        same = [await client.post("/graphql", json={"query": text}) for text in SAME]
        others = [await client.post("/graphql", json={"query": text}) for text in OTHER]

    rows = {"data": {"calls": {"nodes": [{"sid": sid("CA", 1)}]}}}
    assert [response.json() for response in same] == [rows] * 3
    assert {code(response) for response in others} == {(403, "QUERY_NOT_IN_SAFELIST")}
    assert account.asked() == ["GET Calls?PageSize=51"] * 3


async def test_an_id_works_over_server_sent_events(files: tuple[str, str]) -> None:
    body = {"doc_id": HASH, "variables": VARIABLES}
    headers = {"Accept": "text/event-stream"}
    settings = {"documents": DocumentPolicy.IDS, "documents_file": files}
    async with (
        stage(twilio(), **settings) as there,
        httpx.AsyncClient() as client,
        client.stream("POST", there.url, json=body, headers=headers) as response,
    ):
        events = [event async for event in events_of(response)]

    assert events == [("next", FOUND), ("complete", None)]


@pytest.mark.parametrize("form", FORMS)
async def test_over_a_socket_an_id_runs_and_a_refusal_ends_only_its_operation(
    files: tuple[str, str], form: str
) -> None:
    settings = {"documents": DocumentPolicy.IDS, "documents_file": files}
    account = twilio()
    async with stage(account, **settings) as there, there.socket() as client:
        await client.subscribe("1", ALL)
        refused = await client.receive()
        payload = FORMS[form] | {"variables": VARIABLES}
        await client.send({"type": "subscribe", "id": "2", "payload": payload})
        answer, complete = await client.receive(), await client.receive()
        await client.send({"type": "subscribe", "id": "3", "payload": {"id": 5}})
        number = await client.receive()

    (error,) = refused["payload"]
    assert (refused["id"], error["extensions"]["code"]) == ("1", "PERSISTED_QUERY_ID_REQUIRED")
    assert (answer["payload"], complete["type"]) == (FOUND, "complete")
    assert number["payload"][0]["message"] == "id is not a string"
    assert account.asked() == SENT


async def test_a_subscription_runs_by_its_id(files: tuple[str, str]) -> None:
    settings = {"documents": DocumentPolicy.IDS, "documents_file": files}
    account = PlainTwilio(calls=[call(1, status="ringing")])
    async with stage(account, **settings) as there, there.socket() as client:
        payload = {"documentId": "77aa", "variables": VARIABLES}
        await client.send({"type": "subscribe", "id": "1", "payload": payload})
        event = await client.receive()

    assert event["payload"] == {"data": {"callUpdated": {"call": {"status": "RINGING"}}}}


async def test_warn_logs_what_would_be_refused_once_a_minute(
    files: tuple[str, str],
    lines: list[dict[str, Any]],  # noqa: F811
) -> None:
    now = 0.0
    settings = DocumentSettings(policy=DocumentPolicy.WARN, manifests=files)
    source = await asyncio.to_thread(DocumentSource, settings, lambda: now)
    for text in (
        UNKNOWN,
        UNKNOWN + " ",
        ALL,
        "query Call_15551234567 { calls { __typename } }",
        "{",
    ):
        source.document({"query": text}, {}, "kim")
    now = 61.0
    source.document({"query": UNKNOWN}, {}, "kim")

    seen = [(line["policy"], line["operation"], line["caller"]) for line in lines]
    assert seen == [
        ("known, ids", "Unknown", "kim"),
        ("ids", "All", "kim"),
        ("known, ids", "Call_…", "kim"),
        ("known, ids", "Unknown", "kim"),
    ]
    assert all(len(line["sha256"]) == 64 for line in lines)


async def test_warn_runs_everything(files: tuple[str, str]) -> None:
    account = twilio()
    async with served(account, documents=DocumentPolicy.WARN, documents_file=files) as client:
        response = await client.post("/graphql", json={"query": UNKNOWN, "documentId": "no"})

    assert response.json()["data"]["calls"]["nodes"] == [
        {"sid": sid("CA", 1), "status": "COMPLETED"}
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("no", "it is not JSON"),
        ("[]", "it must be a map"),
        ('{"a": 1}', "each document must have an id and a text"),
        ('{"a": "{"}', "document a is not GraphQL"),
        ('{"operations": [], "format": "other"}', "it must be a map"),
        ('{"operations": [1], "format": "%s", "version": 1}', "must be an object"),
        ('{"operations": [{"id": "a"}], "format": "%s", "version": 1}', "an id and a text"),
        (
            '{"operations": [{"id": "a", "body": "{ a }", "name": 1}],'
            ' "format": "%s", "version": 1}',
            "the name of document a is not a string",
        ),
        ('{"5f1d": "{ other }"}', "the id 5f1d has another document already"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_one_line(
    files: tuple[str, str], tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content.replace("%s", "apollo-persisted-query-manifest"))
    with pytest.raises(SettingsError, match=reason) as raised:
        TrustedDocuments([*files, str(path)])

    assert str(raised.value).startswith("GATEWAY_DOCUMENTS_FILE: ")
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        TrustedDocuments([str(tmp_path / "missing.json")])


def test_a_policy_needs_a_manifest() -> None:
    with pytest.raises(SettingsError, match="GATEWAY_DOCUMENTS_FILE: is missing"):
        Settings.from_environment({"GATEWAY_DOCUMENTS": "known"})


@pytest.fixture
def ticks() -> Iterator[int]:
    """Times that differ, for files that change within one tick of the disk's clock."""
    return iter(range(1, 10))


def test_a_changed_manifest_is_read_and_a_bad_one_leaves_the_last_good_one(
    files: tuple[str, str], ticks: Iterator[int], caplog: pytest.LogCaptureFixture
) -> None:
    def write(content: str) -> None:
        Path(files[1]).write_text(content)
        os.utime(files[1], (0, next(ticks)))
        documents.reload()

    caplog.set_level("INFO", "gateway")
    documents = TrustedDocuments(files)
    documents.reload()
    assert caplog.messages == []
    write(json.dumps({"new": ALL}))
    assert (documents.with_id("5f1d"), documents.with_id("new") is None) == (None, False)
    write("{")
    documents.reload()
    Path(files[1]).unlink()
    documents.reload()
    assert documents.with_id("new")
    write(json.dumps(RELAY))
    assert documents.with_id("5f1d")

    loaded, broken, missing, again = caplog.messages
    version = loaded.removeprefix("documents: ").removesuffix(" is in use")
    assert version.endswith("with 4 trusted documents")
    assert broken == f"documents: {files[1]} cannot be used: it is not JSON; {version} stays in use"
    assert missing.endswith(f"cannot be read: No such file or directory; {version} stays in use")
    assert again.endswith("with 5 trusted documents is in use")


async def test_a_running_gateway_takes_a_new_manifest(files: tuple[str, str]) -> None:
    settings = {"documents": DocumentPolicy.IDS, "documents_file": files}
    async with served(twilio(), **settings) as client, asyncio.timeout(10):
        await asyncio.to_thread(Path(files[1]).write_text, json.dumps({"new": ALL}))
        while (await client.get("/graphql/new")).status_code != 200:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.01)
        gone = await client.get("/graphql/5f1d")

    assert code(gone) == (404, "PERSISTED_QUERY_NOT_IN_LIST")


async def test_the_line_of_an_operation_names_a_trusted_document(
    files: tuple[str, str],
    lines: list[dict[str, Any]],  # noqa: F811
) -> None:
    settings = {"documents": DocumentPolicy.KNOWN, "documents_file": files}
    async with served(twilio(), **settings) as client:
        await client.post("/graphql", json={"doc_id": HASH, "variables": VARIABLES})
        await client.post("/graphql", json={"query": SAME[1]})
        await client.post("/graphql", json={"query": UNKNOWN})

    assert [line.get("document") for line in lines] == ["One", "All", None]


async def test_over_a_socket_a_refused_document_leaves_a_line_too(
    files: tuple[str, str],
    lines: list[dict[str, Any]],  # noqa: F811
) -> None:
    settings = {"documents": DocumentPolicy.KNOWN, "documents_file": files}
    async with stage(twilio(), **settings) as there, there.socket() as client:
        await client.subscribe("1", UNKNOWN)
        await client.receive()
        await client.send({"type": "subscribe", "id": "2", "payload": {"id": "5f1d"}})
        await client.receive()
        await client.receive()

    seen = [(line["outcome"], line.get("codes"), line.get("document")) for line in lines]
    assert seen == [("refused", ("QUERY_NOT_IN_SAFELIST",), None), ("ok", None, "All")]
