"""The store of one process: who gets which event, and how much is kept for how long."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import StoreUnavailable, SubscriberLagged
from gateway.live import store as store_module
from gateway.live.events import RANK, CallStatusEvent
from gateway.live.store import CLAIM_SECONDS, Claim, MemoryStore
from gateway.upstream.calls import CallStatus
from tests.live.stage import CALL, LIVES, event, next_status
from tests.plain_twilio import sid

OTHER = sid("CA", 2)


class Clock:
    """A clock in seconds that the test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


async def test_subscribers_get_events_of_their_call_or_of_all() -> None:
    store = MemoryStore()
    with store.subscribe(CALL) as one, store.subscribe() as all_:
        await store.publish(event("ringing", 1, of=OTHER))
        await store.publish(event("busy", 2))

        assert await next_status(one) == "busy"
        assert [await next_status(all_), await next_status(all_)] == ["ringing", "busy"]


async def test_a_slow_subscriber_finds_each_calls_last_state_once() -> None:
    store = MemoryStore()
    with store.subscribe() as subscription:
        for status, number in (("queued", 0), ("ringing", 1), ("in-progress", 2), ("completed", 3)):
            await store.publish(event(status, number))
            await store.publish(event(status, number, of=OTHER))
        taken = {state.call_sid: state.status.value async for state in _waiting(subscription, 2)}

        assert taken == {CALL: "completed", OTHER: "completed"}


async def _waiting(
    subscription: store_module.EventSubscription[CallStatusEvent], count: int
) -> AsyncIterator[CallStatusEvent]:
    for _ in range(count):
        yield await anext(subscription)


async def test_an_event_that_changes_nothing_is_not_delivered() -> None:
    store = MemoryStore()
    with store.subscribe(CALL) as subscription:
        assert await store.publish(event("ringing", 1)) is not None
        assert await store.publish(event("ringing", 1)) is None
        assert await store.publish(event("queued", 0)) is None
        await next_status(subscription)
        waiting = asyncio.ensure_future(anext(subscription))
        await asyncio.sleep(0)
        assert not waiting.done()

        await store.publish(event("completed", 3))
        assert (await waiting).status.value == "completed"


async def test_a_closed_subscription_ends_and_is_freed() -> None:
    store = MemoryStore()
    with closing(store.subscribe(CALL)) as subscription:
        waiting = asyncio.ensure_future(anext(subscription, None))
        await asyncio.sleep(0)
    assert await waiting is None
    reference = weakref.ref(subscription)
    del subscription, waiting
    gc.collect()
    assert reference() is None


async def test_the_end_of_the_store_ends_its_subscriptions() -> None:
    store = MemoryStore()
    one, all_ = store.subscribe(CALL), store.subscribe()
    await store.aclose()

    assert [state async for state in one] == [state async for state in all_] == []


async def test_a_subscriber_that_falls_too_far_behind_gets_an_error() -> None:
    """An end with a reason is better than a last state that never comes."""
    store = MemoryStore(max_calls=3)
    with store.subscribe() as subscription:
        for number in range(1, 5):
            await store.publish(event("ringing", 1, of=sid("CA", number)))

        with pytest.raises(SubscriberLagged):
            await anext(subscription)


async def test_an_event_of_a_waiting_call_replaces_its_state() -> None:
    store = MemoryStore(max_calls=2)
    with store.subscribe() as subscription:
        for number in (1, 2):
            await store.publish(event("ringing", 1, of=sid("CA", number)))
        await store.publish(event("busy", 2, of=sid("CA", 1)))

        assert [await next_status(subscription), await next_status(subscription)] == [
            "ringing",
            "busy",
        ]


async def test_states_are_kept_for_a_day_and_for_so_many_calls() -> None:
    clock = Clock()
    store = MemoryStore(clock, max_calls=2)
    for number in (1, 2, 3):
        await store.publish(event("ringing", 1, of=sid("CA", number)))

    assert store.state(sid("CA", 1)) is None
    assert [state.call_sid for state in store.states()] == [sid("CA", 2), sid("CA", 3)]
    await store.publish(event("busy", 2, of=sid("CA", 2)))
    assert [state.call_sid for state in store.states()] == [sid("CA", 3), sid("CA", 2)]
    clock.seconds += store_module.STATE_SECONDS
    assert store.state(sid("CA", 3)) is None
    assert list(store.states()) == []


