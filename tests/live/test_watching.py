"""What a subscriber gets: the current state, each new one once, none older, always the last."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadUserInput, CallNotFound, GatewayError, TooManySubscribers
from gateway.live.events import RANK, EventSource
from gateway.live.store import MemoryStore
from gateway.live.subscriptions import CallUpdate
from gateway.upstream.calls import AnsweredBy, CallStatus, FetchCall, ListCalls
from tests.live.stage import event
from tests.live.watched import LiveGateway, Subscriber, live, settle
from tests.plain_twilio import call, calls_in, sid

LIVES = [
    ["queued", "ringing", "in-progress", "completed"],
    ["queued", "ringing", "busy"],
    ["queued", "ringing", "no-answer"],
    ["queued", "canceled"],
    ["queued", "failed"],
]
ALL = [ListCalls()]


async def first(gateway: LiveGateway, number: int = 1) -> CallUpdate:
    """The first update of a new subscription."""
    updates = gateway.subscriptions.call(sid("CA", number))
    update = await anext(updates)
    await updates.aclose()
    return update


async def test_a_subscription_begins_with_the_call_as_it_is() -> None:
    async with live(calls_in("ringing")) as gateway:
        update = await first(gateway)

    assert (update.row.status, update.previous, update.source) == (CallStatus.RINGING, None, None)
    assert gateway.twilio.requests == [f"GET Calls/{sid('CA', 1)}"]


async def test_a_subscription_to_an_ended_call_has_one_update() -> None:
    async with live(calls_in("completed")) as gateway:
        subscriber = Subscriber(gateway.subscriptions.call(sid("CA", 1)))
        await subscriber.end()

    assert subscriber.statuses == ["completed"]


@pytest.mark.parametrize(("name", "error"), [(sid("CA", 9), CallNotFound), ("CA1", BadUserInput)])
async def test_what_is_no_call_cannot_be_watched(name: str, error: type[GatewayError]) -> None:
    async with live(calls_in("ringing")) as gateway:
        with pytest.raises(error):
            await anext(gateway.subscriptions.call(name))


async def test_there_are_no_more_subscribers_than_slots() -> None:
    async with live(calls_in("ringing"), limit=1) as gateway:
        taken = gateway.subscriptions.call(sid("CA", 1))
        await anext(taken)
        with pytest.raises(TooManySubscribers):
            await first(gateway)
        await taken.aclose()
        await first(gateway)


async def test_all_subscribers_of_a_call_share_one_read_for_an_event() -> None:
    async with live(calls_in("ringing")) as gateway:
        subscribers = [Subscriber(gateway.subscriptions.call(sid("CA", 1))) for _ in range(20)]
        await settle()
        beginning = gateway.twilio.asked()
        gateway.set_status(1, "completed", duration="42")
        await gateway.store.publish(event("completed", 2))
        for subscriber in subscribers:
            await subscriber.end()

    assert beginning == gateway.twilio.asked() == [f"GET Calls/{sid('CA', 1)}"]
    assert {tuple(subscriber.statuses) for subscriber in subscribers} == {("ringing", "completed")}
    assert {subscriber.updates[-1].row.duration for subscriber in subscribers} == {42}


async def test_a_slow_subscriber_misses_states_between_but_never_the_last() -> None:
    async with live(calls_in("queued")) as gateway:
        slow = Subscriber(gateway.subscriptions.call(sid("CA", 1)))
        await settle()
        for status in ("ringing", "in-progress", "completed"):
            gateway.set_status(1, status)
            await gateway.store.publish(event(status))
            await settle()
        await slow.end()

    assert slow.statuses == ["queued", "completed"]
    assert slow.updates[-1].previous is CallStatus.QUEUED


async def test_upstream_that_lags_behind_its_webhook_is_caught_up() -> None:
    """The call is read once more; then the webhook's status and facts replace the row's."""
    async with live(calls_in("in-progress")) as gateway:
        subscriber = Subscriber(gateway.subscriptions.call(sid("CA", 1)))
        await settle()
        gateway.twilio.asked()
        gateway.set_status(1, "in-progress", caller_name="ADA")
        await gateway.store.publish(event("completed", 2, duration="17"))
        await subscriber.end()

    assert gateway.twilio.asked() == [f"GET Calls/{sid('CA', 1)}"] * 2
    row = subscriber.updates[-1].row
    assert (row.status, row.duration, row.caller_name) == (CallStatus.COMPLETED, 17, "ADA")


@pytest.mark.parametrize("nothing", ["", None, {"a": 1}], ids=["empty", "null", "odd"])
async def test_a_row_without_a_status_takes_the_webhooks(nothing: Any) -> None:
    async with live(calls_in("in-progress")) as gateway:
        subscriber = Subscriber(gateway.subscriptions.call(sid("CA", 1)))
        await settle()
        gateway.twilio.calls[0] |= {"status": nothing, "caller_name": "ADA"}
        await gateway.store.publish(event("completed", 2, duration="17"))
        await subscriber.end()

    row = subscriber.updates[-1].row
    assert subscriber.statuses == ["in-progress", "completed"]
    assert (row.status, row.duration, row.caller_name) == (CallStatus.COMPLETED, 17, "ADA")


async def test_upstream_that_fails_costs_no_state() -> None:
    async with live(calls_in("in-progress")) as gateway:
        one = Subscriber(gateway.subscriptions.call(sid("CA", 1)))
        all_ = Subscriber(gateway.subscriptions.calls(ALL))
        await settle()
        all_.take(9)
        gateway.twilio.fault = lambda _: httpx.Response(503)
        await gateway.store.publish(event("completed", 2, duration="17"))
        await gateway.store.publish(event("ringing", 1, of=sid("CA", 7), to="+15005550006"))
        await one.end()
        await all_.until_received(3)
        unknown = all_.updates[-1].row
        await all_.leave()

    assert one.statuses == ["in-progress", "completed"]
    assert one.updates[-1].row.duration == 17
    assert all_.statuses == ["in-progress", "completed", "ringing"]
    assert (unknown.sid, unknown.to, unknown.from_) == (sid("CA", 7), "+15005550006", None)


async def test_a_row_that_is_ahead_is_an_event_for_all_subscribers() -> None:
    """The event says ringing, the row completed: that is sent, and later events are old."""
    async with live(calls_in("queued")) as gateway:
        subscribers = [Subscriber(gateway.subscriptions.call(sid("CA", 1))) for _ in range(2)]
        await settle()
        gateway.set_status(1, "completed")
        await gateway.store.publish(event("ringing"))
        await settle()
        await gateway.store.publish(event("in-progress"))
        for subscriber in subscribers:
            await subscriber.end()
        state = gateway.store.state(sid("CA", 1))

    assert [subscriber.statuses for subscriber in subscribers] == [["queued", "completed"]] * 2
    assert state is not None
    assert state.status is CallStatus.COMPLETED


async def test_an_event_that_shows_nothing_new_is_not_sent() -> None:
    """The webhook comes after a poll, with facts that the row had already."""
    async with live(calls_in("queued")) as gateway:
        subscriber = Subscriber(gateway.subscriptions.call(sid("CA", 1)))
        subscriber.take(9)
        await settle()
        gateway.set_status(1, "ringing")
        await gateway.store.publish(event("ringing", source=EventSource.POLL))
        await settle()
        await gateway.store.publish(event("ringing", 1, to="+18005550100"))
        await settle()
        gateway.set_status(1, "completed")
        await gateway.store.publish(event("completed", 2))
        await subscriber.end()

    assert subscriber.statuses == ["queued", "ringing", "completed"]


async def test_a_subscription_keeps_its_last_state_when_the_store_evicts_it() -> None:
    """The webhook comes after the call's state was evicted: it causes no request."""
    async with live(calls_in("in-progress"), store=MemoryStore(max_calls=1)) as gateway:
        subscriber = Subscriber(gateway.subscriptions.call(sid("CA", 1)))
        subscriber.take(9)
        await settle()
        gateway.twilio.asked()
        await gateway.store.publish(event("queued", of=sid("CA", 2)))
        forgotten = gateway.store.state(sid("CA", 1))
        await gateway.store.publish(event("ringing"))
        await settle()
        await subscriber.leave()

    assert forgotten is None
    assert gateway.twilio.asked() == []
    assert subscriber.statuses == ["in-progress"]


