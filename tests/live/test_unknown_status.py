"""A watched call that is unreadable or of unknown status: polled seldom, and for a day."""

from typing import Any

import httpx
import pytest

from gateway.errors import UpstreamError, UpstreamInvalid
from gateway.live.polling import MAX_INTERVAL, MIN_INTERVAL, SINGLE_FETCH_MAX, UNKNOWN_TIMEOUT
from tests.live.stage import CALL, event
from tests.live.test_late_and_gone import ALL, NEWEST, READ, subscribe
from tests.live.watched import Subscriber, live, settle
from tests.plain_twilio import PlainTwilio, call


@pytest.mark.parametrize("odd", ["on-hold", "", None, 7])
async def test_a_call_of_unknown_status_is_polled_seldom_and_for_a_day(odd: Any) -> None:
    async with live(PlainTwilio([call(1, status=odd)])) as gateway:
        subscriber = await subscribe(gateway)
        await gateway.poll(MIN_INTERVAL)
        gateway.twilio.asked()
        while gateway.now < 600:
            await gateway.poll(1)
        polls = len(gateway.twilio.asked())
        await gateway.poll(UNKNOWN_TIMEOUT - gateway.now)
        over = subscriber.is_over
        await gateway.poll(MAX_INTERVAL)
        await subscriber.end()
        gateway.twilio.asked()
        polled = await gateway.poll(MAX_INTERVAL)

    assert polls == 600 / MAX_INTERVAL - 1
    assert not over
    assert subscriber.statuses == ["unknown"]
    assert (polled, gateway.twilio.asked()) == ([], [])


UNREADABLE = [
    httpx.Response(200, text="<html>"),
    httpx.Response(200, json={"status": "ringing"}),
    httpx.Response(503),
]


