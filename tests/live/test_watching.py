"""What a watcher is told: the state now, every news once, never an older one, always the last."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadUserInput, CallNotFound, GatewayError, TooManySubscribers
from gateway.live.events import PLACE, EventSource
from gateway.live.store import MemoryStore
from gateway.live.subscriptions import CallUpdate
from gateway.upstream.calls import AnsweredBy, CallStatus, FetchCall, ListCalls
from tests.live.stage import event
from tests.live.watched import Room, Watcher, room, settle
from tests.plain_twilio import call, calls_in, sid

LIVES = [
    ["queued", "ringing", "in-progress", "completed"],
    ["queued", "ringing", "busy"],
    ["queued", "ringing", "no-answer"],
    ["queued", "canceled"],
    ["queued", "failed"],
]
ALL = [ListCalls()]


async def first(there: Room, number: int = 1) -> CallUpdate:
    """What somebody who comes now is told at first."""
    updates = there.watching.call(sid("CA", number))
    update = await anext(updates)
    await updates.aclose()
    return update


async def test_a_watcher_begins_with_the_call_as_it_is() -> None:
    async with room(calls_in("ringing")) as there:
        update = await first(there)

    assert (update.row.status, update.previous, update.source) == (CallStatus.RINGING, None, None)
    assert there.twilio.requests == [f"GET Calls/{sid('CA', 1)}"]


async def test_a_call_that_has_ended_is_told_once_and_that_is_all() -> None:
    async with room(calls_in("completed")) as there:
        watcher = Watcher(there.watching.call(sid("CA", 1)))
        await watcher.end()

    assert watcher.statuses == ["completed"]


@pytest.mark.parametrize(("wanted", "error"), [(sid("CA", 9), CallNotFound), ("CA1", BadUserInput)])
async def test_what_is_no_call_cannot_be_watched(wanted: str, error: type[GatewayError]) -> None:
    async with room(calls_in("ringing")) as there:
        with pytest.raises(error):
            await anext(there.watching.call(wanted))


async def test_no_more_watch_than_may() -> None:
    async with room(calls_in("ringing"), limit=1) as there:
        sitting = there.watching.call(sid("CA", 1))
        await anext(sitting)
        with pytest.raises(TooManySubscribers):
            await first(there)
        await sitting.aclose()
        await first(there)


async def test_all_who_watch_a_call_share_one_read_of_its_news() -> None:
    async with room(calls_in("ringing")) as there:
        watchers = [Watcher(there.watching.call(sid("CA", 1))) for _ in range(20)]
        await settle()
        beginning = there.twilio.asked()
        there.becomes(1, "completed", duration="42")
        await there.store.publish(event("completed", 2))
        for watcher in watchers:
            await watcher.end()

    assert beginning == there.twilio.asked() == [f"GET Calls/{sid('CA', 1)}"]
    assert {tuple(watcher.statuses) for watcher in watchers} == {("ringing", "completed")}
    assert {watcher.told[-1].row.duration for watcher in watchers} == {42}


async def test_a_slow_watcher_misses_what_lies_between_and_never_the_last() -> None:
    async with room(calls_in("queued")) as there:
        slow = Watcher(there.watching.call(sid("CA", 1)))
        await settle()
        for status in ("ringing", "in-progress", "completed"):
            there.becomes(1, status)
            await there.store.publish(event(status))
            await settle()
        await slow.end()

    assert slow.statuses == ["queued", "completed"]
    assert slow.told[-1].previous is CallStatus.QUEUED


async def test_upstream_that_lags_behind_its_webhook_is_caught_up() -> None:
    """It is read once more; the status and what the webhook knows stand for the rest."""
    async with room(calls_in("in-progress")) as there:
        watcher = Watcher(there.watching.call(sid("CA", 1)))
        await settle()
        there.twilio.asked()
        there.becomes(1, "in-progress", caller_name="ADA")
        await there.store.publish(event("completed", 2, duration="17"))
        await watcher.end()

    assert there.twilio.asked() == [f"GET Calls/{sid('CA', 1)}"] * 2
    row = watcher.told[-1].row
    assert (row.status, row.duration, row.caller_name) == (CallStatus.COMPLETED, 17, "ADA")


@pytest.mark.parametrize("nothing", ["", None, {"a": 1}], ids=["empty", "null", "odd"])
async def test_a_row_that_does_not_say_its_status_has_the_one_that_the_webhook_told(
    nothing: Any,
) -> None:
    async with room(calls_in("in-progress")) as there:
        watcher = Watcher(there.watching.call(sid("CA", 1)))
        await settle()
        there.twilio.calls[0] |= {"status": nothing, "caller_name": "ADA"}
        await there.store.publish(event("completed", 2, duration="17"))
        await watcher.end()

    row = watcher.told[-1].row
    assert watcher.statuses == ["in-progress", "completed"]
    assert (row.status, row.duration, row.caller_name) == (CallStatus.COMPLETED, 17, "ADA")


async def test_upstream_that_fails_costs_no_state() -> None:
    async with room(calls_in("in-progress")) as there:
        one = Watcher(there.watching.call(sid("CA", 1)))
        all_ = Watcher(there.watching.calls(ALL))
        await settle()
        all_.take(9)
        there.twilio.fault = lambda _: httpx.Response(503)
        await there.store.publish(event("completed", 2, duration="17"))
        await there.store.publish(event("ringing", 1, of=sid("CA", 7), to="+15005550006"))
        await one.end()
        await all_.until_told(3)
        unknown = all_.told[-1].row
        await all_.leave()

    assert one.statuses == ["in-progress", "completed"]
    assert one.told[-1].row.duration == 17
    assert all_.statuses == ["in-progress", "completed", "ringing"]
    assert (unknown.sid, unknown.to, unknown.from_) == (sid("CA", 7), "+15005550006", None)


async def test_upstream_that_is_ahead_is_news_for_everybody() -> None:
    """Ringing is heard, completed is read: that is told, and what is heard later is old."""
    async with room(calls_in("queued")) as there:
        watchers = [Watcher(there.watching.call(sid("CA", 1))) for _ in range(2)]
        await settle()
        there.becomes(1, "completed")
        await there.store.publish(event("ringing"))
        await settle()
        await there.store.publish(event("in-progress"))
        for watcher in watchers:
            await watcher.end()
        state = there.store.state(sid("CA", 1))

    assert [watcher.statuses for watcher in watchers] == [["queued", "completed"]] * 2
    assert state is not None
    assert state.status is CallStatus.COMPLETED


async def test_a_notice_that_shows_nothing_new_is_not_told() -> None:
    """A poll has told of it; then the webhook comes, with facts that the row had already."""
    async with room(calls_in("queued")) as there:
        watcher = Watcher(there.watching.call(sid("CA", 1)))
        watcher.take(9)
        await settle()
        there.becomes(1, "ringing")
        await there.store.publish(event("ringing", source=EventSource.POLL))
        await settle()
        await there.store.publish(event("ringing", 1, to="+18005550100"))
        await settle()
        there.becomes(1, "completed")
        await there.store.publish(event("completed", 2))
        await watcher.end()

    assert watcher.statuses == ["queued", "ringing", "completed"]


async def test_a_watcher_remembers_what_the_store_has_forgotten() -> None:
    """A webhook so late that the call's state made room for others': nothing is asked for it."""
    async with room(calls_in("in-progress"), store=MemoryStore(max_calls=1)) as there:
        watcher = Watcher(there.watching.call(sid("CA", 1)))
        watcher.take(9)
        await settle()
        there.twilio.asked()
        await there.store.publish(event("queued", of=sid("CA", 2)))
        forgotten = there.store.state(sid("CA", 1))
        await there.store.publish(event("ringing"))
        await settle()
        await watcher.leave()

    assert forgotten is None
    assert there.twilio.asked() == []
    assert watcher.statuses == ["in-progress"]


async def test_a_status_that_is_new_to_the_gateway_is_told_and_does_not_stand_in_the_way() -> None:
    async with room(calls_in("on-hold")) as there:
        watcher = Watcher(there.watching.call(sid("CA", 1)))
        await settle()
        there.becomes(1, "completed")
        await there.store.publish(event("completed", 3))
        await watcher.end()

    assert watcher.statuses == ["unknown", "completed"]


async def test_news_that_come_while_a_read_is_under_way_are_read_again() -> None:
    """The poller's read began before the news: it is joined, and what it brings hides nothing."""
    async with room(calls_in("in-progress")) as there:
        quick, slow = [Watcher(there.watching.call(sid("CA", 1))) for _ in range(2)]
        quick.take(9)
        await settle()
        there.twilio.delay = 0.02
        looking = asyncio.ensure_future(there.look(1))
        await settle()
        row = dict(there.twilio.calls[0])
        there.twilio.fault = lambda _: httpx.Response(200, json=row) if row else None
        await there.store.publish(event("in-progress", 2, answered_by="human"))
        await looking
        row.clear()
        there.becomes(1, "in-progress", answered_by="human")
        await quick.until_told(2)
        slow.take(9)
        await slow.until_told(2)
        for watcher in (quick, slow):
            await watcher.leave()

    assert quick.told[-1].row.answered_by is AnsweredBy.HUMAN
    assert slow.told[-1].row.answered_by is AnsweredBy.HUMAN


