"""Third-party clients from npm: graphql-ws, graphql-sse, urql, Apollo Client, Relay."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import DocumentPolicy, Switch
from tests.npm import installed_copy
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
    return installed_copy(CLIENTS, tmp_path_factory.mktemp("clients"))


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
@pytest.mark.parametrize(("apq", "then"), [("on", "hash: 200"), ("off", "query: 200")])
async def test_a_client_that_sends_a_hash_sends_the_query_after_it_once(
    installed: Path, name: str, method: str, accept: str, status: int, apq: str, then: str
) -> None:
    """Then it sends the hash alone, or knows that there are no persisted queries."""
    async with (
        stage(calls_in("ringing"), apq=Switch(apq)) as there,
        client(installed, name, there, ONE, 1, accept, method) as printed,
    ):
        *answers, end = [line async for line in printed]

    assert [answer["data"]["call"]["status"] for answer in answers] == ["RINGING"] * 2
    first, *later = end["asked"]
    assert first == f"{method.upper()} hash: {status}"
    assert [asked.partition(" ")[2] for asked in later] == ["query: 200", then]


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *product(["apollo-manifest", "urql-manifest", "urql-document-id"], ["get", "post"]),
        ("relay-manifest", "post"),
    ],
)
async def test_a_client_with_a_manifest_runs_where_only_ids_do(
    installed: Path, tmp_path: Path, name: str, method: str
) -> None:
    """No client ever sends the document."""
    one = ONE.replace("{ status }", "{ __typename id status }")
    operation = {"id": f"One:{name}", "name": "One", "type": "query", "body": one}
    manifest = {"format": "apollo-persisted-query-manifest", "version": 1}
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**manifest, "operations": [operation]}))
    settings = {"documents": DocumentPolicy.IDS, "documents_file": (str(path),)}
    async with (
        stage(calls_in("ringing"), **settings) as there,
        client(installed, name, there, one, 1, str(path), method) as printed,
    ):
        answer, end = [line async for line in printed]

    assert answer["data"]["call"]["status"] == "RINGING"
    assert end == {"asked": [f"{method.upper()} hash: 200"]}
    assert there.twilio.asked() == [f"GET Calls/{sid('CA', 1)}"]


def status_in(line: Any) -> str:
    """The call's status in an event."""
    status: str = line["data"]["callUpdated"]["call"]["status"]
    return status
