"""When watched calls are looked at, by which requests, and by which gateway."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.live.events import EventSource
from gateway.live.polling import CALM, SELDOM, SLACK, SOONEST, Poller, Schedule
from gateway.live.store import MemoryStore
from gateway.upstream.calls import CallStatus, ListCalls
from tests.live.stage import event
from tests.live.watched import Room, Watcher, room, settle
from tests.plain_twilio import PlainTwilio, call, calls_in, describe, sid

A, B = "CA-a", "CA-b"
OPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "drop", "heard", "looked", "not seen"]),
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
def test_what_is_scheduled_is_due_within_its_time_and_not_at_once(
    ops: list[tuple[str, str, str, float]],
) -> None:
    """Within CALM after a webhook, else within SELDOM; never sooner than SOONEST."""
    schedule, now, there = Schedule(), 0.0, set()
    for op, name, status, seconds in ops:
        now += seconds
        match op:
            case "add":
                is_new = name not in schedule
                schedule.add(name, now)
                there.add(name)
                assert not is_new or schedule.next_due() is not None
            case "drop":
                schedule.drop(name)
                there.discard(name)
            case "heard":
                schedule.recent_call(name, now)
            case "looked":
                schedule.looked(name, status, now)
            case "not seen":
                schedule.looked(name, None, now)
        if op in {"heard", "looked", "not seen"} and name in there:
            assert name not in schedule.due(now + SOONEST - 0.001)
        assert set(schedule.due(now + CALM)) == there
    for name in there:
        schedule.looked(name, "in-progress", now)
    assert set(schedule.due(now + SELDOM)) == there
    assert (schedule.next_due() is None) == (not there)


@given(st.lists(st.tuples(st.sampled_from(["begin", "end A", "end B"]), st.floats(0, 90))))
def test_what_is_under_way_is_in_no_other_round(ops: list[tuple[str, float]]) -> None:
    schedule, now, under_way = Schedule(), 0.0, set[str]()
    for name in (A, B):
        schedule.add(name, now)
    for op, seconds in ops:
        now += seconds
        if op == "begin":
            begun = schedule.begin(now)
            assert not under_way.intersection(begun)
            under_way.update(begun)
        else:
            name = {"end A": A, "end B": B}[op]
            schedule.looked(name, None, now)
            under_way.discard(name)
        assert {name for name in (A, B) if schedule.is_under_way(name)} == under_way
        assert set(schedule.due(now + CALM)) == {A, B} - under_way
        assert (schedule.next_due() is None) == (under_way == {A, B})


def test_a_call_that_does_not_change_is_looked_at_ever_more_seldom() -> None:
    schedule, now, pauses = Schedule(), 0.0, []
    schedule.add(A, now)
    for found in ("queued", *["ringing"] * 9, "in-progress", "in-progress"):
        due = schedule.next_due()
        assert due is not None
        pauses.append(round(due - now, 3))
        now = due
        schedule.looked(A, found, now)

    growing = [1.5**times for times in range(1, 7)]
    assert pauses[:3] == [SOONEST] * 3
    assert pauses[3:9] == [round(pause, 3) for pause in growing]
    assert pauses[9:] == [SELDOM, SELDOM, SOONEST]


@asynccontextmanager
async def watched(there: Room, *numbers: int) -> AsyncIterator[list[Watcher]]:
    """The calls, each with somebody who watches it; what that asked is forgotten."""
    watchers = [Watcher(there.watching.call(sid("CA", number))) for number in numbers]
    await settle()
    there.twilio.asked()
    yield watchers
    for watcher in watchers:
        await watcher.leave()


async def test_nothing_is_looked_at_that_nobody_watches() -> None:
    async with room(calls_in("ringing")) as there:
        async with watched(there, 1):
            pass
        looked = await there.look(100)

    assert looked == []
    assert there.twilio.requests == []


async def test_a_call_is_looked_at_once_for_all_who_watch_it() -> None:
    async with room(calls_in("ringing")) as there, watched(there, *[1] * 20) as watchers:
        there.becomes(1, "completed")
        await there.look(SOONEST)
        for watcher in watchers:
            await watcher.end()

    assert there.twilio.requests == [f"GET Calls/{sid('CA', 1)}"]
    assert {tuple(watcher.statuses) for watcher in watchers} == {("ringing", "completed")}
    assert {watcher.told[-1].source for watcher in watchers} == {EventSource.POLL}


async def test_many_calls_are_looked_at_by_the_three_lists() -> None:
    """Those that are in none of them have ended, and are asked for by themselves."""
    states = ["queued", "ringing", "in-progress", "ringing", "ringing"]
    async with room(calls_in(*states)) as there, watched(there, 1, 2, 3, 4, 5) as watchers:
        there.becomes(1, "ringing")
        there.becomes(5, "busy")
        await there.look(SOONEST)
        await watchers[4].end()
        watchers[0].take()
        await settle()

    assert there.twilio.asked() == sorted([*LISTS, f"GET Calls/{sid('CA', 5)}"])
    assert watchers[0].statuses == ["queued", "ringing"]
    assert watchers[4].statuses == ["ringing", "busy"]


async def test_while_webhooks_come_nobody_looks() -> None:
    async with room(calls_in("queued")) as there, watched(there, 1) as (watcher,):
        watcher.take(9)
        there.becomes(1, "ringing")
        await there.store.publish(event("ringing"))
        await settle()
        there.twilio.asked()
        early = await there.look(CALM - SLACK - 0.1)
        there.becomes(1, "completed")  # of which the webhook is lost
        late = await there.look(1)
        await watcher.end()

    assert (early, late) == ([], [sid("CA", 1)])
    assert there.twilio.asked() == [f"GET Calls/{sid('CA', 1)}"]
    assert watcher.statuses == ["queued", "ringing", "completed"]


async def test_upstream_in_trouble_is_asked_ever_more_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with room(calls_in("ringing")) as there, watched(there, 1) as (watcher,):
        there.twilio.fault = lambda _: httpx.Response(503)
        looks = [len(await there.look(1)) for _ in range(10)]
        there.twilio.fault = None
        there.becomes(1, "completed")
        await there.look(SELDOM)
        await watcher.end()

    assert looks[0] == 1
    assert sum(looks) <= 5
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    assert watcher.statuses == ["ringing", "completed"]


async def test_calls_that_nobody_told_of_are_found_among_the_newest() -> None:
    """Live ones, and those that have ended since the last look; not what had ended before."""
    async with room(calls_in("completed", "ringing")) as there:
        watcher = Watcher(there.watching.calls([ListCalls()]))
        watcher.take(99)
        await settle()
        there.twilio.asked()
        await there.look(SOONEST)
        first = there.twilio.asked()
        there.twilio.calls[:0] = [call(4, status="busy"), call(3, status="ringing")]
        there.becomes(2, "completed")
        await there.look(SOONEST)
        second = there.twilio.asked()
        await settle()
        await watcher.leave()

    assert (first, second) == ([NEWEST], [NEWEST])
    told = [(int(update.row.sid[2:], 16), update.row.status) for update in watcher.told]
    assert told == [
        (2, CallStatus.RINGING),
        (4, CallStatus.BUSY),
        (3, CallStatus.RINGING),
        (2, CallStatus.COMPLETED),
    ]


async def test_what_ended_while_nobody_watched_is_no_news_to_who_comes_later() -> None:
    async with room(calls_in("completed")) as there:
        for number in (2, 3):
            watcher = Watcher(there.watching.calls([ListCalls()]))
            watcher.take(9)
            await settle()
            await there.look(SOONEST)
            await settle()
            await watcher.leave()
            there.twilio.calls.insert(0, call(number, status="busy"))

    assert watcher.told == []


async def test_more_new_calls_than_a_page_are_all_found() -> None:
    async with room(calls_in("completed")) as there:
        watcher = Watcher(there.watching.calls([ListCalls()]))
        watcher.take(999)
        await settle()
        await there.look(SOONEST)
        there.twilio.calls[:0] = [call(number, status="busy") for number in range(200, 80, -1)]
        there.twilio.asked()
        await there.look(SOONEST)
        await settle()
        await watcher.leave()

    assert len(there.twilio.asked()) == 3
    assert len(watcher.told) == 120


async def test_of_two_gateways_one_looks_and_both_hear() -> None:
    """The lease is the store's; when its holder has gone, the other looks."""
    time = [0.0]
    store = MemoryStore(now=lambda: time[0])
    async with (
        room(calls_in("ringing"), store=store) as a,
        room(a.twilio, store=store) as b,
        watched(b, 1) as (staying,),
    ):
        staying.take(9)
        async with watched(a, 1) as (leaving,):
            leaving.take(9)
            a.becomes(1, "in-progress")
            looks = [await a.look(SOONEST), await b.look(SOONEST)]
            await settle()
            both = a.twilio.asked()
        a.becomes(1, "completed")
        for _ in range(5):
            time[0] += 5
            await b.look(5)
        await staying.end()

    # Each reads the news for its own watchers: one by its look, the other when it heard.
    assert looks == [[sid("CA", 1)]] * 2
    assert both == [f"GET Calls/{sid('CA', 1)}"] * 2
    assert leaving.statuses == ["ringing", "in-progress"]
    assert staying.statuses == ["ringing", "in-progress", "completed"]


