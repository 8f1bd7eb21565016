"""Worker processes serve with the parent's settings and share its sandbox and store."""

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.live.signature import signature_of
from gateway.sandbox import SandboxConfig
from gateway.settings import Secret
from tests.end_to_end.program import Server, serving
from tests.end_to_end.workers import needs_proc, only, paused, workers_of
from tests.waiting import until

pytestmark = [pytest.mark.xdist_group("workers"), needs_proc]

EVERYWHERE = "0.0.0.0"  # noqa: S104
ACCOUNT, TOKEN = SandboxConfig.account_sid, SandboxConfig().auth_token
MAKE = """mutation($key: String) { makeCall(input: {from: "+15005550006", to: "%s",
    instructions: {twiml: "<Response/>"}, idempotencyKey: $key}) {
    call { sid } userErrors { message } } }"""
PLACED = '{ calls(first: 50, filter: {to: "%s"}) { nodes { sid } } }'


@pytest.fixture(scope="module")
def gateway() -> Iterator[Server]:
    """Two workers over one sandbox, on an address that is not the default, without a store."""
    arguments = ["--host", EVERYWHERE, "--port", "0", "--workers", "2"]
    with serving(*arguments, until="GraphiQL") as server:
        until(lambda: len(workers_of(server)) == 2)
        assert post(server, "{ __typename }").status_code == 200
        yield server
    assert server.exit_code == 0
    assert "Traceback" not in server.log


def url_of(server: Server) -> str:
    """Its URL on this machine."""
    return f"http://127.0.0.1:{server.url.rpartition(':')[2]}"


def post(server: Server, query: str, **more: Any) -> httpx.Response:
    """The whole response, over a new connection."""
    variables, headers = more.pop("variables", {}), more.pop("headers", {})
    body = {"query": query, "variables": variables}
    return httpx.post(f"{url_of(server)}/graphql", json=body, headers=headers, timeout=20)


def test_every_worker_knows_the_listening_address(gateway: Server) -> None:
    """On a network address any Host is legitimate."""
    for worker in workers_of(gateway):
        with only(worker, gateway):
            answer = post(gateway, "{ __typename }", headers={"Host": "gateway.example.com"})

        assert (answer.status_code, answer.json()) == (200, {"data": {"__typename": "Query"}})


def test_equal_mutations_under_one_key_place_one_call_across_workers(gateway: Server) -> None:
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
    """Every worker sees a call placed in it."""
    number = "+15005550011"
    seen = []
    for worker in workers_of(gateway):
        with only(worker, gateway):
            made = post(gateway, MAKE % number).json()["data"]["makeCall"]["call"]
            seen.append((made, post(gateway, PLACED % number).json()["data"]["calls"]["nodes"]))
    (first, after_first), (second, after_second) = seen

    assert after_first == [first]
    assert sorted(after_second, key=str) == sorted([first, second], key=str)


@contextmanager
def two_workers(*sandbox: str, **given: str) -> Iterator[Server]:
    """Two workers over a sandbox in its own process."""
    with (
        serving("sandbox", "--port", "0", *sandbox, until="TWILIO_AUTH_TOKEN") as upstream,
        serving(
            "--port", "0", "--workers", "2", until="GraphiQL", **upstream.settings, **given
        ) as server,
    ):
        until(lambda: len(workers_of(server)) == 2)
        for worker in workers_of(server):
            with only(worker, server):
                assert post(server, "{ __typename }").status_code == 200
        yield server


def made_by(server: Server, number: str, key: str | None = None) -> Any:
    """Places a call, with or without a key; returns the response."""
    return post(server, MAKE % number, variables={"key": key}).json()


def placed(server: Server, number: str) -> list[Any]:
    """The calls that were really placed."""
    nodes: list[Any] = post(server, PLACED % number).json()["data"]["calls"]["nodes"]
    return nodes


def code_of(answer: Any) -> str:
    """The code of a response's only error."""
    (error,) = answer["errors"]
    return str(error["extensions"]["code"])


def test_an_event_received_by_one_worker_reaches_a_subscriber_of_the_other() -> None:
    """The sandbox's clock stands still: only the webhook reports that it rings."""
    watch = 'subscription { callUpdated(sid: "%s") { source call { sid } } }'
    with two_workers("--speed", "0") as server, ExitStack() as stack:
        sid = made_by(server, "+15005550012")["data"]["makeCall"]["call"]["sid"]
        here, there = workers_of(server)
        with only(here, server):
            events = stack.enter_context(events_of(server, watch % sid))
            assert next(events)["callUpdated"] == {"source": "CURRENT", "call": {"sid": sid}}
        with only(there, server):
            assert webhook(server, sid, "ringing", 1).status_code == 204
        event = next(events)["callUpdated"]

    assert event == {"source": "WEBHOOK", "call": {"sid": sid}}