@pytest.mark.parametrize("count", [1, SINGLE_FETCH_MAX + 1])
@pytest.mark.parametrize("answer", UNREADABLE)
async def test_an_unreadable_call_is_polled_seldom_and_for_a_day(
    answer: httpx.Response, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """One by one, and by the lists of live calls, which are unreadable, too."""
    async with live(PlainTwilio([call(n, status="ringing") for n in range(count)])) as gateway:
        subscribers = [await subscribe(gateway, number) for number in range(count)]
        gateway.twilio.fault = lambda _: httpx.Response(answer.status_code, content=answer.content)
        while gateway.now < 600:
            await gateway.poll(MAX_INTERVAL)
        gateway.twilio.asked()
        polls = [await gateway.poll(1) for _ in range(600)]
        await gateway.poll(UNKNOWN_TIMEOUT - gateway.now)
        over = [subscriber.is_over for subscriber in subscribers]
        await gateway.poll(MAX_INTERVAL)
        for subscriber in subscribers:
            with pytest.raises(UpstreamError):
                await subscriber.end()
        gateway.twilio.asked()
        polled = await gateway.poll(UNKNOWN_TIMEOUT)

    assert sum(map(bool, polls)) == 600 / MAX_INTERVAL
    assert not any(over)
    assert (polled, gateway.twilio.asked()) == ([], [])
    assert "internal error" not in caplog.text


async def test_a_subscription_to_an_unreadable_call_ends_with_the_reason() -> None:
    async with live(PlainTwilio([call(1, status="ringing")])) as gateway:
        subscriber = await subscribe(gateway)
        gateway.twilio.fault = lambda _: httpx.Response(200, text="<html>")
        await gateway.poll(UNKNOWN_TIMEOUT + 1)
        with pytest.raises(UpstreamInvalid):
            await subscriber.end()


async def test_a_call_that_can_be_read_again_within_the_day_goes_on() -> None:
    async with live(PlainTwilio([call(1, status="ringing")])) as gateway:
        subscriber = await subscribe(gateway)
        for _ in range(3):
            gateway.twilio.fault = lambda _: httpx.Response(200, text="<html>")
            await gateway.poll(UNKNOWN_TIMEOUT - MAX_INTERVAL)
            gateway.twilio.fault = None
            await gateway.poll(MAX_INTERVAL)
        gateway.set_status(1, "completed")
        await gateway.poll(MAX_INTERVAL)
        await subscriber.end()

    assert subscriber.statuses == ["ringing", "completed"]


async def test_among_all_calls_one_that_cannot_be_read_is_dropped_after_a_day() -> None:
    """The newest calls are readable, but it is not among them any more."""
    async with live(PlainTwilio([call(1, status="ringing")])) as gateway:
        subscriber = Subscriber(gateway.subscriptions.calls(ALL))
        subscriber.take(99)
        await settle()
        gateway.twilio.calls[:0] = [call(number) for number in range(100, 160)]
        gateway.twilio.fault = lambda request: (
            httpx.Response(200, text="<html>") if CALL in request.url.path else None
        )
        await gateway.poll(MAX_INTERVAL)
        await gateway.poll(MAX_INTERVAL)
        before = gateway.twilio.asked()
        for _ in range(2):
            await gateway.poll(UNKNOWN_TIMEOUT)
        gateway.twilio.asked()
        await gateway.poll(MAX_INTERVAL)
        await gateway.poll(MAX_INTERVAL)
        after = gateway.twilio.asked()
        over = subscriber.is_over
        await subscriber.leave()

    assert READ in before
    assert READ not in after
    assert NEWEST in after
    assert not over


async def test_an_unknown_status_that_becomes_known_is_polled_as_any_other() -> None:
    async with live(PlainTwilio([call(1, status="on-hold")])) as gateway:
        subscriber = await subscribe(gateway)
        await gateway.poll(MIN_INTERVAL)
        gateway.set_status(1, "in-progress")
        await gateway.poll(MAX_INTERVAL)
        gateway.set_status(1, "completed")
        await gateway.poll(MIN_INTERVAL)
        await subscriber.end()

    assert subscriber.statuses == ["unknown", "in-progress", "completed"]


async def test_a_day_of_unknown_status_begins_when_it_was_known_last() -> None:
    async with live(PlainTwilio([call(1, status="ringing")])) as gateway:
        subscriber = await subscribe(gateway)
        for _ in range(int(UNKNOWN_TIMEOUT / 3600)):
            await gateway.poll(3600)
        gateway.set_status(1, "on-hold")
        await gateway.poll(MAX_INTERVAL)
        early = subscriber.is_over
        await gateway.poll(UNKNOWN_TIMEOUT - MAX_INTERVAL - 1)
        still = subscriber.is_over
        await gateway.poll(MAX_INTERVAL + 2)
        await subscriber.end()

    assert (early, still) == (False, False)
    assert subscriber.statuses == ["ringing"]


async def test_a_day_of_unknown_status_begins_again_with_a_webhook() -> None:
    hours = 3600.0
    async with live(PlainTwilio([call(1, status="on-hold")])) as gateway:
        subscriber = await subscribe(gateway)
        for _ in range(20):
            await gateway.poll(hours)
        await gateway.store.publish(event("in-progress", 2, at=gateway.utc()))
        await settle()
        over = []
        for _ in range(30):
            await gateway.poll(hours)
            await settle()
            over.append(subscriber.is_over)
        await subscriber.end()

    assert subscriber.statuses == ["unknown", "in-progress"]
    assert over.index(True) == UNKNOWN_TIMEOUT / hours


async def test_among_all_calls_one_of_unknown_status_is_dropped_after_a_day() -> None:
    async with live(PlainTwilio([call(1, status="ringing")])) as gateway:
        subscriber = Subscriber(gateway.subscriptions.calls(ALL))
        subscriber.take(99)
        await settle()
        gateway.set_status(1, "on-hold")
        await gateway.poll(MIN_INTERVAL)
        gateway.twilio.calls[:0] = [call(number) for number in range(100, 160)]
        await gateway.poll(MAX_INTERVAL)
        await gateway.poll(MAX_INTERVAL)
        before = gateway.twilio.asked()
        for _ in range(2):
            await gateway.poll(UNKNOWN_TIMEOUT)
        gateway.twilio.asked()
        await gateway.poll(MAX_INTERVAL)
        await gateway.poll(MAX_INTERVAL)
        after = gateway.twilio.asked()
        await settle()
        await subscriber.leave()

    assert READ in before
    assert READ not in after
    assert NEWEST in after


async def test_an_event_whose_row_has_no_status_is_sent_with_its_own() -> None:
    """A final event must end the subscription, whatever the row says."""
    async with live(PlainTwilio([call(1, status="in-progress")])) as gateway:
        subscriber = await subscribe(gateway)
        gateway.set_status(1, "on-hold")
        await gateway.store.publish(event("completed", 3, at=gateway.utc(), duration="5"))
        await subscriber.end()

    assert subscriber.statuses == ["in-progress", "completed"]
