"""A 404 of a watched call: late soon after an event, gone when it lasts."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import CallNotFound
from gateway.live.events import EventSource
from gateway.live.polling import MAX_INTERVAL, MIN_INTERVAL, WEBHOOK_GRACE
from gateway.live.snapshots import READ_LAG
from gateway.live.store import MemoryStore
from gateway.upstream.calls import CallDirection, CallStatus, ListCalls
from tests.live.stage import CALL, NOW, event
from tests.live.watched import LiveGateway, Subscriber, live, settle
from tests.plain_twilio import ACCOUNT, PlainTwilio, call, sid

READ = f"GET Calls/{CALL}"
NEWEST = "GET Calls?PageSize=50"
ALL = [ListCalls()]


async def subscribe(gateway: LiveGateway, number: int = 1) -> Subscriber:
    """A subscriber of a call that takes every update."""
    subscriber = Subscriber(gateway.subscriptions.call(sid("CA", number)))
    subscriber.take(1000)
    await settle()
    return subscriber


async def publish_mutation(gateway: LiveGateway, status: str = "queued", **given: Any) -> None:
    """Publishes that a mutation made the call; upstream may show it later."""
    await gateway.store.publish(event(status, source=EventSource.MUTATION, **given))


async def test_a_call_that_was_just_made_is_watched_before_upstream_shows_it() -> None:
    async with live(PlainTwilio()) as gateway:
        await publish_mutation(gateway)
        subscriber = await subscribe(gateway)
        await gateway.poll(1)
        await gateway.poll(1.5)
        gateway.twilio.calls.append(call(1, status="ringing"))
        await gateway.poll(2.25)
        await settle()
        gateway.set_status(1, "completed")
        await gateway.poll(1)
        await subscriber.end()

    assert subscriber.statuses == ["queued", "ringing", "completed"]
    assert [update.source for update in subscriber.updates] == [
        None,
        EventSource.POLL,
        EventSource.POLL,
    ]
    # The row of a poll serves its event, too: there is no other request.
    assert gateway.twilio.asked() == [READ] * 5


async def test_a_late_call_has_what_the_store_knows_and_the_rest_is_none() -> None:
    async with live(PlainTwilio()) as gateway:
        await publish_mutation(gateway, to="+14155550123", direction="outbound-api")
        known = (await anext(gateway.subscriptions.call(CALL))).row
        await gateway.store.publish(event("ringing", of=sid("CA", 2)))
        hardly = (await anext(gateway.subscriptions.call(sid("CA", 2)))).row

    assert (known.status, known.direction) == (CallStatus.QUEUED, CallDirection.OUTBOUND_API)
    assert (known.account_sid, known.to, known.from_) == (ACCOUNT, "+14155550123", None)
    assert (hardly.status, hardly.direction) == (CallStatus.RINGING, CallDirection.UNKNOWN)
    assert (hardly.account_sid, hardly.date_created) == (ACCOUNT, None)


async def test_a_final_state_is_sent_while_upstream_lags() -> None:
    async with live(PlainTwilio()) as gateway:
        await gateway.store.publish(event("completed", 3, duration="17"))
        subscriber = await subscribe(gateway)
        await subscriber.end()

    assert subscriber.statuses == ["completed"]
    assert subscriber.updates[0].row.duration == 17


@pytest.mark.parametrize("ahead", [-READ_LAG - 0.1, READ_LAG + 0.1], ids=["earlier", "later"])
async def test_a_404_without_an_event_within_the_lag_is_call_not_found(ahead: float) -> None:
    """Another gateway's clock may be wrong: an event from the future does not count."""
    async with live(PlainTwilio()) as gateway:
        await publish_mutation(gateway, at=NOW + timedelta(seconds=ahead))
        with pytest.raises(CallNotFound):
            await anext(gateway.subscriptions.call(CALL))


async def test_a_call_that_upstream_never_shows_ends_once_the_lag_is_over() -> None:
    async with live(PlainTwilio()) as gateway:
        await publish_mutation(gateway)
        subscriber = await subscribe(gateway)
        while gateway.now < READ_LAG - 1:
            await gateway.poll(1)
        early = subscriber.is_over
        while gateway.now <= READ_LAG + MAX_INTERVAL and not subscriber.is_over:
            await gateway.poll(1)
            await settle()
        gateway.twilio.asked()
        polled = await gateway.poll(100)

        assert not early
        with pytest.raises(CallNotFound):
            await subscriber.end()
    assert subscriber.statuses == ["queued"]
    assert (polled, gateway.twilio.asked()) == ([], [])


