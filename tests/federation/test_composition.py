"""The schema composes with neighbours, and a router's queries cost what the gateway promises."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.schema import schema
from tests.npm import installed_copy
from tests.plain_twilio import PlainTwilio, call, recording, sid
from tests.server.sockets import Stage, stage

pytestmark = pytest.mark.xdist_group("npm-federation")  # one installation

ROUTER = Path(__file__).parent / "router"
PII = '@tag(name: "pii")'


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with our scripts, Apollo's composition and Apollo's router for Node."""
    return installed_copy(ROUTER, tmp_path_factory.mktemp("federation"))


def composed(folder: Path, sdl: str) -> dict[str, Any]:
    """What composition says of this schema with its neighbours."""
    done = subprocess.run(
        ["node", "compose.mjs"],  # noqa: S607
        cwd=folder,
        input=sdl,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


async def routed(folder: Path, there: Stage, *queries: str) -> list[Any]:
    """The router's answer to each query, with the operations that each subgraph got."""
    process = await asyncio.create_subprocess_exec(
        *("node", "router.mjs", there.url, json.dumps(queries)),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate(schema.as_str().encode())
    return [json.loads(line) for line in output.splitlines()]


def test_it_composes_with_a_crm_and_with_billing_without_a_hint(installed: Path) -> None:
    """Both have types of their own with the plain names, and share ours by their keys."""
    result = composed(installed, schema.as_str())

    assert (result["errors"], result["hints"]) == ([], [])
    for line in (
        '  to: String @join__field(graph: CALLS) @tag(name: "pii")',
        "  contact: Contact @join__field(graph: CRM)",
        "  invoice: Invoice @join__field(graph: BILLING)",
    ):
        assert line in result["supergraph"]
    assert "requireOneSlicingArgument: false" in result["supergraph"]


def test_a_contract_without_personal_data_composes(installed: Path) -> None:
    """A contract hides what has the tag. What is left refers to nothing that is hidden."""
    result = composed(installed, schema.as_str().replace(PII, "@inaccessible"))

    assert result["errors"] == []


def test_a_type_that_two_subgraphs_define_differently_is_found(installed: Path) -> None:
    """The test above can fail: with its plain name, our type would collide."""
    result = composed(installed, schema.as_str().replace("CallUserError ", "UserError "))

    assert result["errors"] != []


INVOICED = """{ invoices { amount call {
  sid status recordings { nodes { sid duration } } } } }"""
CONTACTS = """{ calls(first: 3) { nodes { sid
  fromEndpoint { ... on PhoneNumber { number contact { name } } } invoice { amount } } } }"""


async def test_two_hundred_representations_are_one_operation_and_stay_planned(
    installed: Path,
) -> None:
    """One request for each call, which no list can name; one for all their recordings."""
    numbers = range(1, 201)
    twilio = PlainTwilio(
        calls=[call(number, at=-number) for number in numbers],
        recordings=[recording(number, of=number, at=-number) for number in numbers],
    )
    async with stage(twilio) as there:
        invoiced, contacts = await routed(installed, there, INVOICED, CONTACTS)

    assert invoiced["data"]["invoices"] == [
        {
            "amount": "1.50",
            "call": {
                "sid": sid("CA", number),
                "status": "COMPLETED",
                "recordings": {"nodes": [{"sid": sid("RE", number), "duration": 30}]},
            },
        }
        for number in numbers
    ]
    assert invoiced["operations"] == {"billing": [0], "calls": [200], "crm": []}
    assert contacts["data"]["calls"]["nodes"] == [
        {
            "sid": sid("CA", number),
            "fromEndpoint": {
                "number": "+16175550101",
                "contact": {"name": "Owner of +16175550101"},
            },
            "invoice": {"amount": "1.50"},
        }
        for number in (1, 2, 3)
    ]
    assert contacts["operations"] == {"billing": [3], "calls": [0], "crm": [3]}
    calls = [f"GET Calls/{sid('CA', number)}" for number in numbers]
    scan = "GET Recordings?DateCreated=2026-03-10&PageSize=1000"
    assert twilio.asked() == [*calls, "GET Calls?PageSize=4", scan]
