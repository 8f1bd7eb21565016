"""Covering lists as evidence, page by page: live calls, ends, gaps, and the keys they answer."""

from datetime import date, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest

from gateway.planner import Costs, OperationCache, Policy, Scan, plan
from gateway.planner.windows import edge_of
from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.date_ranges import DateTimeRange, midnight
from gateway.upstream.notifications import ListNotifications, NotificationResource
from gateway.upstream.recordings import ListRecordings, RecordingResource
from gateway.upstream.requests import ListRequest, Page, PageRef
from tests.listed_account import NOW, call, call_sid, recording

TODAY = NOW.date()
NEXT = PageRef(1, "x")
CREATED = NOW - timedelta(hours=1)
LIVE = call(1, CREATED, 0, "in-progress")
RECORDINGS_OF_LIVE = ListRecordings(call_sid=LIVE.sid)
MINUTE = timedelta(minutes=1)


def cache_with_covering(
    key: ListRequest[Any], first: date, last: date | None, *calls: CallResource
) -> tuple[OperationCache, ListRequest[Any]]:
    """The cache of an operation that has read these calls and begins to read a covering list."""
    known = OperationCache(NOW)
    for row in calls:
        known.record(row)
    edge = edge_of(key)
    assert edge is not None
    request = edge[1].within(DateTimeRange.days(first, last), 50)
    known.begin_covering(request)
    return known, request


def page_down_to(request: ListRequest[Any], oldest: datetime, **properties: Any) -> Page[Any]:
    """A page with a newer recording, one of the live call, and one dated `oldest`."""
    rows = (
        recording(3, 7, NOW - MINUTE),
        recording(2, 1, NOW - 2 * MINUTE),
        recording(1, 8, oldest),
    )
    return Page(request, rows, next=NEXT, rows_read=3, **properties)


def test_a_list_without_an_end_shows_what_a_live_call_has_at_that_moment() -> None:
    known, request = cache_with_covering(RECORDINGS_OF_LIVE, TODAY, None, LIVE)
    known.record(page_down_to(request, CREATED - MINUTE - timedelta(seconds=1)))

    answer = known.answer(RECORDINGS_OF_LIVE)
    assert answer is not None
    assert [row.sid for row in answer.value.rows] == [recording(2, 1, NOW).sid]


def test_a_list_is_read_down_to_a_row_strictly_older_than_the_calls_creation() -> None:
    known, request = cache_with_covering(RECORDINGS_OF_LIVE, TODAY, None, LIVE)
    known.record(page_down_to(request, CREATED - MINUTE))

    assert known.answer(RECORDINGS_OF_LIVE) is None


def test_a_list_that_was_not_seen_to_descend_may_as_well_run_oldest_first() -> None:
    known, request = cache_with_covering(RECORDINGS_OF_LIVE, TODAY, None, LIVE)
    old = CREATED - timedelta(hours=1)
    rows = (recording(1, 8, old), recording(2, 8, old))
    known.record(Page(request, rows, next=NEXT, rows_read=2))
    assert known.answer(RECORDINGS_OF_LIVE) is None

    below = (recording(3, 8, old - MINUTE),)
    known.record(Page(request.at(NEXT), below, next=PageRef(2, "y"), rows_read=1))
    assert known.answer(RECORDINGS_OF_LIVE) is not None


def test_a_list_that_contradicts_every_order_proves_nothing_of_what_is_below() -> None:
    known, request = cache_with_covering(RECORDINGS_OF_LIVE, TODAY, None, LIVE)
    dates = (NOW, NOW - 3 * MINUTE, NOW - MINUTE, CREATED - timedelta(hours=1))
    rows = tuple(recording(n, 8, at) for n, at in enumerate(dates))
    known.record(Page(request, rows, next=NEXT, rows_read=4))
    assert known.answer(RECORDINGS_OF_LIVE) is None

    known.record(Page(request.at(NEXT), (), next=None))
    assert known.answer(RECORDINGS_OF_LIVE) is not None


def test_a_list_by_start_that_runs_oldest_first_is_no_evidence_though_creation_descends() -> None:
    """By chance: the first row was created later and started sooner."""
    key = ListNotifications(call_sid=LIVE.sid)
    known, request = cache_with_covering(key, TODAY, None, LIVE)
    old = CREATED - timedelta(hours=1)
    rows = (
        notification_at(1, old - 2 * MINUTE, old),
        notification_at(2, old - MINUTE, old - MINUTE),
    )
    known.record(Page(request, rows, next=NEXT, rows_read=2))

    assert known.answer(key) is None