async def test_a_deleted_call_ends_after_two_404s_further_apart_than_the_lag() -> None:
    async with live(PlainTwilio([call(1, status="in-progress")])) as gateway:
        subscriber = await subscribe(gateway)
        await gateway.poll(MIN_INTERVAL)
        gateway.twilio.calls.clear()
        await gateway.poll(MIN_INTERVAL)
        missed = gateway.now
        lasting = []
        while not subscriber.is_over and gateway.now < 100:
            lasting.append(gateway.now - missed)
            await gateway.poll(0.5)
            await settle()
        asked = gateway.twilio.asked()
        polled = await gateway.poll(1000)

        with pytest.raises(CallNotFound):
            await subscriber.end()
    assert READ_LAG <= lasting[-1] <= READ_LAG + MAX_INTERVAL
    assert subscriber.statuses == ["in-progress"]
    assert asked == [READ] * len(asked)
    assert (polled, gateway.twilio.asked()) == ([], [])


async def test_a_404_between_two_reads_that_show_the_call_ends_nothing() -> None:
    """A replica that lags may answer some of the reads."""
    async with live(PlainTwilio([call(1, status="in-progress")])) as gateway:
        subscriber = await subscribe(gateway)
        rows = list(gateway.twilio.calls)
        for number in range(20):
            gateway.twilio.calls[:] = [] if number % 2 else rows
            await gateway.poll(MAX_INTERVAL)
        over = subscriber.is_over
        gateway.twilio.calls[:] = [call(1, status="busy")]
        await gateway.poll(MAX_INTERVAL)
        await subscriber.end()

    assert not over
    assert subscriber.statuses == ["in-progress", "busy"]


@pytest.mark.parametrize("watches_all", [False, True], ids=["alone", "among all"])
async def test_one_404_right_after_the_beginning_ends_nothing(watches_all: bool) -> None:
    """The first read showed the call, by itself or in a list; another gateway polled since."""
    async with live(PlainTwilio([call(1, status="ringing")])) as gateway:
        updates = (
            gateway.subscriptions.calls(ALL) if watches_all else gateway.subscriptions.call(CALL)
        )
        subscriber = Subscriber(updates)
        subscriber.take(99)
        await settle()
        rows, gateway.twilio.calls[:] = list(gateway.twilio.calls), []
        await gateway.poll(READ_LAG + 1)
        gateway.twilio.calls[:] = rows
        gateway.set_status(1, "completed")
        await gateway.poll(MAX_INTERVAL)
        await settle()
        await subscriber.leave()

    assert subscriber.statuses == ["ringing", "completed"]


async def test_a_slow_subscriber_gets_the_waiting_state_before_the_end() -> None:
    async with live(PlainTwilio([call(1, status="queued")])) as gateway:
        slow = Subscriber(gateway.subscriptions.call(CALL))
        await settle()
        gateway.set_status(1, "ringing")
        await gateway.poll(1)
        gateway.twilio.calls.clear()
        for _ in range(40):
            await gateway.poll(1)
        polled = await gateway.poll(1000)

        with pytest.raises(CallNotFound):
            await slow.end()
    assert slow.statuses == ["queued", "ringing"]
    assert polled == []


async def test_among_all_calls_a_deleted_one_is_polled_no_more() -> None:
    async with live(PlainTwilio([call(2, status="ringing"), call(1, status="ringing")])) as gateway:
        subscriber = Subscriber(gateway.subscriptions.calls(ALL))
        subscriber.take(99)
        await settle()
        await gateway.poll(MIN_INTERVAL)
        del gateway.twilio.calls[1]
        for _ in range(60):
            await gateway.poll(1)
        gateway.twilio.asked()
        for _ in range(60):
            await gateway.poll(1)
        asked = gateway.twilio.asked()
        gateway.set_status(2, "completed")
        await gateway.poll(MAX_INTERVAL)
        await settle()
        await subscriber.leave()

    assert READ not in asked
    assert NEWEST in asked
    assert subscriber.statuses == ["ringing", "ringing", "completed"]


async def test_a_gone_call_is_not_polled_for_a_later_subscriber() -> None:
    """A later subscription to it, next to one to all calls, starts no polls."""
    async with live(PlainTwilio([call(1, status="ringing")])) as gateway:
        everybody = Subscriber(gateway.subscriptions.calls(ALL))
        everybody.take(99)
        await settle()
        gateway.twilio.calls.clear()
        for _ in range(60):
            await gateway.poll(1)
        with pytest.raises(CallNotFound):
            await anext(gateway.subscriptions.call(CALL))
        gateway.twilio.asked()
        for _ in range(60):
            await gateway.poll(1)
        await everybody.leave()

    assert set(gateway.twilio.asked()) == {NEWEST}


