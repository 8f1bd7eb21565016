"""Two gateways over one account and one real server: webhooks, keys and leases are shared."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx

from gateway.access import ANONYMOUS
from gateway.live.signature import signature_of
from gateway.server import create_app
from gateway.server.results import response_map
from gateway.settings import Secret
from tests.conftest import Client
from tests.live.servers import ServerProcess
from tests.live.stage import CALL, next_status, statuses_until
from tests.live.webhooks import PUBLIC, RECORDING, Hooks, event
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, sid
from tests.schema.mutations import MAKE, making
from tests.settings import settings_of


class Peer(Hooks):
    """One of several gateways: its webhooks, store and GraphQL."""

    graphql: Client


@asynccontextmanager
async def peer(server: ServerProcess, twilio: PlainTwilio) -> AsyncIterator[Peer]:
    """A whole gateway that shares its store."""
    given: dict[str, Any] = {"account_sid": ACCOUNT, "auth_token": Secret(TOKEN)}
    settings = settings_of(**given, public_url=PUBLIC, store_url=Secret(server.url))
    app = create_app(settings, twilio)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://10.0.0.7") as client,
    ):
        one = Peer(client, app.state.gateway, app.state.gateway.own.store, app)
        one.graphql = Client(app.state.gateway)
        yield one


@asynccontextmanager
async def two(server: ServerProcess) -> AsyncIterator[tuple[Peer, Peer, PlainTwilio]]:
    """Two gateways and their account."""
    twilio = PlainTwilio()
    async with peer(server, twilio) as a, peer(server, twilio) as b:
        yield a, b, twilio


async def test_a_webhook_at_one_gateway_reaches_a_subscriber_at_the_other(
    server: ServerProcess,
) -> None:
    async with two(server) as (a, b, _):
        with b.store.subscribe(CALL) as subscription:
            await a.post(event("ringing", 1))
            assert await next_status(subscription) == "ringing"
            await b.post(event("in-progress", 2))
            await a.post(event("completed", 3))
            assert (await statuses_until(subscription, "completed"))[-1] == "completed"


async def test_a_recording_callback_at_the_other_gateway_is_an_event_here(
    server: ServerProcess,
) -> None:
    async with two(server) as (a, b, _):
        with b.store.subscribe(CALL) as subscription:
            await a.post(event("completed", 3))
            await next_status(subscription)
            form = {"AccountSid": ACCOUNT, "CallSid": CALL, "RecordingSid": sid("RE", 1)}
            await b.post(form, RECORDING)
            state = await anext(subscription)

        assert state.fact("recording_sid") == sid("RE", 1)


async def test_a_replay_at_the_other_gateway_is_dropped(server: ServerProcess) -> None:
    async with two(server) as (a, b, _):
        form = event("ringing", 1)
        assert (await a.post(form)).status_code == (await b.post(form)).status_code == 204

        url = PUBLIC + "/webhooks/twilio/status"
        signature = signature_of(url, tuple(form.items()), Secret(TOKEN))
        assert not await b.store.add_if_new(signature, 60)


async def test_webhooks_while_the_server_is_away_arrive_when_it_is_back(
    server: ServerProcess,
) -> None:
    """Twilio does not repeat a callback: an accepted one must not be lost."""
    async with two(server) as (a, b, _):
        with b.store.subscribe(CALL) as subscription:
            await a.post(event("ringing", 1))
            assert await next_status(subscription) == "ringing"
            await asyncio.to_thread(server.stop)
            assert (await a.post(event("in-progress", 2))).status_code == 204
            assert (await a.post(event("completed", 3))).status_code == 204
            await asyncio.to_thread(server.start)

            assert (await statuses_until(subscription, "completed"))[-1] == "completed"


async def test_a_key_places_one_call_through_both_gateways(server: ServerProcess) -> None:
    async with two(server) as (a, b, twilio):
        twilio.delay = 0.03
        answers = await asyncio.gather(
            *(one.graphql.data(MAKE, input=making(idempotencyKey="k")) for one in (a, b, a, b))
        )

        made = {answer["makeCall"]["call"]["sid"] for answer in answers}
        assert made == {twilio.calls[0]["sid"]}
        assert len([request for request in twilio.requests if "POST" in request]) == 1


async def test_a_call_that_one_gateway_made_is_there_at_the_other_before_upstream_shows_it(
    server: ServerProcess,
) -> None:
    async with two(server) as (a, b, twilio):
        with b.store.subscribe() as subscription:
            made = (await a.graphql.data(MAKE, input=making()))["makeCall"]["call"]["sid"]
            assert await next_status(subscription) == "queued"
        twilio.calls.clear()
        query = "query($sid: ID!) { call(sid: $sid) { sid status direction } }"
        data = await b.graphql.data(query, sid=made)
        stream = b.gateway.stream(
            "subscription($sid: ID!) { callUpdated(sid: $sid) { call { sid status } } }",
            {"sid": made},
            caller=ANONYMOUS,
        )
        async with aclosing(stream) as results:
            event = response_map(await anext(results))

        assert data["call"] == {"sid": made, "status": "QUEUED", "direction": "OUTBOUND_API"}
        assert event["data"]["callUpdated"]["call"] == {"sid": made, "status": "QUEUED"}


async def test_an_unknown_outcome_at_one_gateway_is_unknown_at_the_other(
    server: ServerProcess,
) -> None:
    async with two(server) as (a, b, twilio):

        def fault(_: httpx.Request) -> httpx.Response:
            raise httpx.ReadTimeout("slow")

        twilio.fault = fault
        one = await a.graphql.error(MAKE, input=making(idempotencyKey="k"))
        twilio.fault = None
        other = await b.graphql.error(MAKE, input=making(idempotencyKey="k"))

        assert one["extensions"] == other["extensions"]
        assert one["extensions"]["code"] == "OUTCOME_UNKNOWN"
        assert len(twilio.requests) == 1


async def test_without_the_server_a_key_is_refused_and_nothing_is_sent(
    server: ServerProcess,
) -> None:
    async with two(server) as (a, _, twilio):
        await asyncio.to_thread(server.stop)
        problem = await a.graphql.error(MAKE, input=making(idempotencyKey="k"))
        data = await a.graphql.data(MAKE, input=making())

        assert problem["extensions"]["code"] == "STORE_UNAVAILABLE"
        assert data["makeCall"]["call"] is not None
        assert len(twilio.requests) == 1


async def test_leadership_moves_when_a_leader_ends(server: ServerProcess) -> None:
    twilio = PlainTwilio()
    async with peer(server, twilio) as b:
        async with peer(server, twilio) as a:
            assert await a.store.lease("polling", "a", 0.2)
            assert not await b.store.lease("polling", "b", 30)
        async with asyncio.timeout(20):
            while not await b.store.lease("polling", "b", 30):  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.01)