async def test_an_unknown_status_is_sent_and_later_states_follow() -> None:
    async with live(calls_in("on-hold")) as gateway:
        subscriber = Subscriber(gateway.subscriptions.call(sid("CA", 1)))
        await settle()
        gateway.set_status(1, "completed")
        await gateway.store.publish(event("completed", 3))
        await subscriber.end()

    assert subscriber.statuses == ["unknown", "completed"]


async def test_an_event_that_comes_during_a_read_is_read_again() -> None:
    """The event joins the poller's read, which began earlier; its row must hide nothing."""
    async with live(calls_in("in-progress")) as gateway:
        quick, slow = [Subscriber(gateway.subscriptions.call(sid("CA", 1))) for _ in range(2)]
        quick.take(9)
        await settle()
        gateway.twilio.delay = 0.02
        polling = asyncio.ensure_future(gateway.poll(1))
        await settle()
        row = dict(gateway.twilio.calls[0])
        gateway.twilio.fault = lambda _: httpx.Response(200, json=row) if row else None
        await gateway.store.publish(event("in-progress", 2, answered_by="human"))
        await polling
        row.clear()
        gateway.set_status(1, "in-progress", answered_by="human")
        await quick.until_received(2)
        slow.take(9)
        await slow.until_received(2)
        for subscriber in (quick, slow):
            await subscriber.leave()

    assert quick.updates[-1].row.answered_by is AnsweredBy.HUMAN
    assert slow.updates[-1].row.answered_by is AnsweredBy.HUMAN