async def test_a_row_from_upstream_replaces_one_made_of_events() -> None:
    """An event without a readable row is sent with the last row that was read."""
    async with live(PlainTwilio()) as gateway:
        await publish_mutation(gateway)
        subscriber = await subscribe(gateway)
        await gateway.store.publish(event("ringing", 1, at=gateway.utc()))
        await settle()
        gateway.twilio.calls.append(call(1, status="ringing", caller_name="ADA"))
        await gateway.poll(WEBHOOK_GRACE)
        gateway.twilio.fault = lambda _: httpx.Response(503)
        await gateway.store.publish(event("busy", 2, at=gateway.utc()))
        await subscriber.end()

    assert subscriber.statuses == ["queued", "ringing", "busy"]
    assert [update.row.caller_name for update in subscriber.updates] == [None, None, "ADA"]


async def test_of_many_calls_those_that_are_deleted_end_and_the_others_go_on() -> None:
    """They are in none of the lists, so each is fetched by itself."""
    numbers = range(1, 7)
    async with live(PlainTwilio([call(n, status="ringing") for n in numbers])) as gateway:
        subscribers = [await subscribe(gateway, number) for number in numbers]
        await gateway.poll(MIN_INTERVAL)
        del gateway.twilio.calls[:2]
        for _ in range(60):
            await gateway.poll(1)
        await settle()
        over = [subscriber.is_over for subscriber in subscribers]
        for subscriber in subscribers[:2]:
            with pytest.raises(CallNotFound):
                await subscriber.end()
        for subscriber in subscribers[2:]:
            await subscriber.leave()

    assert over == [True] * 2 + [False] * 4


async def test_a_deleted_call_ends_at_every_gateway() -> None:
    """One polls for both. When its subscribers have left, the other polls by itself."""
    time = [0.0]
    store = MemoryStore(now=lambda: time[0])
    async with (
        live(PlainTwilio([call(1, status="ringing")]), store=store) as a,
        live(a.twilio, store=store) as b,
    ):
        subscribers = [await subscribe(one) for one in (a, b)]
        a.twilio.calls.clear()
        for _ in range(150):
            time[0] += 1
            for one in (a, b):
                await one.poll(1)
        await settle()

        for subscriber in subscribers:
            assert subscriber.is_over
            with pytest.raises(CallNotFound):
                await subscriber.end()


Step = tuple[str, Any]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("shows"), st.booleans()),
        st.just(("event", None)),
        st.tuples(st.just("time"), st.sampled_from([0.5, 1.0, 3.0, 9.0, 11.0, 30.0, 60.0])),
    ),
    max_size=40,
)


@given(STEPS)
@example([("event", None), ("time", 60.0), ("time", 60.0)])
@example([("shows", True), ("event", None), ("shows", False), ("time", 60.0), ("time", 60.0)])
def test_a_subscription_ends_only_at_the_first_404_after_the_lag(steps: list[Step]) -> None:
    """Any reads and events, compared with the rule in plain Python."""
    ended, expected = asyncio.run(_actual_and_expected_end(steps))

    assert ended == expected


async def _actual_and_expected_end(steps: Sequence[Step]) -> tuple[float | None, float | None]:
    """When the subscription ended and when it should have, in seconds; None if it goes on."""
    row = call(1, status="ringing")
    expected: float | None = None
    ended: float | None = None
    async with live(PlainTwilio()) as gateway:
        await publish_mutation(gateway)
        last_event_at, missing = 0.0, float("-inf")
        subscriber = await subscribe(gateway)
        gateway.twilio.asked()
        for kind, value in steps:
            if kind == "shows":
                gateway.twilio.calls[:] = [row] if value else []
            elif kind == "event":
                recent = event("ringing", 1, at=gateway.utc(), caller_name=str(gateway.now))
                await gateway.store.publish(recent)
                last_event_at = gateway.now
            else:
                await gateway.poll(value)
            await settle()
            for _ in gateway.twilio.asked():  # reads for events count, too
                if gateway.twilio.calls:
                    missing = float("inf")
                elif kind == "time":
                    missing = min(missing, gateway.now)
                    is_late = gateway.now - last_event_at <= READ_LAG
                    if not is_late and gateway.now - missing > READ_LAG and expected is None:
                        expected = gateway.now
            if subscriber.is_over:
                ended = gateway.now
                break
        if subscriber.is_over:
            with pytest.raises(CallNotFound):
                await subscriber.end()
        else:
            await subscriber.leave()
    return ended, expected


async def test_an_upstream_error_is_no_404() -> None:
    async with live(PlainTwilio([call(1, status="ringing")])) as gateway:
        subscriber = await subscribe(gateway)
        gateway.twilio.fault = lambda _: httpx.Response(503)
        for _ in range(20):
            await gateway.poll(MAX_INTERVAL)
        over = subscriber.is_over
        await subscriber.leave()

    assert not over
