"""Several gateways over one real server: all get every event, also after the server was away.

Two stores in one process act as two gateways: they share only the server.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import pytest
from redis.asyncio import Redis

from gateway.errors import StoreUnavailable
from gateway.live.store import Claim
from gateway.live.valkey import ValkeyStore
from tests.live.servers import ServerProcess
from tests.live.stage import CALL, event, next_status, statuses_until
from tests.plain_twilio import ACCOUNT, sid


@asynccontextmanager
async def gateways(server: ServerProcess) -> AsyncIterator[tuple[ValkeyStore, ValkeyStore]]:
    """Two stores over one server."""
    one, other = ValkeyStore(server.url, ACCOUNT), ValkeyStore(server.url, ACCOUNT)
    try:
        yield one, other
    finally:
        await one.aclose()
        await other.aclose()


async def test_an_event_that_arrives_at_one_gateway_reaches_a_subscriber_at_another(
    server: ServerProcess,
) -> None:
    async with gateways(server) as (a, b):
        with b.subscribe(CALL) as subscription, b.subscribe() as all_calls:
            for status, number in (("queued", 0), ("ringing", 1), ("completed", 3)):
                await a.publish(event(status, number, to="+18005550100"))

            assert (await statuses_until(subscription, "completed"))[-1] == "completed"
            assert (await statuses_until(all_calls, "completed"))[-1] == "completed"
        state = b.state(CALL)
        assert state is not None
        assert state.fact("to") == "+18005550100"


async def test_a_gateway_gets_its_own_event_once(server: ServerProcess) -> None:
    async with gateways(server) as (a, b):
        with a.subscribe(CALL) as at_a, b.subscribe(CALL) as at_b:
            await a.publish(event("ringing", 1))
            assert await next_status(at_a) == await next_status(at_b) == "ringing"
            await b.publish(event("completed", 3))

            assert await next_status(at_a) == await next_status(at_b) == "completed"


async def test_a_gateway_that_starts_later_gets_earlier_events(server: ServerProcess) -> None:
    async with gateways(server) as (a, _):
        await a.publish(event("in-progress", 2))
        late = ValkeyStore(server.url, ACCOUNT)
        with late.subscribe(CALL) as subscription:
            assert await next_status(subscription) == "in-progress"
        await late.aclose()


async def test_accounts_on_one_server_share_nothing(server: ServerProcess) -> None:
    stranger = ValkeyStore(server.url, sid("AC", 2))
    async with gateways(server) as (a, b):
        with b.subscribe(CALL) as subscription:
            await a.publish(event("ringing", 1))
            await next_status(subscription)
        assert stranger.state(CALL) is None
        assert (await stranger.claim("key", "print")).is_new
        assert (await a.claim("key", "print")).is_new
    await stranger.aclose()


async def test_events_while_the_server_is_away_arrive_when_it_is_back(
    server: ServerProcess,
) -> None:
    """The server comes back empty: only the gateways know the missed events."""
    async with gateways(server) as (a, b):
        with b.subscribe(CALL) as subscription:
            await a.publish(event("ringing", 1))
            assert await next_status(subscription) == "ringing"
            await asyncio.to_thread(server.stop)
            await a.publish(event("in-progress", 2))
            await a.publish(event("completed", 3))
            await asyncio.to_thread(server.start)

            assert (await statuses_until(subscription, "completed"))[-1] == "completed"


async def test_events_that_the_server_lost_are_sent_again(server: ServerProcess) -> None:
    """An event that only the server had before its crash is not lost."""
    a = ValkeyStore(server.url, ACCOUNT)
    await a.publish(event("completed", 3, at=datetime.now(UTC)))
    async with Redis.from_url(server.url) as probe, asyncio.timeout(20):
        while not await probe.exists(f"gateway:{ACCOUNT}:notices"):  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.01)
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)
    b = ValkeyStore(server.url, ACCOUNT)
    with b.subscribe(CALL) as subscription:
        assert await next_status(subscription) == "completed"
    await a.aclose()
    await b.aclose()


async def test_a_stream_with_lower_ids_is_read_from_its_beginning(server: ServerProcess) -> None:
    """A server that comes back with an earlier clock gives its entries lower ids."""
    async with gateways(server) as (a, b):
        with b.subscribe() as subscription:
            await a.publish(event("ringing", 1))
            assert await next_status(subscription) == "ringing"
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            entry = msgspec.json.encode(event("busy", 1, of=sid("CA", 2)))
            async with Redis.from_url(server.url) as probe:
                await probe.xadd(f"gateway:{ACCOUNT}:notices", {"notice": entry}, id="5-0")

            assert await next_status(subscription) == "busy"


async def test_an_entry_that_is_no_event_is_skipped(server: ServerProcess) -> None:
    async with gateways(server) as (a, b):
        async with Redis.from_url(server.url) as probe:
            await probe.xadd(f"gateway:{ACCOUNT}:notices", {"notice": "{]"})
            await probe.xadd(f"gateway:{ACCOUNT}:notices", {"other": "1"})
        with b.subscribe(CALL) as subscription:
            await a.publish(event("ringing", 1))
            assert await next_status(subscription) == "ringing"


async def test_a_key_is_new_to_one_gateway_only(server: ServerProcess) -> None:
    async with gateways(server) as (a, b):
        first = await asyncio.gather(*(store.add_if_new("k", 60) for store in (a, b) * 10))

        assert sum(first) == 1
        assert await b.add_if_new("another", 60)


async def test_without_the_server_the_replay_cache_is_local(server: ServerProcess) -> None:
    async with gateways(server) as (a, _):
        await asyncio.to_thread(server.stop)

        assert [await a.add_if_new("k", 60) for _ in range(3)] == [True, False, False]


async def test_an_idempotency_key_is_claimed_once_across_gateways(server: ServerProcess) -> None:
    async with gateways(server) as (a, b):
        claims = await asyncio.gather(*(store.claim("k", "print") for store in (a, b) * 10))
        assert [claim.is_new for claim in claims].count(True) == 1

        await a.settle("k", "print", "made")

        assert await b.claim("k", "other") == Claim("print", "made")
        assert await a.claim("k", "print") == Claim("print", "made")


async def test_a_key_that_is_released_is_free_again(server: ServerProcess) -> None:
    async with gateways(server) as (a, b):
        await a.claim("k", "print")
        await a.release("k")

        assert (await b.claim("k", "print")).is_new


async def test_two_releases_at_once_do_not_disturb_each_other(server: ServerProcess) -> None:
    """Each sends what the other left; `release` never raises."""
    async with gateways(server) as (a, b):
        await a.claim("k", "print")
        await asyncio.gather(a.release("k"), a.release("k"))

        assert (await b.claim("k", "print")).is_new


async def test_a_claim_ends_after_a_day(server: ServerProcess) -> None:
    async with gateways(server) as (a, _), Redis.from_url(server.url) as probe:
        await a.claim("k", "print")
        claimed = await probe.pttl(f"gateway:{ACCOUNT}:claim:k")
        await a.settle("k", "print", "made")
        settled = await probe.pttl(f"gateway:{ACCOUNT}:claim:k")

        assert 86_300_000 < claimed <= 86_400_000
        assert 86_300_000 < settled <= 86_400_000


async def test_without_the_server_no_key_can_be_claimed(server: ServerProcess) -> None:
    """No call is better than one placed twice."""
    async with gateways(server) as (a, _):
        await asyncio.to_thread(server.stop)

        with pytest.raises(StoreUnavailable):
            await a.claim("k", "print")


async def test_a_claim_that_a_hanging_server_stored_is_deleted(server: ServerProcess) -> None:
    """The error said that nothing was sent, so the client may retry with the same key."""
    async with gateways(server) as (a, b):
        await a.add_if_new("connected", 60)
        server.hang()
        with pytest.raises(StoreUnavailable):
            await a.claim("k", "print")
        server.resume()

        async with asyncio.timeout(20):
            while not (await b.claim("k", "print")).is_new:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.01)
        assert not (await a.claim("k", "print")).is_new


async def test_an_event_that_waited_for_a_hanging_server_arrives_when_it_resumes(
    server: ServerProcess,
) -> None:
    async with gateways(server) as (a, b):
        with b.subscribe(CALL) as subscription:
            await a.publish(event("ringing", 1))
            assert await next_status(subscription) == "ringing"
            server.hang()
            await a.publish(event("completed", 3))
            assert await a.add_if_new("k", 60)  # the hanging server delays it briefly
            server.resume()

            assert await next_status(subscription) == "completed"


async def test_the_first_key_after_the_server_is_back_can_be_claimed(server: ServerProcess) -> None:
    """The pool drops dead connections before it uses them."""
    async with gateways(server) as (a, _):
        await a.claim("before", "print")
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)

        assert (await a.claim("k", "print")).is_new


async def test_an_outcome_is_recorded_when_the_server_is_back(server: ServerProcess) -> None:
    async with gateways(server) as (a, b):
        await a.claim("k", "print")
        await asyncio.to_thread(server.stop)
        await a.settle("k", "print", "made")
        await asyncio.to_thread(server.start)

        async with Redis.from_url(server.url) as probe, asyncio.timeout(20):
            while not await probe.exists(f"gateway:{ACCOUNT}:claim:k"):  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.01)
        assert await b.claim("k", "print") == Claim("print", "made")


async def test_a_lease_is_one_gateways_until_it_ends(server: ServerProcess) -> None:
    async with gateways(server) as (a, b):
        assert await a.lease("poll", "a", 30)
        assert await a.lease("poll", "a", 30)
        assert not await b.lease("poll", "b", 30)

        assert await b.lease("other", "b", 0.05)
        async with asyncio.timeout(20):
            while not await a.lease("other", "a", 30):  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.01)


async def test_without_the_server_every_gateway_gets_the_lease(server: ServerProcess) -> None:
    """Work is done twice, not never."""
    async with gateways(server) as (a, b):
        await asyncio.to_thread(server.stop)

        assert await a.lease("poll", "a", 30)
        assert await b.lease("poll", "b", 30)


async def test_a_store_closes_though_its_server_was_never_there() -> None:
    store = ValkeyStore("redis://127.0.0.1:9/0", ACCOUNT)
    await store.publish(event("ringing", 1))
    with store.subscribe(CALL) as subscription:
        await store.publish(event("completed", 3))
        assert await next_status(subscription) == "completed"
    async with asyncio.timeout(20):
        await store.aclose()
