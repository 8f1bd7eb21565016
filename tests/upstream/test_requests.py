"""Requests as values: upstream's filter covers the exact one, and rows are checked against it."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadUserInput
from gateway.upstream.calls import CallResource, CallStatus, FetchCall, ListCalls
from gateway.upstream.date_ranges import DateTimeRange, Query
from gateway.upstream.notifications import (
    FetchNotification,
    ListNotifications,
    NotificationLevel,
    NotificationResource,
)
from gateway.upstream.recordings import FetchRecording, ListRecordings, RecordingResource
from gateway.upstream.requests import FIRST_PAGE, PageRef
from tests.plain_twilio import rfc_2822, sid
from tests.upstream.stage import row

DAY = date(2009, 7, 6)
MIDNIGHT = datetime(2009, 7, 6, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def near_midnight() -> st.SearchStrategy[datetime]:
    """Instants of three days; every other one within a second of midnight, where filters err."""
    exact = st.integers(0, 3).map(lambda days: MIDNIGHT + days * ONE_DAY)
    close = st.tuples(exact, st.sampled_from([-SECOND, timedelta(microseconds=-1), SECOND]))
    anywhere = st.integers(0, 3 * 86400).map(lambda seconds: MIDNIGHT + seconds * SECOND)
    return exact | close.map(lambda pair: pair[0] + pair[1]) | anywhere


def ranges() -> st.SearchStrategy[DateTimeRange]:
    """Every kind of range: open, half open, closed, whole days, empty."""
    edge = st.none() | near_midnight()
    return st.builds(DateTimeRange, gte=edge, lt=edge)


def upstream_holds(query: Query, moment: datetime, *, until_end_of_day: bool) -> bool:
    """Twilio's day filters, under either reading of `StartTime<=D`: midnight, or the whole D."""
    for name, value in query:
        start = datetime.combine(date.fromisoformat(value), time(), UTC)
        holds = {
            "StartTime": start <= moment < start + ONE_DAY,
            "StartTime>": moment >= start,
            "StartTime<": moment < start + ONE_DAY if until_end_of_day else moment <= start,
        }
        if not holds[name]:
            return False
    return True


@given(ranges(), near_midnight(), st.booleans())
def test_the_day_filter_holds_every_instant_of_the_range_under_both_readings_of_the_bound(
    range_: DateTimeRange, moment: datetime, until_end_of_day: bool
) -> None:
    if range_.contains(moment):
        assert upstream_holds(range_.query("StartTime"), moment, until_end_of_day=until_end_of_day)


@given(ranges(), near_midnight())
def test_a_range_holds_what_is_from_its_start_up_to_not_including_its_end(
    range_: DateTimeRange, moment: datetime
) -> None:
    start = range_.gte or datetime.min.replace(tzinfo=UTC)
    end = range_.lt or datetime.max.replace(tzinfo=UTC)

    assert range_.contains(moment) == (start <= moment < end)


@given(ranges(), near_midnight())
def test_whole_days_are_what_upstream_answers_but_for_its_own_midnight(
    range_: DateTimeRange, moment: datetime
) -> None:
    """Where a range says that it is whole days, upstream adds at most the first instant after."""
    is_held = upstream_holds(range_.query("StartTime"), moment, until_end_of_day=False)
    if range_.is_whole_days() and moment != range_.lt and range_.gte != range_.lt:
        assert range_.contains(moment) == is_held


def test_a_range_holds_no_moment_that_is_not_there() -> None:
    assert not DateTimeRange().contains(None)


