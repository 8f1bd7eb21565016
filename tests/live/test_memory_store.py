"""The store of one process: who hears what, what is kept for how long, and how much of it."""

import asyncio
from contextlib import closing

import pytest

from gateway.errors import FellBehind, StoreUnavailable
from gateway.live import store as stores
from gateway.live.store import CLAIM_SECONDS, Claim, Expiring, MemoryStore
from tests.live.stage import CALL, next_status, notice
from tests.plain_twilio import sid

OTHER = sid("CA", 2)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


async def test_subscribers_hear_of_their_call_or_of_all() -> None:
    store = MemoryStore()
    with store.subscribe(CALL) as one, store.subscribe() as all_:
        await store.publish(notice("ringing", 1, of=OTHER))
        await store.publish(notice("busy", 2))

        assert await next_status(one) == "busy"
        assert [await next_status(all_), await next_status(all_)] == ["ringing", "busy"]


async def test_a_slow_subscriber_finds_each_calls_last_state_once() -> None:
    store = MemoryStore()
    with store.subscribe() as news:
        for status, number in (("queued", 0), ("ringing", 1), ("in-progress", 2), ("completed", 3)):
            await store.publish(notice(status, number))
            await store.publish(notice(status, number, of=OTHER))
        taken = {state.call_sid: state.status.value async for state in _waiting(news, 2)}

        assert taken == {CALL: "completed", OTHER: "completed"}


async def _waiting(news: stores.Subscription, count: int):  # type: ignore[no-untyped-def]
    for _ in range(count):
        yield await anext(news)


async def test_what_is_no_news_is_not_told() -> None:
    store = MemoryStore()
    with store.subscribe(CALL) as news:
        assert await store.publish(notice("ringing", 1)) is not None
        assert await store.publish(notice("ringing", 1)) is None
        assert await store.publish(notice("queued", 0)) is None
        await next_status(news)
        waiting = asyncio.ensure_future(anext(news))
        await asyncio.sleep(0)
        assert not waiting.done()

        await store.publish(notice("completed", 3))
        assert (await waiting).status.value == "completed"


async def test_a_subscription_that_is_closed_ends_and_is_forgotten() -> None:
    store = MemoryStore()
    with closing(store.subscribe(CALL)) as news:
        waiting = asyncio.ensure_future(anext(news, None))
        await asyncio.sleep(0)
    assert await waiting is None
    assert store._subscriptions == {}


async def test_the_end_of_the_store_ends_its_subscriptions() -> None:
    store = MemoryStore()
    one, all_ = store.subscribe(CALL), store.subscribe()
    await store.aclose()

    assert [state async for state in one] == [state async for state in all_] == []


async def test_a_subscriber_that_falls_too_far_behind_is_told_so() -> None:
    """Better an end with a reason than a last state that never comes."""
    store = MemoryStore(max_calls=3)
    with store.subscribe() as news:
        for number in range(1, 5):
            await store.publish(notice("ringing", 1, of=sid("CA", number)))

        with pytest.raises(FellBehind):
            await anext(news)


async def test_states_are_kept_for_a_day_and_for_so_many_calls() -> None:
    clock = Clock()
    store = MemoryStore(clock, max_calls=2)
    for number in (1, 2, 3):
        await store.publish(notice("ringing", 1, of=sid("CA", number)))

    assert store.state(sid("CA", 1)) is None
    assert [state.call_sid for state in store.states()] == [sid("CA", 2), sid("CA", 3)]
    clock.seconds += stores.STATE_SECONDS
    assert store.state(sid("CA", 3)) is None
    assert list(store.states()) == []


async def test_a_key_is_remembered_for_its_time() -> None:
    clock = Clock()
    store = MemoryStore(clock)

    assert [await store.remember("k", 60), await store.remember("k", 60)] == [True, False]
    clock.seconds += 60
    assert await store.remember("k", 60)


async def test_a_claim_is_new_once_and_keeps_its_outcome_for_a_day() -> None:
    clock = Clock()
    store = MemoryStore(clock)

    assert await store.claim("k", "print") == Claim("print", None, is_new=True)
    assert await store.claim("k", "other") == Claim("print", None)
    await store.settle("k", "print", "made")
    clock.seconds += CLAIM_SECONDS - 1
    assert await store.claim("k", "print") == Claim("print", "made")
    clock.seconds += 1
    assert (await store.claim("k", "print")).is_new


async def test_a_released_claim_is_free() -> None:
    store = MemoryStore()
    await store.claim("k", "print")
    await store.release("k")

    assert (await store.claim("k", "print")).is_new


async def test_no_claim_makes_room_for_another() -> None:
    """An outcome that is forgotten within its day would let a call be placed twice."""
    clock = Clock()
    store = MemoryStore(clock)
    store._claims = Expiring(2, clock)
    await store.claim("a", "print")
    await store.claim("b", "print")

    with pytest.raises(StoreUnavailable):
        await store.claim("c", "print")
    assert not (await store.claim("a", "print")).is_new
    clock.seconds += CLAIM_SECONDS
    assert (await store.claim("c", "print")).is_new


async def test_a_lease_is_one_holders_until_it_ends_or_is_given_back() -> None:
    clock = Clock()
    store = MemoryStore(clock)

    assert await store.lease("poll", "a", 10)
    assert not await store.lease("poll", "b", 10)
    clock.seconds += 9
    assert await store.lease("poll", "a", 10)
    clock.seconds += 9
    await store.end_lease("poll", "b")
    assert not await store.lease("poll", "b", 10)
    clock.seconds += 1
    assert await store.lease("poll", "b", 10)
    await store.end_lease("poll", "b")
    assert await store.lease("poll", "a", 10)
