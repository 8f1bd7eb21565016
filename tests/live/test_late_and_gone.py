"""A 404 of a watched call: late, while it was heard of lately; gone, once it lasts."""

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
from gateway.live.polling import CALM, SELDOM, SOONEST
from gateway.live.snapshots import READ_LAG
from gateway.live.store import MemoryStore
from gateway.upstream.calls import CallDirection, CallStatus, ListCalls
from tests.live.stage import CALL, NOW, event
from tests.live.watched import Room, Watcher, room, settle
from tests.plain_twilio import ACCOUNT, PlainTwilio, call, sid

READ = f"GET Calls/{CALL}"
NEWEST = "GET Calls?PageSize=50"
ALL = [ListCalls()]


async def watching(there: Room, number: int = 1) -> Watcher:
    """Somebody who watches a call and takes whatever comes."""
    watcher = Watcher(there.watching.call(sid("CA", number)))
    watcher.take(1000)
    await settle()
    return watcher


async def made(there: Room, status: str = "queued", **given: Any) -> None:
    """A mutation through some gateway made the call; upstream shows it when it likes."""
    await there.store.publish(event(status, source=EventSource.MUTATION, **given))


async def test_a_call_that_was_just_made_is_watched_before_upstream_shows_it() -> None:
    async with room(PlainTwilio()) as there:
        await made(there)
        watcher = await watching(there)
        await there.look(1)
        await there.look(1.5)
        there.twilio.calls.append(call(1, status="ringing"))
        await there.look(2.25)
        await settle()
        there.becomes(1, "completed")
        await there.look(1)
        await watcher.end()

    assert watcher.statuses == ["queued", "ringing", "completed"]
    assert [update.source for update in watcher.told] == [None, EventSource.POLL, EventSource.POLL]
    # Each news that a look brings is in the row of that look: nothing is asked besides.
    assert there.twilio.asked() == [READ] * 5


async def test_what_the_store_knows_of_it_is_told_and_the_rest_is_none() -> None:
    async with room(PlainTwilio()) as there:
        await made(there, to="+14155550123", direction="outbound-api")
        known = (await anext(there.watching.call(CALL))).row
        await there.store.publish(event("ringing", of=sid("CA", 2)))
        hardly = (await anext(there.watching.call(sid("CA", 2)))).row

    assert (known.status, known.direction) == (CallStatus.QUEUED, CallDirection.OUTBOUND_API)
    assert (known.account_sid, known.to, known.from_) == (ACCOUNT, "+14155550123", None)
    assert (hardly.status, hardly.direction) == (CallStatus.RINGING, CallDirection.UNKNOWN)
    assert (hardly.account_sid, hardly.date_created) == (ACCOUNT, None)


async def test_a_final_state_that_was_heard_of_is_told_while_upstream_lags() -> None:
    async with room(PlainTwilio()) as there:
        await there.store.publish(event("completed", 3, duration="17"))
        watcher = await watching(there)
        await watcher.end()

    assert watcher.statuses == ["completed"]
    assert watcher.told[0].row.duration == 17


@pytest.mark.parametrize("ahead", [-READ_LAG - 0.1, READ_LAG + 0.1], ids=["earlier", "later"])
async def test_what_was_not_heard_of_within_the_lag_is_no_call(ahead: float) -> None:
    """Another gateway's clock may be wrong: what it heard of in an hour is not waited for."""
    async with room(PlainTwilio()) as there:
        await made(there, at=NOW + timedelta(seconds=ahead))
        with pytest.raises(CallNotFound):
            await anext(there.watching.call(CALL))


async def test_a_call_that_upstream_never_shows_ends_once_the_lag_is_over() -> None:
    async with room(PlainTwilio()) as there:
        await made(there)
        watcher = await watching(there)
        while there.now < READ_LAG - 1:
            await there.look(1)
        early = watcher.is_over
        while there.now <= READ_LAG + SELDOM and not watcher.is_over:
            await there.look(1)
            await settle()
        there.twilio.asked()
        looked = await there.look(100)

        assert not early
        with pytest.raises(CallNotFound):
            await watcher.end()
    assert watcher.statuses == ["queued"]
    assert (looked, there.twilio.asked()) == ([], [])