def test_a_day_is_from_midnight_to_midnight_gmt() -> None:
    day = DateTimeRange.day(DAY)

    assert day == DateTimeRange(MIDNIGHT, MIDNIGHT + ONE_DAY)
    assert day.contains(MIDNIGHT)
    assert day.contains(MIDNIGHT + ONE_DAY - timedelta(microseconds=1))
    assert not day.contains(MIDNIGHT + ONE_DAY)
    assert not day.contains(MIDNIGHT - timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("range_", "query"),
    [
        (DateTimeRange.day(DAY), (("StartTime", "2009-07-06"),)),
        (DateTimeRange(gte=MIDNIGHT), (("StartTime>", "2009-07-06"),)),
        (DateTimeRange(gte=MIDNIGHT + SECOND), (("StartTime>", "2009-07-06"),)),
        (DateTimeRange(lt=MIDNIGHT), (("StartTime<", "2009-07-06"),)),
        (DateTimeRange(lt=MIDNIGHT + SECOND), (("StartTime<", "2009-07-07"),)),
        (DateTimeRange(MIDNIGHT + SECOND, MIDNIGHT + 2 * SECOND), (("StartTime", "2009-07-06"),)),
        (
            DateTimeRange(MIDNIGHT - SECOND, MIDNIGHT + SECOND),
            (("StartTime<", "2009-07-07"), ("StartTime>", "2009-07-05")),
        ),
        (
            DateTimeRange(MIDNIGHT, MIDNIGHT + 2 * ONE_DAY),
            (("StartTime<", "2009-07-08"), ("StartTime>", "2009-07-06")),
        ),
        (DateTimeRange(), ()),
    ],
)
def test_the_day_filter_of_a_range(range_: DateTimeRange, query: Query) -> None:
    """The name of an inequality is the parameter and `<` or `>`.

    See docs/twilio.md#1-surprising-facts, fact 2.
    """
    assert range_.query("StartTime") == query


@pytest.mark.parametrize(
    ("request_", "path", "query"),
    [
        (ListCalls(), "Calls", "PageSize=50"),
        (
            ListCalls(status=CallStatus.IN_PROGRESS, start_time=DateTimeRange(gte=MIDNIGHT)),
            "Calls",
            "Status=in-progress&StartTime>=2009-07-06&PageSize=50",
        ),
        (
            ListCalls(to="+1", from_="client:tommy", parent_call_sid=sid("CA", 1), page_size=9),
            "Calls",
            f"To=+1&From=client:tommy&ParentCallSid={sid('CA', 1)}&PageSize=9",
        ),
        (ListCalls(end_time=DateTimeRange.day(DAY)), "Calls", "EndTime=2009-07-06&PageSize=50"),
        (
            ListCalls(page=PageRef(2, "PA7"), to="+1"),
            "Calls",
            "To=+1&PageSize=50&Page=2&PageToken=PA7",
        ),
        (ListCalls(page=PageRef(2)), "Calls", "PageSize=50&Page=2"),
        (ListRecordings(call_sid=sid("CA", 1)), f"Calls/{sid('CA', 1)}/Recordings", "PageSize=50"),
        (
            ListNotifications(call_sid=sid("CA", 1), log=NotificationLevel.ERROR),
            f"Calls/{sid('CA', 1)}/Notifications",
            "Log=0&PageSize=50",
        ),
        (FetchCall(sid=sid("CA", 1)), f"Calls/{sid('CA', 1)}", ""),
        (FetchRecording(sid=sid("RE", 1)), f"Recordings/{sid('RE', 1)}", ""),
        (
            FetchRecording(sid=sid("RE", 1), call_sid=sid("CA", 2)),
            f"Calls/{sid('CA', 2)}/Recordings/{sid('RE', 1)}",
            "",
        ),
        (FetchNotification(sid=sid("NO", 1)), f"Notifications/{sid('NO', 1)}", ""),
    ],
)
def test_a_request_is_a_path_and_a_query(
    request_: ListCalls | FetchCall, path: str, query: str
) -> None:
    """The seed's parameter names, case-sensitive, filters before paging."""
    assert request_.path == path
    assert "&".join(f"{name}={value}" for name, value in request_.query) == query


