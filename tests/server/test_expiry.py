"""When a token expires, its subscriptions end; a mutation that has begun is finished."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from gateway.access import ANONYMOUS, Caller
from gateway.server import Gateway
from gateway.server.results import CredentialExpired, before_expiry
from gateway.settings import AccessMode
from tests.access.provider import AUDIENCE, ISSUER, Provider
from tests.conftest import connect
from tests.plain_twilio import NOON, PlainTwilio, call, sid
from tests.server.sockets import WATCH, Stage, events_of, stage

SSE = {"Accept": "text/event-stream"}
MAKE = """mutation { makeCall(input: { to: "+14155550123", from: "+15005550006",
    instructions: { twiml: "<Response/>" } }) { call { status } } }"""


@asynccontextmanager
async def ending(folder: Path, seconds: float, **given: Any) -> AsyncIterator[tuple[Stage, str]]:
    """A gateway, and a token valid for so many seconds, all of them leeway."""
    provider, now = Provider(), time.time()
    (folder / "key.pem").write_text(provider.pem)
    twilio = PlainTwilio(calls=[call(1, status="ringing")], **given)
    token = provider.token(exp=int(now), scope="read call pii")
    async with stage(
        twilio,
        access=AccessMode.JWT,
        jwt_key_file=str(folder / "key.pem"),
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
        jwt_leeway=time.time() - int(now) + seconds,
    ) as there:
        yield there, f"Bearer {token}"


async def test_a_socket_is_closed_with_4403_when_its_token_ends(tmp_path: Path) -> None:
    """Not before, and its subscription gets neither a complete nor an error."""
    async with ending(tmp_path, 2.0) as (there, bearer), there.socket(greets=False) as kim:
        await kim.greet({"Authorization": bearer})
        await kim.watch(1)
        assert await kim.event() == ("RINGING", None, "CURRENT")
        await there.goes(1, "in-progress")
        assert (await kim.event())[0] == "IN_PROGRESS"
        with pytest.raises(ConnectionClosed):
            await kim.receive()
        assert await kim.closed() == (4403, "The token has expired")


async def test_a_silent_socket_is_closed_too(tmp_path: Path) -> None:
    async with ending(tmp_path, 0.5) as (there, bearer), there.socket(greets=False) as kim:
        began = time.monotonic()
        await kim.greet({"Authorization": bearer})
        assert await kim.closed() == (4403, "The token has expired")
        assert 0.3 < time.monotonic() - began < 5


async def test_a_mutation_that_has_begun_is_answered_before_the_socket_closes(
    tmp_path: Path,
) -> None:
    async with (
        ending(tmp_path, 1.5, delay=2.5) as (there, bearer),
        there.socket(greets=False) as kim,
    ):
        await kim.greet({"Authorization": bearer})
        await kim.subscribe("1", MAKE)
        answer, end = await kim.receive(), await kim.receive()
        assert await kim.closed() == (4403, "The token has expired")

    assert answer["payload"] == {"data": {"makeCall": {"call": {"status": "QUEUED"}}}}
    assert end == {"type": "complete", "id": "1"}
    assert len(there.twilio.calls) == 2


async def test_a_disconnect_meanwhile_leaves_no_task(tmp_path: Path) -> None:
    """`stage` fails if a task is left over; the mutation goes on."""
    async with ending(tmp_path, 1.5, delay=2.5) as (there, bearer):
        async with there.socket(greets=False) as kim:
            await kim.greet({"Authorization": bearer})
            await kim.subscribe("1", MAKE)
            await asyncio.sleep(0.5)
            kim.connection.transport.abort()
        async with asyncio.timeout(10):
            while len(there.twilio.calls) < 2:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.01)


async def test_a_stream_of_events_ends_without_complete_when_its_token_ends(
    tmp_path: Path,
) -> None:
    async with ending(tmp_path, 2.0) as (there, bearer), httpx.AsyncClient() as client:
        asked = {"query": WATCH, "variables": {"sid": sid("CA", 1)}}
        headers = SSE | {"Authorization": bearer}
        async with client.stream("POST", there.url, json=asked, headers=headers) as stream:
            names = [name async for name, _ in events_of(stream)]

    assert names == ["next"]


async def test_a_mutation_over_events_that_has_begun_is_answered(tmp_path: Path) -> None:
    async with (
        ending(tmp_path, 1.5, delay=2.5) as (there, bearer),
        httpx.AsyncClient(headers=SSE | {"Authorization": bearer}) as client,
        client.stream("POST", there.url, json={"query": MAKE}) as stream,
    ):
        events = [event async for event in events_of(stream)]

    assert [name for name, _ in events] == ["next", "complete"]
    assert events[0][1] == {"data": {"makeCall": {"call": {"status": "QUEUED"}}}}


async def stream_of(gateway: Gateway, expires: float) -> AsyncGenerator[Any, None]:
    """The results of a subscription whose credential expires then, and how it ends."""
    caller = Caller("kim", ANONYMOUS.scopes, expires=expires)
    try:
        async for result in gateway.stream(WATCH, {"sid": sid("CA", 1)}, caller=caller):
            yield "result" if result.data else result.errors
    except CredentialExpired:
        yield "expired"


async def test_expiry_follows_the_gateways_clock() -> None:
    twilio = PlainTwilio(calls=[call(1, status="ringing")])
    async with connect(twilio, NOON) as client, asyncio.timeout(10):
        for seconds, expected in ((-1, ["expired"]), (0.2, ["result", "expired"])):
            results = stream_of(client.gateway, NOON.timestamp() + seconds)
            assert [result async for result in results] == expected


async def test_an_expired_credential_gets_no_results() -> None:
    """Even if a result is ready at once, so that there is no wait to interrupt."""
    with pytest.raises(CredentialExpired):
        await before_expiry(asyncio.get_running_loop().time() - 1, asyncio.sleep(0, 1))


async def test_results_come_until_the_moment_and_their_own_failures_pass() -> None:
    async def late() -> None:
        raise TimeoutError

    moment = asyncio.get_running_loop().time() + 0.05
    assert await before_expiry(moment, asyncio.sleep(0, 1)) == 1
    with pytest.raises(CredentialExpired):
        await before_expiry(moment, asyncio.Event().wait())
    assert asyncio.get_running_loop().time() > moment - 0.001  # timers count milliseconds

    with pytest.raises(TimeoutError):
        await before_expiry(moment + 60, late())
    assert await before_expiry(None, asyncio.sleep(0, 7)) == 7
