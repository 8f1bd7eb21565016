"""Over the embedded sandbox: test numbers are refused, and a call's events reach subscribers."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from gateway.live.store import Store
from gateway.sandbox import SandboxConfig
from gateway.sandbox import create_app as create_sandbox
from gateway.server import create_app, open_gateway
from gateway.settings import Secret
from tests.conftest import Client
from tests.end_to_end.program import serving
from tests.live.stage import statuses_until
from tests.schema.mutations import END, FROM, MAKE, REDIRECT, making, refused
from tests.serving import running
from tests.settings import settings_of

BUSY = "+15005550011"
MAGIC = [
    ({"from": "+15005550001"}, "input.from", "INVALID_NUMBER", 21212),
    ({"from": "+15005550099"}, "input.from", "NOT_VERIFIED", 21210),
    ({"to": "+15005550001"}, "input.to", "INVALID_NUMBER", 21217),
    ({"to": "+15005550002"}, "input.to", "NOT_REACHABLE", 21214),
    ({"to": "+15005550003"}, "input.to", "NOT_PERMITTED", 21215),
    ({"to": "+15005550004"}, "input.to", "NOT_PERMITTED", 21216),
]


@pytest.fixture
async def sandbox() -> AsyncIterator[Client]:
    """A client of a gateway over an embedded sandbox, in process."""
    async with open_gateway(settings_of(sandbox_calls=20)) as gateway:
        yield Client(gateway)


@pytest.mark.parametrize(("given", "field", "code", "number"), MAGIC)
async def test_twilios_test_numbers_give_the_user_errors_that_they_stand_for(
    sandbox: Client, given: dict[str, str], field: str, code: str, number: int
) -> None:
    """docs/twilio.md#7-errors: "Twilio's test numbers for calls"."""
    assert await refused(sandbox, MAKE, making(**given)) == [(field, code, number)]


async def test_a_call_is_made_redirected_too_early_and_hung_up(sandbox: Client) -> None:
    made = (await sandbox.data(MAKE, input=making(from_=FROM)))["makeCall"]["call"]
    assert (made["status"], made["direction"]) == ("QUEUED", "OUTBOUND_API")

    instructions = {"twiml": "<Response/>"}
    errors = await refused(sandbox, REDIRECT, {"sid": made["sid"], "instructions": instructions})
    assert errors == [("input.sid", "CALL_NOT_IN_PROGRESS", 21220)]

    ended = await sandbox.data(END, input={"sid": made["sid"], "mode": "CANCEL_UNANSWERED"})
    assert ended["endCall"]["call"] == {"sid": made["sid"], "status": "CANCELED"}
    again = await refused(sandbox, END, {"sid": made["sid"]})
    assert again == [("input.sid", "CALL_NOT_IN_PROGRESS", 21220)]


@pytest.mark.parametrize(("is_missing", "number"), [(False, 21220), (True, 20404)])
async def test_a_call_that_has_ended_is_not_in_progress_whatever_number_says_so(
    is_missing: bool, number: int
) -> None:
    sandbox = create_sandbox(SandboxConfig(calls=0, ended_calls_are_missing=is_missing))
    credential: dict[str, Any] = {
        "account_sid": SandboxConfig().account_sid,
        "auth_token": Secret(SandboxConfig().auth_token),
    }
    async with open_gateway(settings_of(**credential), httpx.ASGITransport(sandbox)) as gateway:
        client = Client(gateway)
        made = (await client.data(MAKE, input=making()))["makeCall"]["call"]["sid"]
        await client.data(END, input={"sid": made})
        ended = await refused(client, END, {"sid": made})
        instructions = {"twiml": "<Response/>"}
        redirected = await refused(client, REDIRECT, {"sid": made, "instructions": instructions})
    await sandbox.state.sandbox.aclose()

    assert ended == redirected == [("input.sid", "CALL_NOT_IN_PROGRESS", number)]


@asynccontextmanager
async def demo() -> AsyncIterator[tuple[str, Store]]:
    """The app over its embedded sandbox on a real socket, which the sandbox calls back."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = create_app(settings_of(sandbox_calls=20, webhook_url=url))
    config = uvicorn.Config(app, http="httptools", access_log=False, log_config=None)
    async with running(config, listener):
        yield url, app.state.gateway.own.store


async def test_the_sandbox_calls_back_and_subscribers_get_each_status() -> None:
    async with demo() as (url, store), httpx.AsyncClient(base_url=url) as client:
        with store.subscribe() as subscription:
            body = {"query": MAKE, "variables": {"input": making(to=BUSY, record=True)}}
            answer = (await client.post("/graphql", json=body)).json()
            statuses = await statuses_until(subscription, "busy")
        state = store.state(answer["data"]["makeCall"]["call"]["sid"])

        # A quick subscriber gets queued twice: from the mutation, then from the webhook.
        assert list(dict.fromkeys(statuses)) == ["queued", "ringing", "busy"]
        assert state is not None
        assert (state.sequence, state.source.value) == (2, "webhook")


def test_the_program_needs_no_setup_for_webhooks() -> None:
    """Twilio records a notification for a failed callback: there is none.

    See docs/twilio.md#9-webhooks.
    """
    with serving("--port", "0", until="GraphiQL") as server:
        data = server.ask(
            f"""mutation {{ makeCall(input: {{
                to: "{BUSY}", from: "{FROM}", instructions: {{twiml: "<Response/>"}} }})
                {{ call {{ sid }} userErrors {{ message }} }} }}"""
        )
        made = data["makeCall"]["call"]["sid"]
        query = f"""{{ call(sid: "{made}") {{
            status notifications {{ nodes {{ errorCode messageText }} }} }} }}"""
        call: dict[str, Any] = {}
        for _ in range(200):
            call = server.ask(query)["call"]
            if call["status"] == "BUSY":
                break
            time.sleep(0.05)
        assert call == {"status": "BUSY", "notifications": {"nodes": []}}
    assert "webhook" not in server.log
