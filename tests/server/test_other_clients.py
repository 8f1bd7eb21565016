"""Third-party clients from npm: graphql-ws, graphql-sse, urql, Apollo Client."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.plain_twilio import calls_in, sid
from tests.server.sockets import WATCH, Stage, stage
from tests.server.stage import GRAPHQL_RESPONSE, JSON

pytestmark = pytest.mark.xdist_group("npm")  # one installation

CLIENTS = Path(__file__).parents[1] / "clients"
NAMES = ["graphql-ws", "graphql-sse", "urql", "apollo"]
ONE = "query One($sid: ID!) { call(sid: $sid) { status } }"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with our scripts and the clients of package-lock.json."""
    if shutil.which("npm") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no npm here: apt-get install nodejs npm")
        pytest.skip("there is no npm here: apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("clients") / "clients"
    shutil.copytree(CLIENTS, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return folder


@asynccontextmanager
async def client(
    folder: Path, name: str, there: Stage, query: str = WATCH, number: int = 1, *given: str
) -> AsyncIterator[AsyncIterator[Any]]:
    """Reads a client's next line; None when it has ended."""
    command = [f"{name}.mjs", there.url, query, json.dumps({"sid": sid("CA", number)}), *given]
    process = await asyncio.create_subprocess_exec(
        "node", *command, cwd=folder, stdout=subprocess.PIPE
    )
    try:
        yield lines(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def lines(process: asyncio.subprocess.Process) -> AsyncIterator[Any]:
    """A process's lines, parsed as JSON."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while line := await process.stdout.readline():
            yield json.loads(line)


@pytest.mark.parametrize("name", NAMES)
async def test_a_call_is_watched_to_its_end(installed: Path, name: str) -> None:
    async with stage(calls_in("ringing")) as there, client(installed, name, there) as printed:
        statuses = [status_in(await anext(printed))]
        for status in ("in-progress", "completed"):
            await there.goes(1, status)
            statuses.append(status_in(await anext(printed)))
        end = [line async for line in printed]

    assert statuses == ["RINGING", "IN_PROGRESS", "COMPLETED"]
    streamed = {"asked": ["text/event-stream; charset=utf-8"]}
    assert end == [streamed if name == "urql" else "complete"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_call_that_does_not_exist_is_an_error(installed: Path, name: str) -> None:
    async with (
        stage(calls_in("ringing")) as there,
        client(installed, name, there, number=9) as printed,
    ):
        first = await anext(printed)

    assert "There is no call with this SID" in json.dumps(first)


@pytest.mark.parametrize("name", NAMES[:3])
async def test_a_query_is_answered(installed: Path, name: str) -> None:
    """urql accepts text/event-stream for every query; it gets JSON."""
    async with stage(calls_in("ringing")) as there, client(installed, name, there, ONE) as printed:
        answer, end = [line async for line in printed]

    assert answer == {"data": {"call": {"status": "RINGING"}}}
    json_type = "application/graphql-response+json; charset=utf-8"
    assert end == ({"asked": [json_type]} if name == "urql" else "complete")


@pytest.mark.parametrize("name", ["apollo-persisted", "urql-persisted"])
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    ("accept", "status"),
    [("", 400), (GRAPHQL_RESPONSE, 400), (JSON, 200)],
    ids=["its own", "new", "legacy"],
)
async def test_a_client_that_sends_a_hash_sends_the_query_after_it(
    installed: Path, name: str, method: str, accept: str, status: int
) -> None:
    """Once: then it knows that persisted queries are not supported. Apollo adds __typename."""
    async with (
        stage(calls_in("ringing")) as there,
        client(installed, name, there, ONE, 1, accept, method) as printed,
    ):
        *answers, end = [line async for line in printed]

    assert [answer["data"]["call"]["status"] for answer in answers] == ["RINGING"] * 2
    first, *then = end["asked"]
    assert first == f"{method.upper()} hash: {status}"
    assert [asked.partition(" ")[2] for asked in then] == ["query: 200", "query: 200"]


def status_in(line: Any) -> str:
    """The call's status in an event."""
    status: str = line["data"]["callUpdated"]["call"]["status"]
    return status