@contextmanager
def events_of(server: Server, query: str) -> Iterator[Iterator[Any]]:
    """Yields the data of a subscription's events."""
    headers = {"Accept": "text/event-stream"}
    body = {"query": query}
    with httpx.stream(
        "POST", f"{url_of(server)}/graphql", json=body, headers=headers, timeout=20
    ) as response:
        lines = (line for line in response.iter_lines() if line.startswith("data: {"))
        yield (json.loads(line.removeprefix("data: "))["data"] for line in lines)


def webhook(server: Server, sid: str, status: str, number: int) -> httpx.Response:
    """Sends a webhook as Twilio would; returns the response."""
    url = f"{url_of(server)}/webhooks/twilio/status"
    form = {"AccountSid": ACCOUNT, "CallSid": sid, "CallStatus": status}
    form |= {"SequenceNumber": str(number), "Timestamp": format_datetime(datetime.now(UTC))}
    signature = signature_of(url, tuple(form.items()), Secret(TOKEN))
    return httpx.post(url, data=form, headers={"X-Twilio-Signature": signature}, timeout=20)


def test_a_key_is_refused_only_while_the_parents_store_is_unreachable() -> None:
    with two_workers() as server:
        number = "+15005550013"
        with paused(server.process.pid):
            refused = made_by(server, number, "order-1")
            without = made_by(server, number)
        again = [made_by(server, number, "order-1") for _ in range(3)]

        assert code_of(refused) == "STORE_UNAVAILABLE"
        assert len(placed(server, number)) == 2
        first = {"call": again[0]["data"]["makeCall"]["call"], "userErrors": []}
        assert [answer["data"]["makeCall"] for answer in again] == [first] * 3
        assert without["data"]["makeCall"]["call"] != first["call"]


def test_a_key_outlives_the_worker_that_claimed_it() -> None:
    with two_workers() as server:
        number, workers = "+15005550014", workers_of(server)
        first = made_by(server, number, "order-1")
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        until(lambda: len(set(workers_of(server)) - set(workers)) == 2)
        answers = [made_by(server, number, "order-1") for _ in range(4)]

        assert answers == [first] * 4
        assert len(placed(server, number)) == 1


def test_the_key_of_a_worker_that_died_places_no_second_call() -> None:
    with (
        two_workers("--latency", "1", GATEWAY_OPERATION_TIMEOUT="4") as server,
        ThreadPoolExecutor(1) as client,
    ):
        number, (dying, other) = "+15005550015", workers_of(server)
        with paused(other):
            lost = client.submit(made_by, server, number, "order-1")
            time.sleep(0.5)  # upstream takes a second
            os.kill(dying, signal.SIGKILL)
            assert isinstance(lost.exception(), httpx.HTTPError)
        repeated = made_by(server, number, "order-1")

        assert code_of(repeated) == "OUTCOME_UNKNOWN"
        assert len(placed(server, number)) <= 1


def test_replaced_workers_keep_the_parents_state() -> None:
    """SIGHUP replaces the workers one after the other."""
    with two_workers() as server:
        number, workers = "+15005550016", workers_of(server)
        first = made_by(server, number, "order-1")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: len(set(workers_of(server)) - set(workers)) == 2)
        until(lambda: not set(workers_of(server)) & set(workers))

        assert [made_by(server, number, "order-1") for _ in range(4)] == [first] * 4


def test_the_parent_waits_for_a_worker_that_starts_slowly(tmp_path: Path) -> None:
    """As in a container with little CPU; by default uvicorn kills them after 5 s."""
    slow = "import sys, time\nif '--multiprocessing-fork' in sys.orig_argv: time.sleep(6)"
    (tmp_path / "sitecustomize.py").write_text(slow)
    command = ["--port", "0", "--workers", "2"]
    with serving(*command, until="GraphiQL", PYTHONPATH=str(tmp_path)) as server:
        assert post(server, "{ __typename }").status_code == 200

    assert "died" not in server.log


def test_workers_end_when_their_parent_is_gone() -> None:
    """They could claim no key any more, and would block their successors."""
    with two_workers() as server:
        workers = workers_of(server)
        server.process.kill()
        try:
            until(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))
        finally:
            for worker in workers:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)


def test_shutdown_does_not_wait_for_undeliverable_callbacks() -> None:
    """The embedded sandbox sends callbacks to this gateway, whose workers end before it.

    Idle connections keep the workers for two seconds, in which the sandbox's calls go on.
    """
    with (
        serving("--port", "0", "--workers", "2", until="GraphiQL") as server,
        httpx.Client() as idle,
    ):
        for number in range(10, 15):
            made_by(server, f"+150055500{number}")
        idle.get(f"{url_of(server)}/healthz")
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert server.process.wait(20) == 0
        assert time.monotonic() - began < 10
