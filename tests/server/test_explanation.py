"""Explanations of operations: upstream requests and reasons, a dry run, a lower budget."""

from typing import Any

import httpx
import pytest

from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, recording, sid
from tests.server.stage import served

QUERY = "{ calls(first: 3) { nodes { again: parentCall { sid } recordings { nodes { sid } } } } }"


def account() -> PlainTwilio:
    """Three settled calls; one is a child of a call beyond the page."""
    return PlainTwilio(
        calls=[call(1, parent_call_sid=sid("CA", 9)), call(2), call(3)],
        recordings=[recording(1, of=2), recording(2, of=2)],
    )


async def ask(twilio: PlainTwilio, query: str = QUERY, **headers: str) -> dict[str, Any]:
    """The response body for a request with these Gateway- headers."""
    given = {f"Gateway-{name.replace('_', '-')}": value for name, value in headers.items()}
    async with served(twilio) as client:
        response = await client.post("/graphql", json={"query": query}, headers=given)
    body: dict[str, Any] = response.json()
    return body


async def test_nothing_is_explained_unless_asked() -> None:
    assert "extensions" not in await ask(account())


async def test_totals_count_requests_rows_and_what_was_known() -> None:
    upstream = (await ask(account(), Explain="totals"))["extensions"]["upstream"]

    assert upstream.keys() == {
        "requests", "rows", "known", "cached", "retries", "milliseconds",
    }  # fmt: skip
    assert (upstream["requests"], upstream["rows"]) == (3, 5)


async def test_each_request_says_what_it_was_for_and_what_it_gave() -> None:
    twilio = account()
    body = await ask(twilio, Explain="requests")
    exchanges = body["extensions"]["upstream"]["exchanges"]

    assert sorted(f"GET {e['path']}?{e['query']}".rstrip("?") for e in exchanges) == twilio.asked()
    first = exchanges[0]
    assert first["path"] == "Calls"
    assert first["fields"] == ["calls"]
    assert (first["way"], first["status"], first["rows"], first["used"]) == ("per-key", "ok", 3, 3)
    assert first["wait"] >= 0
    assert first["duration"] >= 0
    assert first["retries"] == 0
    assert first["predicted"]["requests"] == 1
    assert {tuple(e["fields"]) for e in exchanges[1:]} == {
        ("calls.nodes.again",),
        ("calls.nodes.recordings",),
    }
    assert sum(e["rows"] for e in exchanges if "Recordings" in e["path"]) == 2


async def test_a_failed_request_says_with_which_code() -> None:
    twilio = account()
    twilio.fault = lambda request: httpx.Response(503) if "Recordings" in request.url.path else None
    exchanges = (await ask(twilio, Explain="requests"))["extensions"]["upstream"]["exchanges"]

    failed = {e["status"] for e in exchanges if "Recordings" in e["path"]}
    assert failed == {"UPSTREAM_UNAVAILABLE"}


async def test_retries_are_counted_and_what_failed_before_is_wait() -> None:
    twilio = account()
    failures = iter([httpx.Response(503), httpx.Response(200, content=b"<html>")])

    def fault(request: httpx.Request) -> httpx.Response | None:
        return next(failures, None) if "PageSize=4" in str(request.url) else None

    twilio.fault = fault
    upstream = (await ask(twilio, Explain="requests"))["extensions"]["upstream"]
    first, *others = upstream["exchanges"]

    assert (upstream["requests"], upstream["retries"]) == (3, 2)
    assert (first["status"], first["retries"]) == ("ok", 2)
    assert {exchange["retries"] for exchange in others} == {0}
    assert len(twilio.asked()) == 5


async def test_immutable_rows_are_read_once_and_counted_as_cached() -> None:
    twilio = account()
    query = f'{{ call(sid: "{sid("CA", 2)}") {{ sid recordings {{ nodes {{ sid }} }} }} }}'
    request = {"query": query, "extensions": {"explain": "totals"}}
    async with served(twilio) as client:
        answers = [(await client.post("/graphql", json=request)).json() for _ in range(2)]

    totals = [answer["extensions"]["upstream"] for answer in answers]
    assert answers[0]["data"] == answers[1]["data"]
    assert [(t["requests"], t["cached"]) for t in totals] == [(2, 0), (0, 2)]
    assert len(twilio.asked()) == 2


async def test_with_no_memory_to_keep_anything_everything_is_read_again() -> None:
    twilio = account()
    query = f'{{ call(sid: "{sid("CA", 2)}") {{ sid }} }}'
    async with served(twilio, cache_size=0) as client:
        for _ in range(2):
            await client.post("/graphql", json={"query": query})

    assert len(twilio.asked()) == 2


async def test_an_explanation_names_no_host_and_no_secret() -> None:
    body = str((await ask(account(), Explain="requests"))["extensions"])

    assert TOKEN not in body
    assert ACCOUNT not in body
    assert "http" not in body


async def test_a_dry_run_reads_the_first_page_and_plans_the_rest() -> None:
    twilio = account()
    body = await ask(twilio, Explain="plan")

    assert twilio.asked() == ["GET Calls?PageSize=4"]
    assert body["data"]["calls"]["nodes"][0] == {"again": None, "recordings": None}
    assert [e["extensions"]["code"] for e in body["errors"]] == ["DRY_RUN"]
    statuses = [e["status"] for e in body["extensions"]["upstream"]["exchanges"]]
    assert statuses == ["ok"] + ["planned"] * 2


async def test_a_dry_run_of_a_single_call_sends_nothing() -> None:
    twilio = account()
    query = f'{{ call(sid: "{sid("CA", 1)}") {{ recordings {{ nodes {{ sid }} }} }} }}'
    body = await ask(twilio, query, Explain="plan")

    assert twilio.asked() == []
    exchanges = body["extensions"]["upstream"]["exchanges"]
    assert [e["path"] for e in exchanges] == [f"Calls/{sid('CA', 1)}"]


async def test_a_request_may_ask_for_an_explanation_in_its_extensions() -> None:
    async with served(account()) as client:
        request = {"query": QUERY, "extensions": {"explain": "totals"}}
        body = (await client.post("/graphql", json=request)).json()

    assert body["extensions"]["upstream"]["requests"] == 3


async def test_a_header_lowers_the_budget_and_never_raises_it() -> None:
    twilio = account()
    body = await ask(twilio, Request_Budget="2")

    assert len(twilio.asked()) == 2
    assert {e["extensions"]["code"] for e in body["errors"]} == {"BUDGET_EXCEEDED"}
    assert len(body["data"]["calls"]["nodes"]) == 3
    async with served(account(), request_budget=2) as client:
        headers = {"Gateway-Request-Budget": "100"}
        answer = await client.post("/graphql", json={"query": QUERY}, headers=headers)
    assert {e["extensions"]["code"] for e in answer.json()["errors"]} == {"BUDGET_EXCEEDED"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Explain": "everything"},
        *({"Request_Budget": value} for value in ("0", "many")),
        *({"Timeout": value} for value in ("0", "0.0", "-1", "1e3", "nan", "soon", "")),
        *({"Priority": value} for value in ("mutation", "BULK", "1")),
    ],
    ids=str,
)
async def test_a_header_that_cannot_be_is_refused(headers: dict[str, str]) -> None:
    twilio = account()
    body = await ask(twilio, **headers)

    assert body["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert twilio.asked() == []
