"""The README's first query as a newcomer runs it: few requests, and the answer that is printed."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.sandbox import SandboxConfig, create_app
from gateway.server import OperationOptions, open_gateway
from gateway.settings import Settings
from gateway.telemetry.upstream_trace import Explain
from tests.end_to_end.program import run, serving
from tests.end_to_end.workers import needs_proc, only, workers_of
from tests.settings import settings_of
from tests.waiting import until

README = (Path(__file__).parents[2] / "README.md").read_text()
(QUERY,) = re.findall(r"```graphql\n(query Calls .*?)```", README, re.DOTALL)
(PRINTED,) = re.findall(r'"nodes": \[ …,\n(.*?), … \],\n', README, re.DOTALL)
DEFAULT = {"GATEWAY_SANDBOX_CALLS": str(Settings().sandbox.calls)}
DATE = re.compile(r"\d{4}-\d\d-\d\d(?=T)")
ROWS = "{ nodes { sid } }"

pytestmark = pytest.mark.xdist_group("first query")


@pytest.fixture(scope="module")
def first() -> tuple[int, Any]:
    """The first query in a process of its own: its upstream requests, and its connection."""
    done = run("query", "--explain", QUERY, **DEFAULT)
    assert done.returncode == 0, done.stdout
    (requests,) = re.findall(r"^(\d+) requests", done.stderr, re.MULTILINE)
    return int(requests), json.loads(done.stdout)["data"]["calls"]


def test_the_first_query_takes_three_requests(first: tuple[int, Any]) -> None:
    assert first[0] == 3


def test_the_readme_prints_the_answer_dates_apart(first: tuple[int, Any]) -> None:
    printed = json.loads(PRINTED)
    (node,) = [node for node in first[1]["nodes"] if node["sid"] == printed["sid"]]

    assert DATE.sub("", json.dumps(node)) == DATE.sub("", json.dumps(printed))


def next_page(first: tuple[int, Any]) -> str:
    """A query with a SID and the cursor of the first page."""
    sid, cursor = first[1]["nodes"][0]["sid"], first[1]["pageInfo"]["endCursor"]
    return f'{{ call(sid: "{sid}") {{ sid }} calls(first: 50, after: "{cursor}") {ROWS} }}'


def check_next_page(first: tuple[int, Any], data: Any) -> None:
    """Fails if the query's answer does not go on where the first page ends."""
    seen = {node["sid"] for node in first[1]["nodes"]}
    assert data["call"]["sid"] == first[1]["nodes"][0]["sid"]
    assert len(data["calls"]["nodes"]) == 50
    assert not seen & {node["sid"] for node in data["calls"]["nodes"]}


def test_a_printed_sid_and_cursor_work_in_the_next_process(first: tuple[int, Any]) -> None:
    """Each process has a sandbox of its own, opened at another moment."""
    done = run("query", next_page(first), **DEFAULT)

    assert done.returncode == 0, done.stdout
    check_next_page(first, json.loads(done.stdout)["data"])


@pytest.mark.parametrize("given", [{}, {"GATEWAY_PLANNER": "per-key"}], ids=["defaults", "per-key"])
def test_verify_of_the_sandbox_ends_with_0(given: dict[str, str]) -> None:
    """The scan of childCalls, which is off, differs: it is reported and not counted."""
    done = run("verify", **DEFAULT, **given)

    assert done.returncode == 0
    assert "(not counted, since this way is off)" in done.stdout
    assert "No scan is used now, so no answer is wrong." in done.stdout


@pytest.mark.parametrize(
    ("opened", "asked"),
    [(2, 2), (43_200, 43_200), (86_399, 86_399), (86_399, 86_401), (43_200, 10 * 86_400)],
    ids=["0 h", "noon", "24 h", "past midnight", "days later"],
)
async def test_the_first_query_takes_three_requests_at_any_time(opened: int, asked: int) -> None:
    """In process, by clocks that stand still: seconds at which both start, and of the query."""
    day = datetime(2026, 11, 30, tzinfo=UTC)
    now = day + timedelta(seconds=asked)
    sandbox = create_app(SandboxConfig(now=day + timedelta(seconds=opened), speed=0))
    transport = httpx.ASGITransport(app=sandbox)
    try:
        async with open_gateway(settings_of(), transport, now=lambda: now) as gateway:
            explained = OperationOptions(explain=Explain.TOTALS)
            response = await gateway.execute_as_operator(QUERY, {}, None, explained)
    finally:
        await sandbox.state.sandbox.aclose()

    assert "errors" not in response
    assert response["extensions"]["upstream"]["requests"] == 3


@needs_proc
def test_each_worker_shows_the_account_of_every_other_process(first: tuple[int, Any]) -> None:
    """A SID and a cursor of another process work in each worker. Its page names no account."""
    with serving("--port", "0", "--workers", "2", until="GraphiQL", **DEFAULT) as server:
        until(lambda: len(workers_of(server)) == 2)
        server.ask("{ __typename }")
        for worker in workers_of(server):
            with only(worker, server):
                page = server.ask(f"{{ calls(first: 50) {ROWS} }}")["calls"]["nodes"]
                check_next_page(first, server.ask(next_page(first)))
                account = httpx.get(f"{server.url}/playground/account", timeout=20).json()
            assert page == [{"sid": node["sid"]} for node in first[1]["nodes"]]
            assert account == {"account": None}