async def test_a_look_that_fails_delays_no_other_of_its_round() -> None:
    """What changed is looked at again soon, although its neighbour could not be read."""
    async with room(calls_in("ringing", "queued")) as there, watched(there, 1, 2) as (_, other):
        other.take(9)
        there.twilio.fault = lambda request: (
            httpx.Response(503) if sid("CA", 1) in request.url.path else None
        )
        for status in ("ringing", "in-progress", "completed"):
            there.becomes(2, status)
            await there.look(SOONEST)
        await other.end()

    assert other.statuses == ["queued", "ringing", "in-progress", "completed"]


async def test_a_list_of_the_newest_that_fails_delays_no_call() -> None:
    async with room(calls_in("ringing")) as there, watched(there, 1) as (watcher,):
        everybody = Watcher(there.watching.calls([ListCalls()]))
        await settle()
        there.twilio.fault = lambda request: (
            httpx.Response(503) if b"PageSize=50" in request.url.query else None
        )
        there.twilio.asked()
        there.becomes(1, "completed")
        await there.look(SOONEST)
        await watcher.end()
        await everybody.leave()

    assert there.twilio.asked() == [f"GET Calls/{sid('CA', 1)}", NEWEST]
    assert watcher.statuses == ["ringing", "completed"]


WITHIN = 4
"""Seconds: a request that hangs is given up after 5."""


