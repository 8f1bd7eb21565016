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
from tests.settings import settings_of

README = (Path(__file__).parents[2] / "README.md").read_text()
(QUERY,) = re.findall(r"```graphql\n(query Calls .*?)```", README, re.DOTALL)
(PRINTED,) = re.findall(r'"nodes": \[ …,\n(.*?), … \],\n', README, re.DOTALL)
DEFAULT = {"GATEWAY_SANDBOX_CALLS": str(Settings().sandbox.calls)}
DATE = re.compile(r"\d{4}-\d\d-\d\d(?=T)")
BOTH = "query($sid: ID!, $after: String) { call(sid: $sid) { sid } calls(first: 50, after: $after) "


def answer(*arguments: str) -> dict[str, Any]:
    done = run("query", *arguments, **DEFAULT)
    assert done.returncode == 0, done.stdout
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data


def test_the_first_query_takes_three_requests() -> None:
    done = run("query", "--explain", QUERY, **DEFAULT)
    (requests,) = re.findall(r"^(\d+) requests", done.stderr, re.MULTILINE)

    assert done.returncode == 0
    assert int(requests) == 3


def test_the_readme_prints_the_answer_dates_apart() -> None:
    nodes = answer(QUERY)["calls"]["nodes"]
    printed = json.loads(PRINTED)
    (node,) = [node for node in nodes if node["sid"] == printed["sid"]]

    assert DATE.sub("", json.dumps(node)) == DATE.sub("", json.dumps(printed))


def test_a_printed_sid_and_cursor_work_in_the_next_process() -> None:
    """Each process has a sandbox of its own, opened at another moment."""
    first = answer(QUERY)["calls"]
    sid, cursor = first["nodes"][0]["sid"], first["pageInfo"]["endCursor"]
    variables = json.dumps({"sid": sid, "after": cursor})
    second = answer(BOTH + "{ nodes { sid } } }", "--variables", variables)

    assert second["call"]["sid"] == sid
    seen = {node["sid"] for node in first["nodes"]}
    assert len(second["calls"]["nodes"]) == 50
    assert not seen & {node["sid"] for node in second["calls"]["nodes"]}


@pytest.mark.parametrize("given", [{}, {"GATEWAY_PLANNER": "per-key"}], ids=["defaults", "per-key"])
def test_verify_of_the_sandbox_ends_with_0(given: dict[str, str]) -> None:
    """The scan of childCalls, which is off, differs: it is reported and not counted."""
    done = run("verify", **DEFAULT, **given)

    assert done.returncode == 0
    assert "(not counted, since this way is off)" in done.stdout
    assert "No scan is used now, so no answer is wrong." in done.stdout


@pytest.mark.parametrize("seconds", [2, 12 * 3600, 24 * 3600 - 1], ids=["0 h", "noon", "24 h"])
async def test_the_first_query_takes_three_requests_at_any_time_of_the_day(seconds: int) -> None:
    """In process: the sandbox and the gateway share a clock that stands still."""
    now = datetime(2026, 11, 30, tzinfo=UTC) + timedelta(seconds=seconds)
    sandbox = create_app(SandboxConfig(now=now, speed=0))
    transport = httpx.ASGITransport(app=sandbox)
    try:
        async with open_gateway(settings_of(), transport, now=lambda: now) as gateway:
            explained = OperationOptions(explain=Explain.TOTALS)
            response = await gateway.execute_as_operator(QUERY, {}, None, explained)
    finally:
        await sandbox.state.sandbox.aclose()

    assert "errors" not in response
    assert response["extensions"]["upstream"]["requests"] == 3


def test_two_workers_show_the_same_account_as_one() -> None:
    given = DEFAULT | {"GATEWAY_WORKERS": "2"}
    with serving("--port", "0", until="GraphiQL", **given) as server:
        pages = [server.ask("{ calls(first: 50) { nodes { sid } } }") for _ in range(6)]

    assert pages == [answer("{ calls(first: 50) { nodes { sid } } }")] * 6
