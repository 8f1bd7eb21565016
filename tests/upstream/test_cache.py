"""The cache keeps only immutable rows: a row that is live or in doubt is read again."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.cache import Cache
from gateway.upstream.calls import CallResource, CallStatus, FetchCall, ListCalls
from gateway.upstream.notifications import (
    FetchNotification,
    ListNotifications,
    NotificationResource,
)
from gateway.upstream.recordings import (
    FetchRecording,
    ListRecordings,
    RecordingResource,
    RecordingStatus,
)
from gateway.upstream.requests import Page, PageRef
from tests.plain_twilio import PlainTwilio, call, recording, sid
from tests.upstream.stage import connected, row

NOW = datetime(2026, 3, 10, 18, tzinfo=UTC)
FETCH_CALL = FetchCall(sid=sid("CA", 9))
FETCH_RECORDING = FetchRecording(sid=sid("RE", 9))
OF_CALL = ListRecordings(call_sid=sid("CA", 9))
SIZE = 1_000_000


def ago(**time: float) -> str:
    """A moment so long before now, as Twilio writes it."""
    return format_datetime(NOW - timedelta(**time))


def kept(request: Any, answer: Any, owner: CallResource | None = None, now: datetime = NOW) -> bool:
    """True when a cache keeps this answer, given the call whose list it is."""
    cache = Cache(SIZE)
    cache.put(request, answer, 1000, now, owner)
    found = cache.get(request, now)
    assert found is None or found == (answer, 3600)
    return found is not None


def a_call(**given: Any) -> CallResource:
    """A priced call that ended an hour ago, with these properties changed."""
    usual = {"status": "completed", "price": "-0.01", "end_time": ago(hours=1)}
    return row(CallResource, **usual | given)


def a_recording(**given: Any) -> RecordingResource:
    """A priced recording that finished an hour ago, with these properties changed."""
    usual = {
        "status": "completed",
        "price": "-0.0025",
        "date_updated": ago(hours=1),
        "call_sid": sid("CA", 9),
    }
    return row(RecordingResource, **usual | given)


OLD_CALL = a_call(end_time=ago(days=2), price=None)


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ({}, True),
        ({"price": None}, False),
        ({"price": None, "end_time": ago(hours=23.9)}, False),
        ({"price": None, "end_time": ago(hours=24)}, True),
        ({"price": None, "end_time": None, "date_updated": ago(days=2)}, True),
        ({"price": None, "end_time": None}, False),
        ({"price": "lots"}, False),
        ({"end_time": "yesterday", "price": None}, False),
        ({"status": "paused"}, False),
        ({"status": None}, False),
        ({"status": 7}, False),
        *(({"status": s}, False) for s in ("queued", "ringing", "in-progress")),
        *(({"status": s}, True) for s in ("busy", "failed", "no-answer", "canceled")),
    ],
    ids=str,
)
def test_a_call_is_kept_when_it_is_final_and_priced_or_old(
    given: dict[str, Any], is_kept: bool
) -> None:
    assert kept(FETCH_CALL, a_call(**given)) is is_kept


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ({}, True),
        ({"status": "absent"}, True),
        ({"price": None}, False),
        ({"price": None, "date_updated": ago(days=2)}, True),
        *(
            ({"status": status.value}, False)
            for status in RecordingStatus
            if status not in {RecordingStatus.COMPLETED, RecordingStatus.ABSENT}
        ),
    ],
    ids=str,
)
def test_a_recording_is_kept_when_it_is_finished(given: dict[str, Any], is_kept: bool) -> None:
    assert kept(FETCH_RECORDING, a_recording(**given)) is is_kept


def page(*rows: Any, request: Any = OF_CALL, **given: Any) -> Page[Any]:
    """The page as the client makes it."""
    return Page(request, rows, **{"rows_read": len(rows)} | given)


def test_the_recordings_of_a_call_that_ended_long_ago_are_kept() -> None:
    assert kept(OF_CALL, page(a_recording()), OLD_CALL)
    assert kept(OF_CALL, page(), OLD_CALL)


@pytest.mark.parametrize(
    ("answer", "owner"),
    [
        (page(a_recording()), None),
        (page(a_recording()), a_call()),
        (page(a_recording()), a_call(status="in-progress", end_time=ago(days=3))),
        (page(a_recording(status="processing")), OLD_CALL),
        (page(a_recording(), a_recording(status="in-progress")), OLD_CALL),
        (page(a_recording(), next=PageRef(1, "PA1")), OLD_CALL),
        (page(a_recording(), rows_read=2), OLD_CALL),
    ],
    ids=["call unknown", "ended an hour ago", "live", "processing", "one lives", "goes on",
         "sifted"],
)  # fmt: skip
def test_a_list_in_doubt_is_not_kept(answer: Page[Any], owner: CallResource | None) -> None:
    assert not kept(OF_CALL, answer, owner)


@pytest.mark.parametrize(
    "request_",
    [
        ListRecordings(),
        ListCalls(parent_call_sid=sid("CA", 9)),
        ListCalls(),
        ListNotifications(call_sid=sid("CA", 9)),
    ],
    ids=lambda request: type(request).__name__,
)
def test_no_other_list_is_kept_however_old(request_: Any) -> None:
    assert not kept(request_, page(request=request_), OLD_CALL)


def test_notifications_are_not_kept() -> None:
    noted = row(NotificationResource, message_date=ago(days=9))
    assert not kept(FetchNotification(sid=noted.sid), noted)


statuses = st.sampled_from([*(status.value for status in CallStatus), "new", "", None, 5])
texts = st.sampled_from([ago(days=3), ago(hours=2), "", None, "never", format_datetime(NOW)])


@given(statuses, texts, texts, st.sampled_from(["-0.1", "", None, "free"]))
def test_a_live_call_is_never_kept(status: Any, ended: Any, updated: Any, price: Any) -> None:
    answer = row(CallResource, status=status, end_time=ended, date_updated=updated, price=price)
    final = {"completed", "busy", "failed", "no-answer", "canceled"}
    if kept(FETCH_CALL, answer):
        assert status in final
        assert price == "-0.1" or ago(days=3) in (ended, updated)


def test_nothing_is_kept_longer_than_an_hour() -> None:
    """It may have been deleted."""
    cache = Cache(SIZE)
    cache.put(FETCH_CALL, a_call(), 1000, NOW)
    assert cache.get(FETCH_CALL, NOW + timedelta(minutes=59)) is not None
    assert cache.get(FETCH_CALL, NOW + timedelta(minutes=61)) is None


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5000)), max_size=60))
def test_it_never_holds_more_than_its_size(answers: list[tuple[int, int]]) -> None:
    cache = Cache(20_000)
    for number, length in answers:
        cache.put(FetchCall(sid=sid("CA", number)), a_call(sid=sid("CA", number)), length, NOW)
        assert cache.bytes <= 20_000


def test_the_least_used_is_forgotten_first() -> None:
    cache = Cache(3 * 3500)
    requests = [FetchCall(sid=sid("CA", number)) for number in range(4)]
    for request in requests[:3]:
        cache.put(request, a_call(), 1000, NOW)
    assert cache.get(requests[0], NOW)
    cache.put(requests[3], a_call(), 1000, NOW)

    found = [cache.get(request, NOW) is not None for request in requests]
    assert found == [True, False, True, True]


def test_a_size_of_nothing_keeps_nothing() -> None:
    cache = Cache(0)
    cache.put(FETCH_CALL, a_call(), 0, NOW)
    assert cache.get(FETCH_CALL, NOW) is None


async def test_the_client_remembers_what_it_read_and_only_where_the_size_allows() -> None:
    """By request: a list of recordings only with its call, which ended long ago."""
    twilio = PlainTwilio(calls=[call(1), call(2, status="in-progress")])
    twilio.recordings = [recording(1, of=1)]
    of_call = ListRecordings(call_sid=sid("CA", 1))
    cached = {}
    for size in (0, 1):
        async with connected(twilio, cache_size=size) as client:
            first, live = FetchCall(sid=sid("CA", 1)), FetchCall(sid=sid("CA", 2))
            row_, _ = await client.fetch(first), await client.fetch(live)
            page_ = await client.page(of_call, owner=row_)
            found = [(client.cached(one) or (None, 0))[0] for one in (first, live, of_call)]
            cached[size] = [found[0] is row_, found[1] is None, found[2] is page_]

    assert cached == {0: [False, True, False], 1: [True, True, True]}