class Hanging(PlainTwilio):
    """An account that does not answer for one path, until it is let go."""

    hung = ""
    is_free = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.hung and self.hung in request.url.path:
            self.requests.append(describe(request))
            await self.is_free.wait()
        return await super().handle_async_request(request)


@pytest.fixture
def hanging() -> Hanging:
    """Three calls, of which the first cannot be read before it is let go."""
    account = Hanging([call(number, status="queued") for number in (1, 2, 3)])
    account.is_free = asyncio.Event()
    return account


async def test_a_look_that_hangs_delays_no_other_and_is_not_begun_twice(hanging: Hanging) -> None:
    async with room(hanging) as there, watched(there, 1, 2) as (slow, quick):
        for watcher in (slow, quick):
            watcher.take(9)
        hanging.hung = sid("CA", 1)
        there.becomes(2, "ringing")
        first = asyncio.ensure_future(there.look(SOONEST))
        await settle()
        there.becomes(2, "completed")
        looked = await there.look(SOONEST)
        await quick.end()
        hanging.is_free.set()
        there.becomes(1, "busy")
        await first
        await slow.end()

    assert looked == [sid("CA", 2)]
    assert hanging.requests.count(f"GET Calls/{sid('CA', 1)}") == 2  # one hung, then went on
    assert quick.statuses == ["queued", "ringing", "completed"]
    assert slow.statuses == ["queued", "busy"]


async def test_while_a_look_hangs_the_poller_runs_on(hanging: Hanging) -> None:
    """What a round leaves to a later one is due then, although the round has not ended."""
    async with (
        asyncio.timeout(WITHIN),
        room(hanging) as there,
        watched(there, 1, 2) as (slow, quick),
    ):
        quick.take(9)
        hanging.hung = sid("CA", 1)
        there.becomes(2, "ringing")
        there.now += SOONEST
        running = asyncio.ensure_future(there.poller.run())
        await quick.until_told(2)
        there.now += SOONEST
        there.becomes(2, "completed")
        async with watched(there, 3):  # the poller looks at its clock when somebody comes
            await quick.end()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        told = slow.statuses

    assert quick.statuses == ["queued", "ringing", "completed"]
    assert told == ["queued"]


async def test_the_poller_goes_on_by_itself() -> None:
    """After a round that has ended, when nothing else was due and nobody came."""
    hours = itertools.count()  # the clock: an hour passes whenever it is read
    async with asyncio.timeout(WITHIN), room(calls_in("queued")) as there:
        poller = Poller(there.rows, there.store, lambda: 3600.0 * next(hours))
        running = asyncio.ensure_future(poller.run())
        with poller.following(sid("CA", 1), lambda _: None):
            while len(there.twilio.requests) < 5:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert set(there.twilio.requests) == {f"GET Calls/{sid('CA', 1)}"}


async def test_a_list_that_hangs_delays_no_call_for_long(hanging: Hanging) -> None:
    async with asyncio.timeout(WITHIN), room(hanging) as there, watched(there, 1) as (watcher,):
        everybody = Watcher(there.watching.calls([ListCalls()]))
        everybody.take(9)
        await settle()
        hanging.hung = "Calls.json"
        there.becomes(1, "completed")
        looking = asyncio.ensure_future(there.look(SOONEST))
        await watcher.end()
        was_over = looking.done()
        hanging.is_free.set()
        await looking
        await everybody.leave()

    assert watcher.statuses == ["queued", "completed"]
    assert not was_over