async def test_a_key_is_remembered_for_its_time() -> None:
    clock = Clock()
    store = MemoryStore(clock)

    assert [await store.add_if_new("k", 60), await store.add_if_new("k", 60)] == [True, False]
    clock.seconds += 60
    assert await store.add_if_new("k", 60)


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


async def test_a_full_store_evicts_no_claim() -> None:
    """An outcome that is lost within its day would let a call be placed twice."""
    clock = Clock()
    store = MemoryStore(clock, max_claims=2)
    await store.claim("a", "print")
    await store.claim("b", "print")

    with pytest.raises(StoreUnavailable):
        await store.claim("c", "print")
    assert not (await store.claim("a", "print")).is_new
    clock.seconds += CLAIM_SECONDS
    assert (await store.claim("c", "print")).is_new


async def test_a_lease_is_one_holders_until_it_ends() -> None:
    clock = Clock()
    store = MemoryStore(clock)

    assert await store.lease("poll", "a", 10)
    assert not await store.lease("poll", "b", 10)
    clock.seconds += 9
    assert await store.lease("poll", "a", 10)
    clock.seconds += 9
    assert not await store.lease("poll", "b", 10)
    clock.seconds += 1
    assert await store.lease("poll", "b", 10)
    assert not await store.lease("poll", "a", 10)


@st.composite
def received_by_two(draw: st.DrawFn) -> tuple[list[CallStatusEvent], list[CallStatusEvent]]:
    """The webhooks of two calls as two gateways get them: shuffled, doubled, some lost by both.

    The last one of each call reaches one of the two.
    """
    at: tuple[list[CallStatusEvent], list[CallStatusEvent]] = ([], [])
    for call_sid in (CALL, OTHER):
        life = draw(st.sampled_from(LIVES))
        whole = [event(status, number, of=call_sid) for number, status in enumerate(life)]
        for received in at:
            received += draw(st.lists(st.sampled_from(whole), max_size=6))
        at[draw(st.integers(0, 1))].append(whole[-1])
    return draw(st.permutations(at[0])), draw(st.permutations(at[1]))


@given(received_by_two(), st.integers(0, 2**32))
async def test_gateways_that_exchange_events_in_any_order_reach_the_same_states(
    received: tuple[list[CallStatusEvent], list[CallStatusEvent]], seed: int
) -> None:
    """A subscriber of any speed gets each call's states in order, to the last."""
    chance = Random(seed)
    stores = (MemoryStore(), MemoryStore())
    published: list[list[CallStatusEvent]] = [[], []]
    delivered: dict[str, list[CallStatusEvent]] = {CALL: [], OTHER: []}
    with stores[0].subscribe() as subscription:
        for place, events in enumerate(received):
            for one in events:
                state = await stores[place].publish(one)
                published[place] += [state] if state else []
        for place, other in ((0, 1), (1, 0)):
            for state in chance.sample(published[other] * 2, len(published[other]) * 2):
                await stores[place].publish(state)
                if place == 0 and chance.random() < 0.5:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0):  # a waiting state is there at once
                            state = await anext(subscription)
                            delivered[state.call_sid].append(state)
        subscription.end()
        async for state in subscription:
            delivered[state.call_sid].append(state)

    last = {one.call_sid: one.status for one in (*received[0], *received[1]) if one.is_final}
    for call_sid, states in delivered.items():
        ranks = [RANK[state.status] for state in states]
        assert ranks == sorted(ranks)
        assert states[-1].status is last[call_sid]
        assert [_status(store, call_sid) for store in stores] == [last[call_sid]] * 2


def _status(store: MemoryStore, call_sid: str) -> CallStatus | None:
    state = store.state(call_sid)
    return state.status if state else None