def notification_at(number: int, message: datetime, created: datetime) -> NotificationResource:
    """A notification of another call."""
    wire = {"message_date": format_datetime(message), "date_created": format_datetime(created)}
    return msgspec.convert(wire | {"sid": f"NO{number:032x}"}, NotificationResource)


@pytest.mark.parametrize("last", [TODAY, TODAY + timedelta(days=1)])
def test_a_list_with_an_end_is_no_evidence_for_a_live_call(last: date) -> None:
    known, request = cache_with_covering(RECORDINGS_OF_LIVE, TODAY, last, LIVE)
    known.record(
        msgspec.structs.replace(page_down_to(request, CREATED - timedelta(hours=2)), next=None)
    )

    assert known.answer(RECORDINGS_OF_LIVE) is None


def test_days_before_today_may_be_another_list() -> None:
    old = call(1, midnight(TODAY) - timedelta(hours=1), 0, "in-progress")
    known, request = cache_with_covering(RECORDINGS_OF_LIVE, TODAY, None, old)
    known.record(msgspec.structs.replace(page_down_to(request, NOW - 3 * MINUTE), next=None))
    assert known.answer(RECORDINGS_OF_LIVE) is None

    edge = edge_of(RECORDINGS_OF_LIVE)
    assert edge is not None
    yesterday = edge[1].within(DateTimeRange.day(TODAY - timedelta(days=1)), 50)
    known.begin_covering(yesterday)
    known.record(Page(yesterday, (), None))
    assert known.answer(RECORDINGS_OF_LIVE) is not None


def test_a_call_that_is_created_after_the_operation_began_is_requested_per_key() -> None:
    """The list may have been read before the call existed."""
    young = call(1, NOW + timedelta(seconds=1), 0, "in-progress")
    known, request = cache_with_covering(RECORDINGS_OF_LIVE, TODAY, None, young)
    known.record(msgspec.structs.replace(page_down_to(request, NOW - 3 * MINUTE), next=None))

    assert known.answer(RECORDINGS_OF_LIVE) is None
    assert known.list_and_window(RECORDINGS_OF_LIVE) is None


def test_a_call_that_was_created_in_the_second_of_the_operation_is_like_an_older_one() -> None:
    known = OperationCache(NOW)
    known.record(call(1, NOW, 0, "in-progress"))

    assert known.list_and_window(RECORDINGS_OF_LIVE) is not None


@pytest.mark.parametrize(("seconds", "is_open"), [(29, True), (30, False), (31, False)])
def test_a_call_may_get_more_rows_until_half_a_minute_after_its_end(
    seconds: int, is_open: bool
) -> None:
    known = OperationCache(NOW)
    known.record(call(1, NOW - timedelta(seconds=seconds + 60), 60, "completed"))
    scannable = known.list_and_window(RECORDINGS_OF_LIVE)

    assert scannable is not None
    assert scannable[1].is_open == is_open


@pytest.mark.parametrize(
    "properties",
    [
        {"status": "ringing"},
        {"status": "on-hold"},
        {"status": None},
        {"end_time": None, "date_updated": None},
        {"end_time": "yesterday"},
        {"status": 7},
    ],
    ids=str,
)
def test_a_call_that_is_not_certainly_over_may_get_more_rows(properties: dict[str, Any]) -> None:
    known = OperationCache(NOW)
    status = properties.get("status", "completed")
    dates = {name: value for name, value in properties.items() if name != "status"}
    known.record(call(1, CREATED, 60, status, **dates))
    scannable = known.list_and_window(RECORDINGS_OF_LIVE)

    assert scannable is not None
    assert scannable[1].is_open


def test_a_range_of_start_times_is_no_evidence_for_the_children_of_a_live_call() -> None:
    """It shows no child that was not dialed yet."""
    key = ListCalls(parent_call_sid=LIVE.sid)
    known, request = cache_with_covering(key, TODAY, None, LIVE)
    known.record(Page(request, (), None))

    assert known.answer(key) is None


def test_no_range_of_start_times_is_read_for_the_children_of_a_live_call() -> None:
    rows = [call(n, NOW - timedelta(hours=2, minutes=n), 60, "completed") for n in range(2, 9)]
    known = OperationCache(NOW)
    for row in [LIVE, *rows]:
        known.record(row)
    keys = [ListCalls(parent_call_sid=row.sid) for row in [LIVE, *rows]]
    policy = Policy(scan_child_calls=True, read_upward=False)
    (scan,) = [step for step in plan(keys, known, Costs(), policy) if isinstance(step, Scan)]

    assert list(scan.keys) == keys[1:]


