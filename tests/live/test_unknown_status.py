"""A watched call of unknown status, or that cannot be read: seldom looked at, and for a day."""

from typing import Any

import httpx
import pytest

from gateway.errors import UpstreamError, UpstreamInvalid
from gateway.live.polling import FEW, LONGEST_UNKNOWN, SELDOM, SOONEST
from tests.live.stage import CALL, event
from tests.live.test_late_and_gone import ALL, NEWEST, READ, watching
from tests.live.watched import Watcher, room, settle
from tests.plain_twilio import PlainTwilio, call


@pytest.mark.parametrize("odd", ["on-hold", "", None, 7])
async def test_a_status_that_cannot_be_told_is_looked_at_seldom_and_for_a_day(odd: Any) -> None:
    async with room(PlainTwilio([call(1, status=odd)])) as there:
        watcher = await watching(there)
        await there.look(SOONEST)
        there.twilio.asked()
        while there.now < 600:
            await there.look(1)
        looks = len(there.twilio.asked())
        await there.look(LONGEST_UNKNOWN - there.now)
        over = watcher.is_over
        await there.look(SELDOM)
        await watcher.end()
        there.twilio.asked()
        looked = await there.look(SELDOM)

    assert looks == 600 / SELDOM - 1
    assert not over
    assert watcher.statuses == ["unknown"]
    assert (looked, there.twilio.asked()) == ([], [])


UNREADABLE = [
    httpx.Response(200, text="<html>"),
    httpx.Response(200, json={"status": "ringing"}),
    httpx.Response(503),
]


