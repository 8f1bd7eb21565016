"""Access control over WebSocket and server-sent events: authentication, scopes, masks.

One account's live calls are nobody else's, and documents have their limits there, too.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from gateway.access.tokens import new_token
from gateway.settings import AccessMode
from tests.credentials import basic
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, sid
from tests.server.sockets import WATCH, Stage, events_of, stage

NUMBERS = "subscription($sid: ID!) { callUpdated(sid: $sid) { call { to status } } }"
OTHER = "AC" + "b" * 32


@asynccontextmanager
async def guarded(folder: Path, scopes: str, **settings: Any) -> AsyncIterator[tuple[Stage, str]]:
    """A gateway that requires a token, and a token with these scopes."""
    token, line = new_token("kim", scopes)
    (folder / "tokens").write_text(f"{line}\n")
    twilio = PlainTwilio(calls=[call(1, status="ringing", to="+16175551212")])
    given = {"access": AccessMode.TOKEN, "tokens_file": str(folder / "tokens"), **settings}
    async with stage(twilio, **given) as there:
        yield there, f"Bearer {token}"


async def test_a_socket_needs_a_credential(tmp_path: Path) -> None:
    async with guarded(tmp_path, "read,pii") as (there, bearer):
        async with there.socket(greets=False) as stranger:
            await stranger.send({"type": "connection_init", "payload": {"Authorization": "no"}})
            assert await stranger.closed() == (4403, "Forbidden")
        for given in ({"payload": {"Authorization": bearer}}, {"header": bearer}):
            headers = {"Authorization": given["header"]} if "header" in given else {}
            async with there.socket(greets=False, additional_headers=headers) as kim:
                await kim.greet(given.get("payload"))
                await kim.watch(1)
                assert await kim.event() == ("RINGING", None, "CURRENT")


async def test_a_stream_of_events_needs_a_credential(tmp_path: Path) -> None:
    async with guarded(tmp_path, "read,pii") as (there, bearer), httpx.AsyncClient() as client:
        asked = {"query": WATCH, "variables": {"sid": sid("CA", 1)}}
        accept = {"Accept": "text/event-stream"}
        refused = await client.post(there.url, json=asked, headers=accept)
        assert refused.status_code == 401
        assert refused.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}

        headers = accept | {"Authorization": bearer}
        async with client.stream("POST", there.url, json=asked, headers=headers) as stream:
            name, event = await anext(aiter(events_of(stream)))
        assert name == "next"
        assert event["data"]["callUpdated"]["call"]["status"] == "RINGING"


async def test_scopes_and_masks_hold_over_a_socket(tmp_path: Path) -> None:
    async with guarded(tmp_path, "read") as (there, bearer), there.socket(greets=False) as kim:
        await kim.greet({"Authorization": bearer})
        await kim.subscribe("1", NUMBERS, sid=sid("CA", 1))
        seen = await kim.receive()
        assert seen["payload"]["data"]["callUpdated"]["call"]["to"] == "+1617•••1212"

        end = f'mutation {{ endCall(input: {{ sid: "{sid("CA", 1)}" }}) {{ call {{ sid }} }} }}'
        await kim.subscribe("2", end)
        refused = await kim.receive()
        assert (refused["id"], refused["type"]) == ("2", "error")
        assert refused["payload"][0]["extensions"] == {"code": "FORBIDDEN"}
    assert not [request for request in there.twilio.requests if request.startswith("POST")]


async def test_two_callers_of_other_scopes_do_not_share_an_event(tmp_path: Path) -> None:
    """Equal subscriptions run once for all callers with the same scopes."""
    tokens = {scopes: new_token(f"kim{len(scopes)}", scopes) for scopes in ("read", "read,pii")}
    (tmp_path / "tokens").write_text("\n".join(str(line) for _, line in tokens.values()))
    twilio = PlainTwilio(calls=[call(1, status="ringing", to="+16175551212")])
    given = {"access": AccessMode.TOKEN, "tokens_file": str(tmp_path / "tokens")}
    async with stage(twilio, **given) as there, AsyncExitStack() as stack:
        sockets = {}
        for scopes, (token, _) in tokens.items():
            socket = await stack.enter_async_context(there.socket(greets=False))
            await socket.greet({"Authorization": f"Bearer {token}"})
            await socket.subscribe("1", NUMBERS, sid=sid("CA", 1))
            await socket.receive()
            sockets[scopes] = socket
        await there.goes(1, "in-progress")
        found = {
            scopes: (await socket.receive())["payload"]["data"]["callUpdated"]["call"]
            for scopes, socket in sockets.items()
        }
    assert found == {
        "read": {"to": "+1617•••1212", "status": "IN_PROGRESS"},
        "read,pii": {"to": "+16175551212", "status": "IN_PROGRESS"},
    }


async def test_each_operation_of_a_socket_counts_for_its_caller(tmp_path: Path) -> None:
    given = {"rate_limit": 1, "rate_burst": 2}
    async with guarded(tmp_path, "read,pii", **given) as (there, bearer):
        async with there.socket(greets=False) as kim:
            await kim.greet({"Authorization": bearer})
            for number in range(4):
                await kim.subscribe(str(number), "{ __typename }")
            codes = set()
            async with asyncio.timeout(10):
                while "RATE_LIMITED" not in codes:
                    message = await kim.receive()
                    if message["type"] == "error":
                        codes |= {error["extensions"]["code"] for error in message["payload"]}
        assert codes == {"RATE_LIMITED"}


async def test_an_accounts_live_calls_are_its_own() -> None:
    """In passthrough a socket gets its own account's events only; there is no webhook route."""
    twilio = PlainTwilio(calls=[call(1, status="ringing")])
    async with (
        stage(twilio, access=AccessMode.PASSTHROUGH, account_sid=None, auth_token=None) as it,
        it.socket(greets=False) as own,
        httpx.AsyncClient() as client,
    ):
        await own.greet({"Authorization": basic(ACCOUNT, TOKEN)})
        await own.watch(1)
        assert await own.event() == ("RINGING", None, "CURRENT")
        async with it.socket(greets=False) as other:
            await other.greet({"Authorization": basic(OTHER, TOKEN)})
            await other.watch(1)
            refused = await other.receive()
        webhook = await client.post(it.url.replace("/graphql", "/webhooks/twilio/status"))

    assert refused["type"] == "error"
    assert webhook.status_code == 404


async def test_the_origin_of_a_socket_is_checked() -> None:
    async with stage(PlainTwilio()) as there:
        with pytest.raises(InvalidStatus, match="403"):
            async with there.socket(origin="https://evil.example.com"):
                pass
        async with there.socket(origin=f"http://127.0.0.1:{there.port}") as own:
            await own.subscribe("1", "{ __typename }")
            assert (await own.receive())["type"] == "next"


async def test_a_document_beyond_a_limit_fails_its_own_id() -> None:
    deep = "{ " + " ".join(f"a{n}: __typename" for n in range(200)) + " }"
    async with stage(PlainTwilio()) as there, there.socket() as client:
        await client.subscribe("1", deep)
        refused = await client.receive()
        await client.subscribe("2", "{ __typename }")
        assert (await client.receive())["type"] == "next"

    assert (refused["id"], refused["type"]) == ("1", "error")
    assert refused["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