@pytest.mark.parametrize(
    "bad",
    ["", "CA", "CA" + "g" * 32, "CA" + "0" * 33, "ca" + "0" * 32, sid("RE", 1), sid("CA", 1) + "\n",
     "CA../../../" + "0" * 23, "CA" + "٠" * 32],
)  # fmt: skip
def test_what_is_no_sid_never_gets_into_a_path(bad: str) -> None:
    with pytest.raises(BadUserInput):
        FetchCall(sid=bad)
    with pytest.raises(BadUserInput):
        ListCalls(parent_call_sid=bad)
    with pytest.raises(BadUserInput):
        _ = ListRecordings(call_sid=bad).path
    with pytest.raises(BadUserInput):
        _ = FetchRecording(sid=sid("RE", 1), call_sid=bad).path


def test_equal_requests_are_one() -> None:
    first, second = (
        ListCalls(to="+1", start_time=DateTimeRange.day(DAY)),
        ListCalls(to="+1", start_time=DateTimeRange.day(DAY)),
    )

    assert {first, second} == {first}
    assert first != ListCalls(from_="+1", start_time=DateTimeRange.day(DAY))
    assert FetchCall(sid=sid("CA", 1)) != FetchCall(sid=sid("CA", 2))


@pytest.mark.parametrize(
    ("lists", "of_its_call"),
    [
        (ListCalls(to="+1", page_size=9), {"parent_call_sid": sid("CA", 1)}),
        (ListRecordings(page_size=9), {"call_sid": sid("CA", 1)}),
        (ListRecordings(with_track=True), {"call_sid": sid("CA", 1)}),
        (ListNotifications(log=NotificationLevel.ERROR), {"call_sid": sid("CA", 1)}),
    ],
)
def test_the_list_of_a_call_is_the_one_that_is_made_for_it(
    lists: Any, of_its_call: dict[str, str]
) -> None:
    made = lists.of(row(CallResource, sid=sid("CA", 1)))
    plain = replace(lists, **of_its_call)

    assert made == plain
    assert hash(made) == hash(plain)
    assert made.account_list == plain.account_list
    assert made.list == plain.list
    assert (made.path, made.query) == (plain.path, plain.query)


def test_a_page_that_is_a_number_keeps_its_size_and_a_token_does_not() -> None:
    """Page 1 of 50 rows begins elsewhere than page 1 of 1,000."""
    calls = ListCalls(page_size=50)

    assert calls.at(PageRef(1), 1000).page_size == 50
    assert calls.at(PageRef(1, "PAx"), 1000).page_size == 1000
    assert calls.at(FIRST_PAGE, 1000).page_size == 1000


def test_a_list_is_the_same_at_each_of_its_pages_and_sizes() -> None:
    calls = ListCalls(to="+1")
    later = calls.at(PageRef(3, "PA3"), page_size=1000)

    assert later.list == calls.list
    assert later.page_size == 1000
    assert calls.at(PageRef(1, "PA1")).page_size == 50
    assert later.at(FIRST_PAGE, 50) == calls
    assert calls.with_status(CallStatus.BUSY).list != calls.list


PARTIES = ["+1", "+2", "client:tommy"]
STATUSES = [CallStatus.BUSY, CallStatus.COMPLETED]