@pytest.mark.parametrize("count", [1, FEW + 1])
@pytest.mark.parametrize("answer", UNREADABLE)
async def test_a_call_that_cannot_be_read_is_looked_at_seldom_and_for_a_day(
    answer: httpx.Response, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """One by one, and by the lists of live calls, which cannot be read either."""
    async with room(PlainTwilio([call(n, status="ringing") for n in range(count)])) as there:
        watchers = [await watching(there, number) for number in range(count)]
        there.twilio.fault = lambda _: httpx.Response(answer.status_code, content=answer.content)
        while there.now < 600:
            await there.look(SELDOM)
        there.twilio.asked()
        looks = [await there.look(1) for _ in range(600)]
        await there.look(LONGEST_UNKNOWN - there.now)
        over = [watcher.is_over for watcher in watchers]
        await there.look(SELDOM)
        for watcher in watchers:
            with pytest.raises(UpstreamError):
                await watcher.end()
        there.twilio.asked()
        looked = await there.look(LONGEST_UNKNOWN)

    assert sum(map(bool, looks)) == 600 / SELDOM
    assert not any(over)
    assert (looked, there.twilio.asked()) == ([], [])
    assert "internal error" not in caplog.text


async def test_who_watches_a_call_that_cannot_be_read_is_told_why_it_ends() -> None:
    async with room(PlainTwilio([call(1, status="ringing")])) as there:
        watcher = await watching(there)
        there.twilio.fault = lambda _: httpx.Response(200, text="<html>")
        await there.look(LONGEST_UNKNOWN + 1)
        with pytest.raises(UpstreamInvalid):
            await watcher.end()


async def test_a_call_that_can_be_read_again_within_the_day_goes_on() -> None:
    async with room(PlainTwilio([call(1, status="ringing")])) as there:
        watcher = await watching(there)
        for _ in range(3):
            there.twilio.fault = lambda _: httpx.Response(200, text="<html>")
            await there.look(LONGEST_UNKNOWN - SELDOM)
            there.twilio.fault = None
            await there.look(SELDOM)
        there.becomes(1, "completed")
        await there.look(SELDOM)
        await watcher.end()

    assert watcher.statuses == ["ringing", "completed"]


async def test_among_all_calls_one_that_cannot_be_read_is_dropped_after_a_day() -> None:
    """The newest calls can be read: it is not among them any more."""
    async with room(PlainTwilio([call(1, status="ringing")])) as there:
        watcher = Watcher(there.watching.calls(ALL))
        watcher.take(99)
        await settle()
        there.twilio.calls[:0] = [call(number) for number in range(100, 160)]
        there.twilio.fault = lambda request: (
            httpx.Response(200, text="<html>") if CALL in request.url.path else None
        )
        await there.look(SELDOM)
        await there.look(SELDOM)
        before = there.twilio.asked()
        for _ in range(2):
            await there.look(LONGEST_UNKNOWN)
        there.twilio.asked()
        await there.look(SELDOM)
        await there.look(SELDOM)
        after = there.twilio.asked()
        over = watcher.is_over
        await watcher.leave()

    assert READ in before
    assert READ not in after
    assert NEWEST in after
    assert not over


async def test_an_unknown_status_that_becomes_known_is_looked_at_as_any_other() -> None:
    async with room(PlainTwilio([call(1, status="on-hold")])) as there:
        watcher = await watching(there)
        await there.look(SOONEST)
        there.becomes(1, "in-progress")
        await there.look(SELDOM)
        there.becomes(1, "completed")
        await there.look(SOONEST)
        await watcher.end()

    assert watcher.statuses == ["unknown", "in-progress", "completed"]


async def test_a_day_of_unknown_status_begins_when_it_was_known_last() -> None:
    async with room(PlainTwilio([call(1, status="ringing")])) as there:
        watcher = await watching(there)
        for _ in range(int(LONGEST_UNKNOWN / 3600)):
            await there.look(3600)
        there.becomes(1, "on-hold")
        await there.look(SELDOM)
        early = watcher.is_over
        await there.look(LONGEST_UNKNOWN - SELDOM - 1)
        still = watcher.is_over
        await there.look(SELDOM + 2)
        await watcher.end()

    assert (early, still) == (False, False)
    assert watcher.statuses == ["ringing"]


async def test_a_day_of_unknown_status_begins_anew_when_a_webhook_tells_another() -> None:
    hours = 3600.0
    async with room(PlainTwilio([call(1, status="on-hold")])) as there:
        watcher = await watching(there)
        for _ in range(20):
            await there.look(hours)
        await there.store.publish(event("in-progress", 2, at=there.utc()))
        await settle()
        over = []
        for _ in range(30):
            await there.look(hours)
            await settle()
            over.append(watcher.is_over)
        await watcher.end()

    assert watcher.statuses == ["unknown", "in-progress"]
    assert over.index(True) == LONGEST_UNKNOWN / hours


async def test_among_all_calls_one_of_unknown_status_is_dropped_after_a_day() -> None:
    async with room(PlainTwilio([call(1, status="ringing")])) as there:
        watcher = Watcher(there.watching.calls(ALL))
        watcher.take(99)
        await settle()
        there.becomes(1, "on-hold")
        await there.look(SOONEST)
        there.twilio.calls[:0] = [call(number) for number in range(100, 160)]
        await there.look(SELDOM)
        await there.look(SELDOM)
        before = there.twilio.asked()
        for _ in range(2):
            await there.look(LONGEST_UNKNOWN)
        there.twilio.asked()
        await there.look(SELDOM)
        await there.look(SELDOM)
        after = there.twilio.asked()
        await settle()
        await watcher.leave()

    assert READ in before
    assert READ not in after
    assert NEWEST in after


async def test_news_that_upstream_shows_without_a_status_are_told_with_theirs() -> None:
    """A final one has to end the watch, whatever the row says."""
    async with room(PlainTwilio([call(1, status="in-progress")])) as there:
        watcher = await watching(there)
        there.becomes(1, "on-hold")
        await there.store.publish(event("completed", 3, at=there.utc(), duration="5"))
        await watcher.end()

    assert watcher.statuses == ["in-progress", "completed"]