def test_no_list_is_read_for_days_to_come() -> None:
    """A notification may come until tomorrow: an open-ended list that begins today shows it."""
    busy = Costs(rows_per_day={"notifications": 20_000.0})
    request = ListNotifications(message_date=DateTimeRange(midnight(TODAY)), page_size=1000)
    busy.learn_reach(request, NOW - timedelta(hours=1))
    known = OperationCache(NOW)
    rows = [call(n, NOW - timedelta(minutes=9, seconds=n), 60, "completed") for n in range(50)]
    for row in rows:
        known.record(row)
    keys = [ListNotifications(call_sid=row.sid) for row in rows]
    (scan,) = [step for step in plan(keys, known, busy, Policy()) if isinstance(step, Scan)]
    (sent,) = scan.next_requests()

    assert isinstance(sent, ListNotifications)
    assert sent.message_date == DateTimeRange(midnight(TODAY))


def test_a_page_with_a_row_left_out_ends_what_a_list_proves() -> None:
    known, request = cache_with_covering(RECORDINGS_OF_LIVE, TODAY, None, LIVE)
    known.record(page_down_to(request, NOW - 3 * MINUTE))
    below = request.at(NEXT)
    older = (recording(9, 8, CREATED - timedelta(hours=1)),)
    known.record(Page(below, older, next=PageRef(2, "y"), rows_read=2, left_out=1))
    known.record(Page(request.at(PageRef(2, "y")), (), None))
    assert known.answer(RECORDINGS_OF_LIVE) is None

    known.record(Page(below, older, next=None, rows_read=1))
    assert known.answer(RECORDINGS_OF_LIVE) is not None


def test_notifications_may_run_by_message_date_or_by_creation() -> None:
    """A list that contradicts one order must come down in the other only."""
    key = ListNotifications(call_sid=LIVE.sid)
    since = CREATED - MINUTE

    for last, is_certain in (
        (notification_at(1, since - MINUTE, since + MINUTE), False),
        (notification_at(1, since - MINUTE, since - MINUTE), True),
    ):
        known, request = cache_with_covering(key, TODAY, None, LIVE)
        rows = (notification_at(3, NOW, NOW), notification_at(2, NOW - MINUTE, NOW - MINUTE), last)
        known.record(Page(request, rows, next=NEXT, rows_read=3))
        assert (known.answer(key) is not None) is is_certain


def recording_scans(rows: list[CallResource], costs: Costs) -> list[Scan]:
    """The scans for the recordings of these calls, which were read one by one."""
    known = OperationCache(NOW)
    for row in rows:
        known.record(row)
    keys = [ListRecordings(call_sid=row.sid) for row in rows]
    return [step for step in plan(keys, known, costs, Policy()) if isinstance(step, Scan)]


def test_a_call_that_has_lasted_for_hours_does_not_spoil_the_lists_of_the_others() -> None:
    """On a busy day no page comes down to the morning, but one to the last ten minutes does."""
    busy = Costs(rows_per_day={"recordings": 20_000.0})
    request = ListRecordings(date_created=DateTimeRange(midnight(TODAY)), page_size=1000)
    rows_down_to_reach = (recording(1, 7, NOW - timedelta(hours=1)),)
    busy.learn(Page(request, rows_down_to_reach, NEXT, rows_read=1))
    rows = [call(n, NOW - timedelta(seconds=10 * n), 0, "in-progress") for n in range(2, 60)]
    long = call(99, NOW - timedelta(hours=14), 0, "in-progress")
    (scan,) = recording_scans([*rows, long], busy)

    assert ListRecordings(call_sid=long.sid) not in scan.keys
    assert len(scan.keys) > 50
    (sent,) = scan.next_requests()
    assert isinstance(sent, ListRecordings)
    assert sent.date_created == DateTimeRange(midnight(TODAY))
    assert 200 < sent.page_size < 1000


def test_calls_of_many_days_are_one_list_where_it_may_fit_into_a_page() -> None:
    days = [call(n, NOW - timedelta(days=3 * n + 1), 60, "completed") for n in range(50)]
    (scan,) = recording_scans(days, Costs())
    (request,) = scan.next_requests()

    assert len(scan.keys) == 50
    assert isinstance(request, ListRecordings)
    assert request.page_size == 1000
    first = (NOW - timedelta(days=148)).date()
    assert request.date_created == DateTimeRange(midnight(first), midnight(TODAY))


