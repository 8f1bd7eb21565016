"""When watched calls are polled, by which requests, and by which gateway."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.live.events import EventSource
from gateway.live.polling import (
    MAX_INTERVAL,
    MIN_INTERVAL,
    ROUND_WINDOW,
    WEBHOOK_GRACE,
    Poller,
    Schedule,
)
from gateway.live.store import MemoryStore
from gateway.upstream.calls import CallStatus, ListCalls
from tests.live.stage import event
from tests.live.watched import LiveGateway, Subscriber, live, settle
from tests.plain_twilio import PlainTwilio, call, calls_in, describe, sid

A, B = "CA-a", "CA-b"
OPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "drop", "webhook", "polled", "failed"]),
        st.sampled_from([A, B]),
        st.sampled_from(["queued", "ringing"]),
        st.floats(0, 20),
    )
)
NEWEST = "GET Calls?PageSize=50"
LISTS = [
    "GET Calls?Status=in-progress&PageSize=1000",
    "GET Calls?Status=queued&PageSize=1000",
    "GET Calls?Status=ringing&PageSize=1000",
]


@given(OPS)
def test_a_scheduled_call_is_due_within_its_interval_and_not_at_once(
    ops: list[tuple[str, str, str, float]],
) -> None:
    """Within WEBHOOK_GRACE after a webhook, else MAX_INTERVAL; never before MIN_INTERVAL."""
    schedule, now, scheduled = Schedule(), 0.0, set()
    for op, name, status, seconds in ops:
        now += seconds
        match op:
            case "add":
                is_new = name not in schedule
                schedule.add(name, now)
                scheduled.add(name)
                assert not is_new or schedule.next_due() is not None
            case "drop":
                schedule.drop(name)
                scheduled.discard(name)
            case "webhook":
                schedule.webhook_received(name, now)
            case "polled":
                schedule.polled(name, status, now)
            case "failed":
                schedule.polled(name, None, now)
        if op in {"webhook", "polled", "failed"} and name in scheduled:
            assert name not in schedule.due(now + MIN_INTERVAL - 0.001)
        assert set(schedule.due(now + WEBHOOK_GRACE)) == scheduled
    for name in scheduled:
        schedule.polled(name, "in-progress", now)
    assert set(schedule.due(now + MAX_INTERVAL)) == scheduled
    assert (schedule.next_due() is None) == (not scheduled)


@given(st.lists(st.tuples(st.sampled_from(["begin", "end A", "end B"]), st.floats(0, 90))))
def test_a_call_that_is_being_polled_is_in_no_other_round(ops: list[tuple[str, float]]) -> None:
    schedule, now, under_way = Schedule(), 0.0, set[str]()
    for name in (A, B):
        schedule.add(name, now)
    for op, seconds in ops:
        now += seconds
        if op == "begin":
            due = schedule.take_due(now)
            assert not under_way.intersection(due)
            under_way.update(due)
        else:
            name = {"end A": A, "end B": B}[op]
            schedule.polled(name, None, now)
            under_way.discard(name)
        assert {name for name in (A, B) if schedule.is_polling(name)} == under_way
        assert set(schedule.due(now + WEBHOOK_GRACE)) == {A, B} - under_way
        assert (schedule.next_due() is None) == (under_way == {A, B})


def test_the_interval_grows_while_a_call_does_not_change() -> None:
    schedule, now, intervals = Schedule(), 0.0, []
    schedule.add(A, now)
    for status in ("queued", *["ringing"] * 9, "in-progress", "in-progress"):
        due = schedule.next_due()
        assert due is not None
        intervals.append(round(due - now, 3))
        now = due
        schedule.polled(A, status, now)

    growing = [1.5**times for times in range(1, 7)]
    assert intervals[:3] == [MIN_INTERVAL] * 3
    assert intervals[3:9] == [round(interval, 3) for interval in growing]
    assert intervals[9:] == [MAX_INTERVAL, MAX_INTERVAL, MIN_INTERVAL]


@asynccontextmanager
async def subscribed(gateway: LiveGateway, *numbers: int) -> AsyncIterator[list[Subscriber]]:
    """A subscriber for each call; the requests of the beginning are not counted."""
    subscribers = [Subscriber(gateway.subscriptions.call(sid("CA", number))) for number in numbers]
    await settle()
    gateway.twilio.asked()
    yield subscribers
    for subscriber in subscribers:
        await subscriber.leave()


async def test_a_call_without_subscribers_is_not_polled() -> None:
    async with live(calls_in("ringing")) as gateway:
        async with subscribed(gateway, 1):
            pass
        polled = await gateway.poll(100)

    assert polled == []
    assert gateway.twilio.requests == []


async def test_a_call_is_polled_once_for_all_its_subscribers() -> None:
    async with live(calls_in("ringing")) as gateway, subscribed(gateway, *[1] * 20) as subscribers:
        gateway.set_status(1, "completed")
        await gateway.poll(MIN_INTERVAL)
        for subscriber in subscribers:
            await subscriber.end()

    assert gateway.twilio.requests == [f"GET Calls/{sid('CA', 1)}"]
    assert {tuple(subscriber.statuses) for subscriber in subscribers} == {("ringing", "completed")}
    assert {subscriber.updates[-1].source for subscriber in subscribers} == {EventSource.POLL}


async def test_many_calls_are_polled_by_the_three_lists() -> None:
    """A call that is in none of them has ended, and is fetched by itself."""
    states = ["queued", "ringing", "in-progress", "ringing", "ringing"]
    async with (
        live(calls_in(*states)) as gateway,
        subscribed(gateway, 1, 2, 3, 4, 5) as subscribers,
    ):
        gateway.set_status(1, "ringing")
        gateway.set_status(5, "busy")
        await gateway.poll(MIN_INTERVAL)
        await subscribers[4].end()
        subscribers[0].take()
        await settle()

    assert gateway.twilio.asked() == sorted([*LISTS, f"GET Calls/{sid('CA', 5)}"])
    assert subscribers[0].statuses == ["queued", "ringing"]
    assert subscribers[4].statuses == ["ringing", "busy"]


async def test_nothing_is_polled_while_webhooks_come() -> None:
    async with live(calls_in("queued")) as gateway, subscribed(gateway, 1) as (subscriber,):
        subscriber.take(9)
        gateway.set_status(1, "ringing")
        await gateway.store.publish(event("ringing"))
        await settle()
        gateway.twilio.asked()
        early = await gateway.poll(WEBHOOK_GRACE - ROUND_WINDOW - 0.1)
        gateway.set_status(1, "completed")  # the webhook of this is lost
        late = await gateway.poll(1)
        await subscriber.end()

    assert (early, late) == ([], [sid("CA", 1)])
    assert gateway.twilio.asked() == [f"GET Calls/{sid('CA', 1)}"]
    assert subscriber.statuses == ["queued", "ringing", "completed"]


async def test_the_interval_grows_while_upstream_fails(caplog: pytest.LogCaptureFixture) -> None:
    async with live(calls_in("ringing")) as gateway, subscribed(gateway, 1) as (subscriber,):
        gateway.twilio.fault = lambda _: httpx.Response(503)
        polls = [len(await gateway.poll(1)) for _ in range(10)]
        gateway.twilio.fault = None
        gateway.set_status(1, "completed")
        await gateway.poll(MAX_INTERVAL)
        await subscriber.end()

    assert polls[0] == 1
    assert sum(polls) <= 5
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    assert subscriber.statuses == ["ringing", "completed"]


async def test_calls_without_webhooks_are_found_among_the_newest() -> None:
    """Live calls and those that ended since the last poll; none that had ended before."""
    async with live(calls_in("completed", "ringing")) as gateway:
        subscriber = Subscriber(gateway.subscriptions.calls([ListCalls()]))
        subscriber.take(99)
        await settle()
        gateway.twilio.asked()
        await gateway.poll(MIN_INTERVAL)
        first = gateway.twilio.asked()
        gateway.twilio.calls[:0] = [call(4, status="busy"), call(3, status="ringing")]
        gateway.set_status(2, "completed")
        await gateway.poll(MIN_INTERVAL)
        second = gateway.twilio.asked()
        await settle()
        await subscriber.leave()

    assert (first, second) == ([NEWEST], [NEWEST])
    updates = [(int(update.row.sid[2:], 16), update.row.status) for update in subscriber.updates]
    assert updates == [
        (2, CallStatus.RINGING),
        (4, CallStatus.BUSY),
        (3, CallStatus.RINGING),
        (2, CallStatus.COMPLETED),
    ]


async def test_a_call_that_ended_without_subscribers_is_no_event_for_a_later_one() -> None:
    async with live(calls_in("completed")) as gateway:
        for number in (2, 3):
            subscriber = Subscriber(gateway.subscriptions.calls([ListCalls()]))
            subscriber.take(9)
            await settle()
            await gateway.poll(MIN_INTERVAL)
            await settle()
            await subscriber.leave()
            gateway.twilio.calls.insert(0, call(number, status="busy"))

    assert subscriber.updates == []


async def test_more_new_calls_than_a_page_are_all_found() -> None:
    async with live(calls_in("completed")) as gateway:
        subscriber = Subscriber(gateway.subscriptions.calls([ListCalls()]))
        subscriber.take(999)
        await settle()
        await gateway.poll(MIN_INTERVAL)
        gateway.twilio.calls[:0] = [call(number, status="busy") for number in range(200, 80, -1)]
        gateway.twilio.asked()
        await gateway.poll(MIN_INTERVAL)
        await settle()
        await subscriber.leave()

    assert len(gateway.twilio.asked()) == 3
    assert len(subscriber.updates) == 120


async def test_of_two_gateways_one_polls_and_both_get_the_event() -> None:
    """The store keeps the lease; when its holder has left, the other polls."""
    time = [0.0]
    store = MemoryStore(now=lambda: time[0])
    async with (
        live(calls_in("ringing"), store=store) as a,
        live(a.twilio, store=store) as b,
        subscribed(b, 1) as (staying,),
    ):
        staying.take(9)
        async with subscribed(a, 1) as (leaving,):
            leaving.take(9)
            a.set_status(1, "in-progress")
            polls = [await a.poll(MIN_INTERVAL), await b.poll(MIN_INTERVAL)]
            await settle()
            both = a.twilio.asked()
        a.set_status(1, "completed")
        for _ in range(5):
            time[0] += 5
            await b.poll(5)
        await staying.end()

    # Each reads the call for its own subscribers: one by its poll, the other for the event.
    assert polls == [[sid("CA", 1)]] * 2
    assert both == [f"GET Calls/{sid('CA', 1)}"] * 2
    assert leaving.statuses == ["ringing", "in-progress"]
    assert staying.statuses == ["ringing", "in-progress", "completed"]


async def test_a_poll_that_fails_delays_no_other_of_its_round() -> None:
    """A call that changed is polled again soon, although the other one is unreadable."""
    async with (
        live(calls_in("ringing", "queued")) as gateway,
        subscribed(gateway, 1, 2) as (_, other),
    ):
        other.take(9)
        gateway.twilio.fault = lambda request: (
            httpx.Response(503) if sid("CA", 1) in request.url.path else None
        )
        for status in ("ringing", "in-progress", "completed"):
            gateway.set_status(2, status)
            await gateway.poll(MIN_INTERVAL)
        await other.end()

    assert other.statuses == ["queued", "ringing", "in-progress", "completed"]


async def test_a_list_of_the_newest_that_fails_delays_no_call() -> None:
    async with live(calls_in("ringing")) as gateway, subscribed(gateway, 1) as (subscriber,):
        everybody = Subscriber(gateway.subscriptions.calls([ListCalls()]))
        await settle()
        gateway.twilio.fault = lambda request: (
            httpx.Response(503) if b"PageSize=50" in request.url.query else None
        )
        gateway.twilio.asked()
        gateway.set_status(1, "completed")
        await gateway.poll(MIN_INTERVAL)
        await subscriber.end()
        await everybody.leave()

    assert gateway.twilio.asked() == [f"GET Calls/{sid('CA', 1)}", NEWEST]
    assert subscriber.statuses == ["ringing", "completed"]


WITHIN = 4
"""Seconds: a request that hangs times out after 5."""


class Hanging(PlainTwilio):
    """An account that does not answer requests of one path, until `is_free` is set."""

    hung = ""
    is_free = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.hung and self.hung in request.url.path:
            self.requests.append(describe(request))
            await self.is_free.wait()
        return await super().handle_async_request(request)


@pytest.fixture
def hanging() -> Hanging:
    """Three calls; a test may let the reads of one hang."""
    account = Hanging([call(number, status="queued") for number in (1, 2, 3)])
    account.is_free = asyncio.Event()
    return account


async def test_a_poll_that_hangs_delays_no_other_and_is_not_started_twice(hanging: Hanging) -> None:
    async with live(hanging) as gateway, subscribed(gateway, 1, 2) as (slow, quick):
        for subscriber in (slow, quick):
            subscriber.take(9)
        hanging.hung = sid("CA", 1)
        gateway.set_status(2, "ringing")
        first = asyncio.ensure_future(gateway.poll(MIN_INTERVAL))
        await settle()
        gateway.set_status(2, "completed")
        polled = await gateway.poll(MIN_INTERVAL)
        await quick.end()
        hanging.is_free.set()
        gateway.set_status(1, "busy")
        await first
        await slow.end()

    assert polled == [sid("CA", 2)]
    assert hanging.requests.count(f"GET Calls/{sid('CA', 1)}") == 2  # one of them hung
    assert quick.statuses == ["queued", "ringing", "completed"]
    assert slow.statuses == ["queued", "busy"]


async def test_the_poller_runs_on_while_a_poll_hangs(hanging: Hanging) -> None:
    """A later round polls what is due, although an earlier one has not ended."""
    async with (
        asyncio.timeout(WITHIN),
        live(hanging) as gateway,
        subscribed(gateway, 1, 2) as (slow, quick),
    ):
        quick.take(9)
        hanging.hung = sid("CA", 1)
        gateway.set_status(2, "ringing")
        gateway.now += MIN_INTERVAL
        running = asyncio.ensure_future(gateway.poller.run())
        await quick.until_received(2)
        gateway.now += MIN_INTERVAL
        gateway.set_status(2, "completed")
        async with subscribed(gateway, 3):  # a new subscriber makes the poller read its clock
            await quick.end()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        statuses = slow.statuses

    assert quick.statuses == ["queued", "ringing", "completed"]
    assert statuses == ["queued"]


async def test_the_poller_goes_on_by_itself() -> None:
    """After a round that has ended, with nothing else due and no new subscriber."""
    hours = itertools.count()  # the clock: each reading is an hour later
    async with asyncio.timeout(WITHIN), live(calls_in("queued")) as gateway:
        poller = Poller(gateway.reader, gateway.store, lambda: 3600.0 * next(hours))
        running = asyncio.ensure_future(poller.run())
        with poller.following(sid("CA", 1), lambda _: None):
            while len(gateway.twilio.requests) < 5:  # noqa: ASYNC110 (nothing to await)
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert set(gateway.twilio.requests) == {f"GET Calls/{sid('CA', 1)}"}


async def test_a_list_that_hangs_delays_no_call_for_long(hanging: Hanging) -> None:
    async with (
        asyncio.timeout(WITHIN),
        live(hanging) as gateway,
        subscribed(gateway, 1) as (subscriber,),
    ):
        everybody = Subscriber(gateway.subscriptions.calls([ListCalls()]))
        everybody.take(9)
        await settle()
        hanging.hung = "Calls.json"
        gateway.set_status(1, "completed")
        polling = asyncio.ensure_future(gateway.poll(MIN_INTERVAL))
        await subscriber.end()
        was_over = polling.done()
        hanging.is_free.set()
        await polling
        await everybody.leave()

    assert subscriber.statuses == ["queued", "completed"]
    assert not was_over
