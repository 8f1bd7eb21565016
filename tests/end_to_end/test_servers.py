"""The commands that serve: first lines, responses, a clean exit."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.end_to_end.program import Server, run, serving

pytestmark = pytest.mark.xdist_group("servers")  # serially: each takes a core

NEWEST = "{ calls(first: 3) { nodes { sid accountSid } } }"
KEY, KEY_SECRET = "SK" + "c" * 32, "s3cret-of-the-key"
ACCOUNT = "AC" + "e" * 32
TOKEN = "feedfacefeedfacefeedfacefeedface"
CREDENTIAL = {
    "TWILIO_ACCOUNT_SID": ACCOUNT,
    "TWILIO_API_KEY": KEY,
    "TWILIO_API_SECRET": KEY_SECRET,
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Server]:
    """A gateway with its embedded sandbox, without any setting."""
    with serving("--port", "0", until="GraphiQL") as server:
        yield server
    assert server.exit_code == 0
    assert "Traceback" not in server.log


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Server]:
    """The sandbox alone, with its well-known credential."""
    with serving("sandbox", "--port", "0", until="TWILIO_AUTH_TOKEN") as server:
        yield server
    assert server.exit_code == 0
    assert TOKEN not in server.log


def test_the_first_line_says_that_the_sandbox_answers(gateway: Server) -> None:
    assert gateway.lines[0].startswith("Sandbox: no TWILIO_ACCOUNT_SID is set")
    assert "60 example calls" in gateway.lines[0]


def test_the_gateway_answers_from_its_sandbox(gateway: Server) -> None:
    nodes = gateway.ask(NEWEST)["calls"]["nodes"]

    assert len({node["sid"] for node in nodes}) == 3


def test_the_gateway_is_alive_and_ready(gateway: Server) -> None:
    for path in ("/healthz", "/readyz"):
        assert httpx.get(gateway.url + path, timeout=20).status_code == 200


def test_an_answer_does_not_wait_for_the_receipt_of_its_first_part(gateway: Server) -> None:
    """20 responses on one connection; Nagle's algorithm with delayed ACKs would take 40 ms each."""
    with httpx.Client() as client:
        client.get(f"{gateway.url}/healthz")
        took = []
        for _ in range(20):
            began = time.monotonic()
            client.get(f"{gateway.url}/healthz")
            took.append(time.monotonic() - began)

    assert min(took) < 0.03


def test_answers_do_not_name_the_server_software(gateway: Server) -> None:
    assert "Server" not in httpx.get(f"{gateway.url}/healthz", timeout=20).headers


def test_a_gateway_talks_to_a_sandbox_by_the_variables_that_it_prints(sandbox: Server) -> None:
    """The second process needs nothing else, and does not show the token."""
    verbose = {"GATEWAY_LOG_LEVEL": "debug", "GATEWAY_ENV": "production"}
    variables = sandbox.settings
    with serving("--port", "0", until="GraphQL", **variables, **verbose) as gateway:
        nodes = gateway.ask(NEWEST)["calls"]["nodes"]
        gateway.ask('{ calls(filter: {to: "+16175550101"}) { nodes { sid } } }')

    assert {node["accountSid"] for node in nodes} == {variables["TWILIO_ACCOUNT_SID"]}
    assert gateway.lines == [
        f"Twilio account {variables['TWILIO_ACCOUNT_SID']} at {variables['TWILIO_BASE_URL']}",
        f"GraphQL: {gateway.url}/graphql",
    ]
    assert gateway.exit_code == 0
    assert "upstream Calls: 200" in gateway.log
    assert "6175550101" not in gateway.log
    assert variables["TWILIO_AUTH_TOKEN"] not in gateway.log


def test_an_api_key_and_its_secret_open_a_sandbox_that_was_given_them() -> None:
    with ExitStack() as stack:
        sandbox = stack.enter_context(
            serving("sandbox", "--port", "0", until="TWILIO_ACCOUNT_SID", **CREDENTIAL)
        )
        gateway = stack.enter_context(
            serving("--port", "0", until="GraphiQL", **sandbox.settings | CREDENTIAL)
        )
        nodes = gateway.ask(NEWEST)["calls"]["nodes"]

    assert {node["accountSid"] for node in nodes} == {ACCOUNT}
    assert (sandbox.exit_code, gateway.exit_code) == (0, 0)
    assert KEY_SECRET not in "\n".join([*sandbox.lines, sandbox.log, *gateway.lines, gateway.log])


def test_a_wrong_token_is_refused_by_the_sandbox_and_shown_nowhere(sandbox: Server) -> None:
    done = run("query", NEWEST, **sandbox.settings | {"TWILIO_AUTH_TOKEN": TOKEN})

    (error,) = json.loads(done.stdout)["errors"]
    assert done.returncode == 1
    assert error["extensions"]["code"] == "UPSTREAM_AUTH"
    assert error["extensions"]["twilioCode"] == 20003
    assert TOKEN not in done.stdout + done.stderr


def test_a_main_account_opens_a_sub_account_and_its_webhooks_need_the_sub_accounts_token() -> None:
    """The sandbox is the sub-account and also accepts its main account's credential."""
    main = {
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_API_KEY": "AC" + "d" * 32,
        "TWILIO_API_SECRET": TOKEN,
    }
    with ExitStack() as stack:
        sandbox = stack.enter_context(
            serving("sandbox", "--port", "0", until="TWILIO_ACCOUNT_SID", **main)
        )
        given = sandbox.settings | main
        gateway = stack.enter_context(serving("--port", "0", until="GraphiQL", **given))
        told = {"GATEWAY_WEBHOOK_AUTH_TOKENS": KEY_SECRET}
        other = stack.enter_context(serving("--port", "0", until="GraphiQL", **given | told))
        nodes = gateway.ask(NEWEST)["calls"]["nodes"]

    lines = [line for line in gateway.lines if line.startswith("Webhooks: ")]
    assert {node["accountSid"] for node in nodes} == {ACCOUNT}
    assert len(lines) == 1
    assert "GATEWAY_WEBHOOK_AUTH_TOKENS" in lines[0]
    assert ACCOUNT in lines[0]
    assert not any(line.startswith("Webhooks: ") for line in other.lines)
    assert TOKEN not in "\n".join([*sandbox.lines, *gateway.lines, gateway.log])