@pytest.mark.parametrize(("names_last", "size"), [(True, 1000), (False, 50)])
def test_a_list_goes_on_in_larger_pages_only_by_a_token_that_names_its_row(
    names_last: bool, size: int
) -> None:
    rows = [call(n, NOW - timedelta(minutes=40 + n), 60, "completed") for n in range(9)]
    known = OperationCache(NOW)
    for row in rows:
        known.record(row)
    keys = [ListRecordings(call_sid=row.sid) for row in rows]
    costs = Costs()
    (scan,) = [s for s in plan(keys, known, costs, Policy()) if isinstance(s, Scan)]
    (sent,) = scan.next_requests()
    found = tuple(recording(n, n, NOW - timedelta(minutes=40 + n)) for n in range(8))
    token = PageRef.after(found[-1].sid).token if names_last else "opaque"
    page = Page(sent, found, next=PageRef(1, token), rows_read=8)
    known.record(page)
    assert scan.receive(page)
    assert costs.rows_per_call["recordings"] > Costs().rows_per_call["recordings"]
    (following,) = scan.next_requests()

    assert following.page == page.next
    assert following.page_size == (size if names_last else sent.page_size)

    more = (recording(9, 99, NOW - timedelta(minutes=48)),)
    below = msgspec.structs.replace(
        page, request=following, rows=more, left_out=1, next=PageRef(2, "y")
    )
    known.record(below)
    scan.receive(below)
    assert scan.next_requests() == []


def scan_of_nine_calls() -> tuple[OperationCache, Scan, ListRequest[Any]]:
    """The scan for the recordings of nine calls, and its first page, which is in flight."""
    rows = [call(n, NOW - timedelta(minutes=40 + n), 60, "completed") for n in range(9)]
    known = OperationCache(NOW)
    for row in rows:
        known.record(row)
    keys = [ListRecordings(call_sid=row.sid) for row in rows]
    (scan,) = [s for s in plan(keys, known, Costs(), Policy()) if isinstance(s, Scan)]
    (sent,) = scan.next_requests()
    return known, scan, sent


@pytest.mark.parametrize("date_created", [None, "yesterday"])
def test_nothing_is_read_below_a_row_whose_date_is_unreadable(date_created: str | None) -> None:
    """The number of rows down to the calls is then unknown."""
    known, scan, sent = scan_of_nine_calls()
    found = tuple(recording(n, n, NOW - timedelta(minutes=40 + n)) for n in range(8))
    wire = {"sid": f"RE{9:032x}", "call_sid": call_sid(99), "date_created": date_created}
    odd = msgspec.convert(wire, RecordingResource)
    page = Page(sent, (*found, odd), next=NEXT, rows_read=9)
    known.record(page)

    assert len(scan.receive(page)) == 6  # the others may have rows below, a minute earlier
    assert scan.next_requests() == []


def test_a_list_that_names_a_page_again_is_read_no_further() -> None:
    """Its calls are requested per key."""
    known, scan, sent = scan_of_nine_calls()
    found = tuple(recording(n, n, NOW - timedelta(minutes=40 + n)) for n in range(8))
    page = Page(sent, found, next=sent.page, rows_read=8)
    known.record(page)

    assert len(scan.receive(page)) == 6
    assert scan.next_requests() == []
    assert len(scan.remaining) == 3


def test_a_recording_whose_call_is_unreadable_proves_nothing() -> None:
    known, request = cache_with_covering(RECORDINGS_OF_LIVE, TODAY, None, LIVE)
    wire = {"sid": f"RE{9:032x}", "call_sid": 7, "date_created": format_datetime(NOW - MINUTE)}
    odd = msgspec.convert(wire, RecordingResource)
    known.record(Page(request, (odd, recording(2, 1, NOW - 2 * MINUTE)), None, rows_read=2))

    assert known.answer(RECORDINGS_OF_LIVE) is None


def test_nothing_is_read_below_a_page_with_a_row_left_out() -> None:
    known, scan, sent = scan_of_nine_calls()
    page = Page(sent, (), next=NEXT, rows_read=1, left_out=1)
    known.record(page)

    assert scan.receive(page) == {}
    assert scan.next_requests() == []
    assert len(scan.remaining) == 9