async def test_an_older_row_that_comes_in_later_hides_no_news() -> None:
    """A look that was slow brings what it read before the news; who is slow is told the news."""
    async with room(calls_in("in-progress")) as there:
        quick, slow = [Watcher(there.watching.call(sid("CA", 1))) for _ in range(2)]
        quick.take(9)
        await settle()
        older = await there.client.fetch(FetchCall(sid=sid("CA", 1)))
        there.becomes(1, "in-progress", answered_by="human")
        await there.store.publish(event("in-progress", 2, answered_by="human"))
        await quick.until_told(2)
        assert older is not None
        await there.rows.note(older)
        slow.take(9)
        await slow.until_told(2)
        for watcher in (quick, slow):
            await watcher.leave()

    assert slow.told[-1].row.answered_by is AnsweredBy.HUMAN


async def test_who_watches_all_calls_begins_with_the_live_ones() -> None:
    async with room(calls_in("completed", "ringing", "queued", "in-progress")) as there:
        watcher = Watcher(there.watching.calls(ALL))
        watcher.take(9)
        await settle()
        there.twilio.calls.insert(0, call(5, status="ringing"))
        await there.store.publish(event("ringing", of=sid("CA", 5)))
        await settle()
        await watcher.leave()

    assert watcher.statuses == ["queued", "ringing", "in-progress", "ringing"]
    assert [update.source for update in watcher.told] == [None, None, None, EventSource.WEBHOOK]
    assert sorted(there.twilio.requests) == [
        f"GET Calls/{sid('CA', 5)}",
        "GET Calls?Status=in-progress&PageSize=1000",
        "GET Calls?Status=queued&PageSize=1000",
        "GET Calls?Status=ringing&PageSize=1000",
    ]