async def test_a_deleted_call_ends_after_two_404s_further_apart_than_the_lag() -> None:
    async with room(PlainTwilio([call(1, status="in-progress")])) as there:
        watcher = await watching(there)
        await there.look(SOONEST)
        there.twilio.calls.clear()
        await there.look(SOONEST)
        missed = there.now
        lasting = []
        while not watcher.is_over and there.now < 100:
            lasting.append(there.now - missed)
            await there.look(0.5)
            await settle()
        asked = there.twilio.asked()
        looked = await there.look(1000)

        with pytest.raises(CallNotFound):
            await watcher.end()
    assert READ_LAG <= lasting[-1] <= READ_LAG + SELDOM
    assert watcher.statuses == ["in-progress"]
    assert asked == [READ] * len(asked)
    assert (looked, there.twilio.asked()) == ([], [])


async def test_a_404_between_two_reads_that_show_the_call_ends_nothing() -> None:
    """Reads that are answered by a replica which lags."""
    async with room(PlainTwilio([call(1, status="in-progress")])) as there:
        watcher = await watching(there)
        rows = list(there.twilio.calls)
        for number in range(20):
            there.twilio.calls[:] = [] if number % 2 else rows
            await there.look(SELDOM)
        over = watcher.is_over
        there.twilio.calls[:] = [call(1, status="busy")]
        await there.look(SELDOM)
        await watcher.end()

    assert not over
    assert watcher.statuses == ["in-progress", "busy"]


@pytest.mark.parametrize("watches_all", [False, True], ids=["alone", "among all"])
async def test_one_404_right_after_the_beginning_ends_nothing(watches_all: bool) -> None:
    """The beginning has shown the call, by itself or in a list; another gateway looked since."""
    async with room(PlainTwilio([call(1, status="ringing")])) as there:
        updates = there.watching.calls(ALL) if watches_all else there.watching.call(CALL)
        watcher = Watcher(updates)
        watcher.take(99)
        await settle()
        rows, there.twilio.calls[:] = list(there.twilio.calls), []
        await there.look(READ_LAG + 1)
        there.twilio.calls[:] = rows
        there.becomes(1, "completed")
        await there.look(SELDOM)
        await settle()
        await watcher.leave()

    assert watcher.statuses == ["ringing", "completed"]


async def test_who_does_not_read_is_told_what_waits_before_the_end() -> None:
    async with room(PlainTwilio([call(1, status="queued")])) as there:
        slow = Watcher(there.watching.call(CALL))
        await settle()
        there.becomes(1, "ringing")
        await there.look(1)
        there.twilio.calls.clear()
        for _ in range(40):
            await there.look(1)
        looked = await there.look(1000)

        with pytest.raises(CallNotFound):
            await slow.end()
    assert slow.statuses == ["queued", "ringing"]
    assert looked == []


async def test_among_all_calls_one_that_is_deleted_is_looked_at_no_more() -> None:
    async with room(PlainTwilio([call(2, status="ringing"), call(1, status="ringing")])) as there:
        watcher = Watcher(there.watching.calls(ALL))
        watcher.take(99)
        await settle()
        await there.look(SOONEST)
        del there.twilio.calls[1]
        for _ in range(60):
            await there.look(1)
        there.twilio.asked()
        for _ in range(60):
            await there.look(1)
        asked = there.twilio.asked()
        there.becomes(2, "completed")
        await there.look(SELDOM)
        await settle()
        await watcher.leave()

    assert READ not in asked
    assert NEWEST in asked
    assert watcher.statuses == ["ringing", "ringing", "completed"]


async def test_a_call_that_is_gone_is_kept_nowhere() -> None:
    """Who tries to watch it later, while others watch all calls, makes nobody look again."""
    async with room(PlainTwilio([call(1, status="ringing")])) as there:
        everybody = Watcher(there.watching.calls(ALL))
        everybody.take(99)
        await settle()
        there.twilio.calls.clear()
        for _ in range(60):
            await there.look(1)
        with pytest.raises(CallNotFound):
            await anext(there.watching.call(CALL))
        there.twilio.asked()
        for _ in range(60):
            await there.look(1)
        await everybody.leave()

    assert set(there.twilio.asked()) == {NEWEST}


