"""Worker processes: they serve as the parent was told to, and share what must be one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from gateway.sandbox import SandboxConfig
from tests.end_to_end.program import Server, serving
from tests.end_to_end.waiting import until
from tests.end_to_end.workers import needs_proc, only, workers_of

pytestmark = [pytest.mark.xdist_group("workers"), needs_proc]

EVERYWHERE = "0.0.0.0"  # noqa: S104
ACCOUNT, TOKEN = SandboxConfig.account_sid, SandboxConfig().auth_token
MAKE = """mutation($key: String) { makeCall(input: {from: "+15005550006", to: "%s",
    instructions: {twiml: "<Response/>"}, idempotencyKey: $key}) {
    call { sid } userErrors { message } } }"""
PLACED = '{ calls(first: 50, filter: {to: "%s"}) { nodes { sid } } }'


@pytest.fixture(scope="module")
def gateway() -> Iterator[Server]:
    """Two workers over one sandbox, on an address that is not the default, and no store."""
    arguments = ["--host", EVERYWHERE, "--port", "0", "--workers", "2"]
    with serving(*arguments, until="GraphiQL") as server:
        until(lambda: len(workers_of(server)) == 2)
        assert post(server, "{ __typename }").status_code == 200
        yield server
    assert server.exit_code == 0
    assert "Traceback" not in server.log


def url_of(server: Server) -> str:
    """Where this machine reaches it."""
    return f"http://127.0.0.1:{server.url.rpartition(':')[2]}"


def post(server: Server, query: str, **more: Any) -> httpx.Response:
    """The whole answer, over a connection of its own."""
    variables, headers = more.pop("variables", {}), more.pop("headers", {})
    body = {"query": query, "variables": variables}
    return httpx.post(f"{url_of(server)}/graphql", json=body, headers=headers, timeout=20)


def test_every_worker_knows_the_address_that_is_listened_on(gateway: Server) -> None:
    """A name that leads to this machine from the network is nobody's trick there."""
    for worker in workers_of(gateway):
        with only(worker, gateway):
            answer = post(gateway, "{ __typename }", headers={"Host": "gateway.example.com"})

        assert (answer.status_code, answer.json()) == (200, {"data": {"__typename": "Query"}})


def test_equal_calls_under_one_key_are_one_call_whichever_worker_is_asked(gateway: Server) -> None:
    number = "+15005550010"
    make, key = MAKE % number, {"key": "order-4711"}
    made = []
    for worker in workers_of(gateway):
        with only(worker, gateway):
            made.append(post(gateway, make, variables=key).json())
    with ThreadPoolExecutor(10) as clients:
        rest = [clients.submit(post, gateway, make, variables=key) for _ in range(10)]
        made += [one.result().json() for one in rest]
    placed = post(gateway, PLACED % number).json()["data"]["calls"]["nodes"]

    assert len(placed) == 1
    assert [answer["data"]["makeCall"]["call"] for answer in made] == placed * 12


def test_two_workers_share_one_sandbox(gateway: Server) -> None:
    """A call made in it is seen whichever worker answers."""
    number = "+15005550011"
    seen = []
    for worker in workers_of(gateway):
        with only(worker, gateway):
            made = post(gateway, MAKE % number).json()["data"]["makeCall"]["call"]
            seen.append((made, post(gateway, PLACED % number).json()["data"]["calls"]["nodes"]))
    (first, after_first), (second, after_second) = seen

    assert after_first == [first]
    assert sorted(after_second, key=str) == sorted([first, second], key=str)