async def test_an_older_row_that_arrives_later_hides_no_event() -> None:
    """A slow poll brings a row from before the event; a slow subscriber still gets the event."""
    async with live(calls_in("in-progress")) as gateway:
        quick, slow = [Subscriber(gateway.subscriptions.call(sid("CA", 1))) for _ in range(2)]
        quick.take(9)
        await settle()
        older = await gateway.client.fetch(FetchCall(sid=sid("CA", 1)))
        gateway.set_status(1, "in-progress", answered_by="human")
        await gateway.store.publish(event("in-progress", 2, answered_by="human"))
        await quick.until_received(2)
        assert older is not None
        await gateway.reader.record(older)
        slow.take(9)
        await slow.until_received(2)
        for subscriber in (quick, slow):
            await subscriber.leave()

    assert slow.updates[-1].row.answered_by is AnsweredBy.HUMAN


async def test_a_subscription_to_all_calls_begins_with_the_live_ones() -> None:
    async with live(calls_in("completed", "ringing", "queued", "in-progress")) as gateway:
        subscriber = Subscriber(gateway.subscriptions.calls(ALL))
        subscriber.take(9)
        await settle()
        gateway.twilio.calls.insert(0, call(5, status="ringing"))
        await gateway.store.publish(event("ringing", of=sid("CA", 5)))
        await settle()
        await subscriber.leave()

    assert subscriber.statuses == ["queued", "ringing", "in-progress", "ringing"]
    assert [update.source for update in subscriber.updates] == [
        None,
        None,
        None,
        EventSource.WEBHOOK,
    ]
    assert sorted(gateway.twilio.requests) == [
        f"GET Calls/{sid('CA', 5)}",
        "GET Calls?Status=in-progress&PageSize=1000",
        "GET Calls?Status=queued&PageSize=1000",
        "GET Calls?Status=ringing&PageSize=1000",
    ]