@given(
    to=st.none() | st.sampled_from(PARTIES),
    from_=st.none() | st.sampled_from(PARTIES),
    status=st.none() | st.sampled_from(STATUSES),
    start=st.none() | ranges(),
    end=st.none() | ranges(),
    parent=st.none() | st.sampled_from([sid("CA", 1), sid("CA", 2)]),
    row_to=st.sampled_from(PARTIES),
    row_from=st.sampled_from(PARTIES),
    row_status=st.sampled_from(STATUSES),
    row_start=st.none() | near_midnight(),
    row_end=st.none() | near_midnight(),
    row_parent=st.none() | st.sampled_from([sid("CA", 1), sid("CA", 2)]),
)
def test_matches_is_every_condition_at_once(
    to: str | None,
    from_: str | None,
    status: CallStatus | None,
    start: DateTimeRange | None,
    end: DateTimeRange | None,
    parent: str | None,
    row_to: str,
    row_from: str,
    row_status: CallStatus,
    row_start: datetime | None,
    row_end: datetime | None,
    row_parent: str | None,
) -> None:
    request = ListCalls(
        to=to, from_=from_, status=status, start_time=start, end_time=end, parent_call_sid=parent
    )
    # Twilio's dates have whole seconds.
    row_start, row_end = (m and m.replace(microsecond=0) for m in (row_start, row_end))
    sent = row(
        CallResource,
        to=row_to,
        from_=row_from,
        status=row_status.value,
        start_time=rfc_2822(row_start),
        end_time=rfc_2822(row_end),
        parent_call_sid=row_parent,
    )

    assert request.matches(sent) == (
        (to is None or to == row_to)
        and (from_ is None or from_ == row_from)
        and (status is None or status == row_status)
        and (start is None or start.contains(row_start))
        and (end is None or end.contains(row_end))
        and (parent is None or parent == row_parent)
    )


def test_a_value_that_cannot_be_read_is_left_to_upstreams_word() -> None:
    """The row was sent for this filter: its bad field costs the field, not the row."""
    sent = row(CallResource, to=7, start_time="yesterday", status=[])
    request = ListCalls(to="+1", status=CallStatus.BUSY, start_time=DateTimeRange.day(DAY))

    assert request.matches(sent)
    assert request.is_match(sent) is None
    assert not request.matches(row(CallResource, to="+2"))


@pytest.mark.parametrize("value", ["", None, ..., {}], ids=str)
def test_a_status_that_is_missing_is_left_to_upstreams_word_and_a_new_one_is_not(
    value: Any,
) -> None:
    """A call has a status; a call without a start, in contrast, has not started."""
    busy = ListCalls(status=CallStatus.BUSY)
    silent = row(CallResource, **({} if value is ... else {"status": value}))

    assert busy.is_match(silent) is None
    assert busy.matches(silent)
    assert busy.is_match(row(CallResource, status="paused")) is False
    assert busy.is_match(row(CallResource, status="busy")) is True
    assert ListCalls(start_time=DateTimeRange.day(DAY)).is_match(silent) is False


def test_one_condition_that_fails_decides_whatever_the_others_are() -> None:
    request = ListCalls(to="+1", status=CallStatus.BUSY)

    assert request.is_match(row(CallResource, to="+2")) is False
    assert request.is_match(row(CallResource, to="+1")) is None
    assert request.is_match(row(CallResource, to={}, status="failed")) is False
    assert ListCalls().is_match(row(CallResource)) is True


def test_rows_of_another_call_are_no_rows_of_this_list() -> None:
    own, other = sid("CA", 1), sid("CA", 2)
    recording = row(RecordingResource, call_sid=other)
    notification = row(NotificationResource, call_sid=own, log="1")

    assert not ListRecordings(call_sid=own).matches(recording)
    assert ListRecordings(call_sid=other).matches(recording)
    assert ListNotifications(call_sid=own).matches(notification)
    assert ListNotifications(call_sid=own, log=NotificationLevel.WARNING).matches(notification)
    assert not ListNotifications(call_sid=own, log=NotificationLevel.ERROR).matches(notification)
    assert not ListNotifications(call_sid=other).matches(notification)


@pytest.mark.parametrize(
    ("start_time", "is_exact"),
    [
        (None, True),
        (DateTimeRange.day(DAY), True),
        (DateTimeRange(gte=MIDNIGHT), True),
        (DateTimeRange(gte=MIDNIGHT + SECOND), False),
        (DateTimeRange(lt=MIDNIGHT - SECOND), False),
    ],
)
def test_only_whole_days_are_left_to_upstream(start_time: DateTimeRange, is_exact: bool) -> None:
    assert ListCalls(to="+1", start_time=start_time).is_exact() is is_exact
    assert ListCalls(end_time=start_time).is_exact() is is_exact