async def test_a_filter_holds_at_the_beginning_and_later() -> None:
    wanted = [ListCalls(to="+1", status=status) for status in (CallStatus.RINGING, CallStatus.BUSY)]
    async with room(calls_in("ringing", "ringing", "queued")) as there:
        for number, to in ((1, "+1"), (2, "+2"), (3, "+1")):
            there.becomes(number, there.twilio.calls[number - 1]["status"], to=to)
        watcher = Watcher(there.watching.calls(wanted))
        watcher.take(9)
        await settle()
        for number in (1, 2, 3):
            for status in ("in-progress", "busy") if number == 3 else ("busy",):
                there.becomes(number, status)
                await there.store.publish(event(status, of=sid("CA", number)))
                await settle()
        await watcher.leave()

    told = [(update.row.sid, update.row.status, update.previous) for update in watcher.told]
    assert told == [
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
        st.tuples(st.just("look"), st.sampled_from([1.0, 5.0, 70.0])),
    ),
    max_size=25,
)


@given(st.sampled_from(LIVES), STEPS, st.booleans())
def test_the_last_state_told_is_the_calls_last_state_and_none_goes_back(
    life: list[str], steps: Sequence[Step], watches_all: bool
) -> None:
    """Webhooks come late, twice, shuffled or never, upstream lags and fails, readers are slow."""
    told = asyncio.run(_watched(life, steps, watches_all))
    statuses = [update.row.status for update in told]
    places = [PLACE[status] for status in statuses if status]

    assert statuses[-1] is CallStatus(life[-1])
    assert places == sorted(places)
    assert [update.previous for update in told] == [None, *statuses[:-1]]
    assert statuses.count(statuses[-1]) == 1


async def _watched(life: list[str], steps: Sequence[Step], watches_all: bool) -> list[CallUpdate]:
    async with room(calls_in(life[0])) as there:
        lists = there.watching.calls(ALL)
        watcher = Watcher(lists if watches_all else there.watching.call(sid("CA", 1)))
        await settle()
        await settle()
        at, lag = 0, 0
        for kind, given_ in steps:
            match kind:
                case "goes on":
                    at = min(at + 1, len(life) - 1)
                case "webhook":
                    status = life[min(given_, at)]
                    await there.store.publish(event(status, min(given_, at)))
                case "take":
                    watcher.take(given_)
                case "lags":
                    lag = given_
                case "fails":
                    there.twilio.fault = (lambda _: httpx.Response(503)) if given_ else None
                case "look":
                    await there.look(given_)
            there.becomes(1, life[max(at - lag, 0)])
            await settle()
        # In the end the call ends, upstream works, and all that is left is that somebody looks.
        there.twilio.fault = None
        there.becomes(1, life[-1])
        await there.look(70)
        await there.look(70)
        if watches_all:
            watcher.take(1000)
            await settle()
            await watcher.leave()
        else:
            await watcher.end()
        return watcher.told