async def test_a_row_that_upstream_shows_takes_the_place_of_what_was_only_heard() -> None:
    """News that cannot be read are told with the rest of the row that was read last."""
    async with room(PlainTwilio()) as there:
        await made(there)
        watcher = await watching(there)
        await there.store.publish(event("ringing", 1, at=there.utc()))
        await settle()
        there.twilio.calls.append(call(1, status="ringing", caller_name="ADA"))
        await there.look(CALM)
        there.twilio.fault = lambda _: httpx.Response(503)
        await there.store.publish(event("busy", 2, at=there.utc()))
        await watcher.end()

    assert watcher.statuses == ["queued", "ringing", "busy"]
    assert [update.row.caller_name for update in watcher.told] == [None, None, "ADA"]


async def test_of_many_calls_those_that_are_deleted_end_and_the_others_go_on() -> None:
    """They are in none of the lists, so they are asked for by themselves."""
    numbers = range(1, 7)
    async with room(PlainTwilio([call(n, status="ringing") for n in numbers])) as there:
        watchers = [await watching(there, number) for number in numbers]
        await there.look(SOONEST)
        del there.twilio.calls[:2]
        for _ in range(60):
            await there.look(1)
        await settle()
        over = [watcher.is_over for watcher in watchers]
        for watcher in watchers[:2]:
            with pytest.raises(CallNotFound):
                await watcher.end()
        for watcher in watchers[2:]:
            await watcher.leave()

    assert over == [True] * 2 + [False] * 4


async def test_a_deleted_call_ends_at_every_gateway() -> None:
    """One looks for both. When its watchers have gone, the other finds out by itself."""
    time = [0.0]
    store = MemoryStore(now=lambda: time[0])
    async with (
        room(PlainTwilio([call(1, status="ringing")]), store=store) as a,
        room(a.twilio, store=store) as b,
    ):
        watchers = [await watching(one) for one in (a, b)]
        a.twilio.calls.clear()
        for _ in range(150):
            time[0] += 1
            for one in (a, b):
                await one.look(1)
        await settle()

        for watcher in watchers:
            assert watcher.is_over
            with pytest.raises(CallNotFound):
                await watcher.end()


Step = tuple[str, Any]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("shows"), st.booleans()),
        st.just(("hears", None)),
        st.tuples(st.just("passes"), st.sampled_from([0.5, 1.0, 3.0, 9.0, 11.0, 30.0, 60.0])),
    ),
    max_size=40,
)


@given(STEPS)
@example([("hears", None), ("passes", 60.0), ("passes", 60.0)])
@example([("shows", True), ("hears", None), ("shows", False), ("passes", 60.0), ("passes", 60.0)])
def test_a_watch_ends_at_the_first_404_that_is_no_lag_and_at_no_other(steps: list[Step]) -> None:
    """Whatever upstream shows and whatever is heard, against the rule said in plain Python."""
    ended, expected = asyncio.run(_watched_and_expected(steps))

    assert ended == expected


async def _watched_and_expected(steps: Sequence[Step]) -> tuple[float | None, float | None]:
    """When the watch ended, and when it should have, in seconds; None where it goes on."""
    row = call(1, status="ringing")
    expected: float | None = None
    ended: float | None = None
    async with room(PlainTwilio()) as there:
        await made(there)
        recent_call, missing = 0.0, float("-inf")
        watcher = await watching(there)
        there.twilio.asked()
        for kind, given_ in steps:
            if kind == "shows":
                there.twilio.calls[:] = [row] if given_ else []
            elif kind == "hears":
                news = event("ringing", 1, at=there.utc(), caller_name=str(there.now))
                await there.store.publish(news)
                recent_call = there.now
            else:
                await there.look(given_)
            await settle()
            for _ in there.twilio.asked():  # news are read, too
                if there.twilio.calls:
                    missing = float("inf")
                elif kind == "passes":
                    missing = min(missing, there.now)
                    is_late = there.now - recent_call <= READ_LAG
                    if not is_late and there.now - missing > READ_LAG and expected is None:
                        expected = there.now
            if watcher.is_over:
                ended = there.now
                break
        if watcher.is_over:
            with pytest.raises(CallNotFound):
                await watcher.end()
        else:
            await watcher.leave()
    return ended, expected


async def test_upstream_in_trouble_is_no_404() -> None:
    async with room(PlainTwilio([call(1, status="ringing")])) as there:
        watcher = await watching(there)
        there.twilio.fault = lambda _: httpx.Response(503)
        for _ in range(20):
            await there.look(SELDOM)
        over = watcher.is_over
        await watcher.leave()

    assert not over