async def test_a_filter_holds_at_the_beginning_and_later() -> None:
    lists = [ListCalls(to="+1", status=status) for status in (CallStatus.RINGING, CallStatus.BUSY)]
    async with live(calls_in("ringing", "ringing", "queued")) as gateway:
        for number, to in ((1, "+1"), (2, "+2"), (3, "+1")):
            gateway.set_status(number, gateway.twilio.calls[number - 1]["status"], to=to)
        subscriber = Subscriber(gateway.subscriptions.calls(lists))
        subscriber.take(9)
        await settle()
        for number in (1, 2, 3):
            for status in ("in-progress", "busy") if number == 3 else ("busy",):
                gateway.set_status(number, status)
                await gateway.store.publish(event(status, of=sid("CA", number)))
                await settle()
        await subscriber.leave()

    updates = [
        (update.row.sid, update.row.status, update.previous) for update in subscriber.updates
    ]
    assert updates == [
        (sid("CA", 1), CallStatus.RINGING, None),
        (sid("CA", 1), CallStatus.BUSY, CallStatus.RINGING),
        (sid("CA", 3), CallStatus.BUSY, None),
    ]


Step = tuple[str, Any]
STEPS = st.lists(
    st.one_of(
        st.just(("goes on", None)),
        st.tuples(st.just("webhook"), st.integers(0, 3)),
        st.tuples(st.just("take"), st.integers(1, 2)),
        st.tuples(st.just("lags"), st.integers(0, 2)),
        st.tuples(st.just("fails"), st.booleans()),
        st.tuples(st.just("poll"), st.sampled_from([1.0, 5.0, 70.0])),
    ),
    max_size=25,
)


@given(st.sampled_from(LIVES), STEPS, st.booleans())
def test_the_last_state_sent_is_the_calls_last_state_and_none_goes_back(
    life: list[str], steps: Sequence[Step], watches_all: bool
) -> None:
    """Webhooks are late, doubled, shuffled or lost; upstream lags and fails; readers are slow."""
    updates = asyncio.run(_watched(life, steps, watches_all))
    statuses = [update.row.status for update in updates]
    ranks = [RANK[status] for status in statuses if status]

    assert statuses[-1] is CallStatus(life[-1])
    assert ranks == sorted(ranks)
    assert [update.previous for update in updates] == [None, *statuses[:-1]]
    assert statuses.count(statuses[-1]) == 1


async def _watched(life: list[str], steps: Sequence[Step], watches_all: bool) -> list[CallUpdate]:
    async with live(calls_in(life[0])) as gateway:
        lists = gateway.subscriptions.calls(ALL)
        subscriber = Subscriber(lists if watches_all else gateway.subscriptions.call(sid("CA", 1)))
        await settle()
        await settle()
        at, lag = 0, 0
        for kind, value in steps:
            match kind:
                case "goes on":
                    at = min(at + 1, len(life) - 1)
                case "webhook":
                    status = life[min(value, at)]
                    await gateway.store.publish(event(status, min(value, at)))
                case "take":
                    subscriber.take(value)
                case "lags":
                    lag = value
                case "fails":
                    gateway.twilio.fault = (lambda _: httpx.Response(503)) if value else None
                case "poll":
                    await gateway.poll(value)
            gateway.set_status(1, life[max(at - lag, 0)])
            await settle()
        # At the end the call ends and upstream works; only polling is left.
        gateway.twilio.fault = None
        gateway.set_status(1, life[-1])
        await gateway.poll(70)
        await gateway.poll(70)
        if watches_all:
            subscriber.take(1000)
            await settle()
            await subscriber.leave()
        else:
            await subscriber.end()
        return subscriber.updates
