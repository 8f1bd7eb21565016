"""What the planner learns and how it uses that: density, reach, and the order of requests."""

from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.planner import Costs, OperationCache, Policy, Scan, plan
from gateway.planner.costs import MAX_LISTS
from gateway.planner.density import Density, Portion
from gateway.planner.scan import ScanDown
from gateway.planner.windows import edge_of
from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.date_ranges import DateTimeRange
from gateway.upstream.recordings import ListRecordings, RecordingResource
from gateway.upstream.requests import ListRequest, Page, PageRef
from tests.conftest import connect
from tests.plain_twilio import PlainTwilio
from tests.plain_twilio import call as wire_call
from tests.plain_twilio import recording as wire_recording

NOW = datetime(2026, 3, 10, 18, tzinfo=UTC)
NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)
YESTERDAY = DateTimeRange.day(NOON.date())


def call(number: int, created: datetime, lag: int = 0, **properties: Any) -> CallResource:
    """A call that lasts a minute and starts `lag` seconds after it was created."""
    wire = {
        "sid": f"CA{number:032x}",
        "status": "completed",
        "direction": "inbound",
        "date_created": format_datetime(created),
        "start_time": format_datetime(created + timedelta(seconds=lag)),
        "end_time": format_datetime(created + timedelta(seconds=60)),
    }
    return msgspec.convert(wire | properties, CallResource)


def costs_from_spans(*spans: timedelta) -> Costs:
    """Costs that have seen pages of 101 calls, which span these times."""
    costs = Costs()
    for span in spans:
        rows = tuple(call(n, NOON - span * (n / 100)) for n in range(101))
        costs.learn(Page(ListCalls(), rows, rows_read=101))
    return costs


def requests_for_yesterday(costs: Costs) -> list[ListRequest[Any]]:
    """The first pages of the planned scans for the recordings of 50 calls at noon."""
    known = OperationCache(NOW)
    rows = [call(n, NOON + timedelta(seconds=n)) for n in range(50)]
    for row in rows:
        known.record(row)
    keys = [ListRecordings(call_sid=row.sid) for row in rows]
    scans = [step for step in plan(keys, known, costs, Policy()) if isinstance(step, Scan)]
    return [request for scan in scans for request in scan.next_requests()]


def test_a_density_is_rows_by_time_so_that_a_night_weighs_more_than_a_busy_minute() -> None:
    per_day = costs_from_spans(timedelta(minutes=1), timedelta(hours=12)).rows_per_day["calls"]

    assert per_day == pytest.approx(400, rel=0.1)


@pytest.mark.parametrize("per_day", [200, 20_000, 200_000])
def test_a_density_is_learned_within_three_pages(per_day: int) -> None:
    span = timedelta(days=100 / per_day)

    assert costs_from_spans(span, span, span).rows_per_day["calls"] == pytest.approx(
        per_day, rel=0.2
    )


@pytest.mark.parametrize("seconds", [0, -60])
def test_a_page_that_spans_no_time_teaches_no_density(seconds: int) -> None:
    assert costs_from_spans(timedelta(seconds=seconds)).rows_per_day == Costs().rows_per_day


def recording_at(number: int, at: datetime) -> RecordingResource:
    """A recording."""
    wire = {"sid": f"RE{number:032x}", "date_created": format_datetime(at)}
    return msgspec.convert(wire, RecordingResource)


def with_reach(costs: Costs, down_to: datetime, days: DateTimeRange = YESTERDAY) -> Costs:
    """The costs after a page of 1,000 recordings that came down to this moment and no further."""
    request = ListRecordings(date_created=days, page_size=1000)
    costs.learn(Page(request, (recording_at(1, down_to),), PageRef(1, "x"), rows_read=1))
    return costs


@pytest.mark.parametrize("per_day", [1.0, 5000.0, 500_000.0])
def test_a_list_of_unknown_reach_is_tried_in_one_large_page(
    per_day: float,
) -> None:
    """The density of other days says nothing about this one; a try in vain is one request."""
    (request,) = requests_for_yesterday(Costs(rows_per_day={"recordings": per_day}))

    assert request.page_size == 1000
    assert isinstance(request, ListRecordings)
    assert request.date_created == YESTERDAY


def test_a_list_whose_largest_page_does_not_reach_a_key_is_not_tried() -> None:
    """The scan could not go on: see Note [Allowance]."""
    costs = Costs(rows_per_day={"recordings": 200.0})

    assert requests_for_yesterday(with_reach(costs, NOON + timedelta(hours=1))) == []
    assert len(requests_for_yesterday(with_reach(costs, NOON - timedelta(hours=1)))) == 1
    earlier = DateTimeRange(YESTERDAY.gte, NOON - timedelta(days=7))
    assert len(requests_for_yesterday(with_reach(Costs(), NOON + timedelta(hours=1), earlier))) == 1


def test_a_list_that_falls_short_is_read_in_pages_of_the_expected_size() -> None:
    """The page that must come to a key has twice the room."""
    costs = with_reach(Costs(rows_per_day={"recordings": 400.0}), NOON - timedelta(hours=1))
    (request,) = requests_for_yesterday(costs)

    expected = 400 * (0.5 + 1 / 24 / 60)
    assert 2.0 * expected <= request.page_size < 2.1 * expected + 50


@pytest.mark.parametrize("date_created", [None, "yesterday"])
def test_a_page_whose_last_date_is_unreadable_teaches_no_reach_and_no_density(
    date_created: str | None,
) -> None:
    costs = Costs(rows_per_day={"calls": 2000.0})
    rows = (call(1, NOON), call(2, NOON, date_created=date_created))
    costs.learn(Page(ListCalls(page_size=1000), rows, PageRef(1, "x"), rows_read=2))

    assert costs.reach(ListCalls()) is None
    assert costs.rows_per_day == {"calls": 2000.0}


def test_the_reaches_of_the_newest_lists_are_stored_up_to_a_limit() -> None:
    costs = Costs()
    lists = [ListCalls(to=f"+1{number}") for number in range(MAX_LISTS + 1)]
    for number, request in enumerate(lists[:-1]):
        costs.learn_reach(request, NOON + timedelta(seconds=number))
    costs.learn_reach(lists[0], NOON)  # stored again: the second is now the oldest
    costs.learn_reach(lists[-1], NOON)

    reaches = [costs.reach(request) for request in lists]
    assert [n for n, reach in enumerate(reaches) if reach is None] == [1]


def test_more_keys_can_afford_more_rows() -> None:
    few = Costs().affordable_rows("recordings", 3, 3, 16)
    many = Costs().affordable_rows("recordings", 50, 50, 16)

    assert 0 < few < 200 < 1000 < many


def test_in_a_span_that_was_read_only_the_rows_read_are_expected() -> None:
    """50 calls in some minutes: the rest of the day, which was read, has none."""
    density = Density(NOW)
    rows = tuple(call(n, NOON - timedelta(seconds=10 * n)) for n in range(50))
    for row in rows:
        density.add(row)
    for _ in range(2):  # a span that is read twice counts once
        density.add_page(Page(ListCalls(), rows, PageRef(1, "x"), rows_read=50))
    since, hour = NOON - timedelta(seconds=490), timedelta(hours=1)

    assert density.portion(since, NOW) == Portion(50, 0, timedelta(0))
    assert density.portion(since - hour, since + hour) == Portion(50, 0, hour)
    assert density.portion(since - 2 * hour, since - hour) == Portion(0, 0, hour)
    density.add_page(Page(ListCalls(page=PageRef(1, "x")), rows[-1:], None, rows_read=1))
    assert density.portion(since - 2 * hour, since - hour) == Portion(0, 0, timedelta(0))
    costs = Costs(rows_per_day={"calls": 2400.0, "recordings": 240.0})
    assert costs.expected_rows("calls", Portion(50, 0, hour)) == 150
    assert costs.expected_rows("recordings", Portion(50, 0, hour)) == 35


def test_calls_of_a_filtered_list_are_a_lower_bound() -> None:
    density = Density(NOW)
    rows = tuple(call(n, NOON - timedelta(minutes=n)) for n in range(50))
    for row in rows:
        density.add(row)
    density.add_page(Page(ListCalls(to="+1"), rows, None, rows_read=50))
    portion = density.portion(NOON - timedelta(hours=1), NOON + timedelta(hours=1))

    assert portion == Portion(0, 50, timedelta(hours=2))
    assert Costs(rows_per_day={"calls": 12.0}).expected_rows("calls", portion) == 50
    assert Costs(rows_per_day={"calls": 2400.0}).expected_rows("calls", portion) == 200


@given(st.lists(st.integers(0, 40), max_size=12), st.data())
def test_the_portions_of_a_span_add_up_to_the_span(moments: list[int], data: st.DataObject) -> None:
    """Wherever pages lie, read and unread time add up, and no call is counted twice."""
    density, end = Density(NOW), NOON + timedelta(minutes=40)
    rows = [call(n, NOON + timedelta(minutes=at)) for n, at in enumerate(sorted(moments)[::-1])]
    for row in rows:
        density.add(row)
    for _ in range(data.draw(st.integers(0, 3))):
        start = data.draw(st.integers(0, len(rows)))
        shown = rows[start : start + data.draw(st.integers(0, 5))]
        request = ListCalls(page=PageRef(1, "x"), page_size=5)
        density.add_page(Page(request, tuple(shown), PageRef(2, "y"), rows_read=len(shown)))
    middle = NOON + timedelta(minutes=data.draw(st.integers(0, 40)))
    whole, parts = (
        density.portion(NOON, end),
        [density.portion(NOON, middle), density.portion(middle, end)],
    )

    assert whole.calls + whole.others == len(rows)
    assert timedelta(0) <= whole.unread <= end - NOON
    assert sum((part.unread for part in parts), timedelta(0)) == whole.unread


def test_calls_that_start_out_of_the_order_of_their_creation_are_covered() -> None:
    """Lists are in the order of date_created; a queue makes some calls start later than others."""
    known = OperationCache(NOW)
    parent = call(1, NOON)
    key = ListCalls(parent_call_sid=parent.sid)
    edge = edge_of(key)
    assert edge is not None
    covering = edge[1].within(DateTimeRange.day(date(2026, 3, 9)), 50)
    child = call(2, NOON + timedelta(seconds=5), lag=50, parent_call_sid=parent.sid)
    rows = (
        call(3, NOON + timedelta(seconds=9)),
        child,
        parent,
        call(4, NOON - timedelta(hours=1)),
    )
    known.record(parent)
    known.begin_covering(covering)
    known.record(Page(covering, rows, next=PageRef(1, "PAx"), rows_read=4))

    answer = known.answer(key)
    assert answer is not None
    assert list(answer.value.rows) == [child]


async def test_scans_are_sent_before_requests_per_key() -> None:
    """The round waits longest for scans, and connections are few."""
    rows = [wire_call(n, at=60 * n) for n in range(30)][::-1]
    recordings = [wire_recording(n, of=n, at=60 * n + 9) for n in range(30)][::-1]
    twilio = PlainTwilio(rows, recordings)
    async with connect(twilio, max_in_flight=2) as client:
        await client.data("""{ calls(first: 30, filter: {status: [COMPLETED]}) { nodes {
            recordings { nodes { track } } childCalls { nodes { sid } } } } }""")

    assert len(twilio.requests) == 32
    assert twilio.requests[1] == "GET Calls?PageSize=1000"


def cache_of_a_quiet_day() -> OperationCache:
    """The cache of an operation that has read all five calls of yesterday, all at noon."""
    known = OperationCache(NOW)
    rows = tuple(call(n, NOON - timedelta(seconds=n)) for n in range(5))
    known.record(Page(ListCalls(start_time=YESTERDAY), rows, rows_read=5))
    return known


def test_a_page_that_was_read_tells_how_full_its_time_is() -> None:
    morning = cache_of_a_quiet_day().density.portion(NOON - timedelta(hours=9), NOON)

    assert morning == Portion(calls=5, others=0, unread=timedelta(0))


@pytest.mark.parametrize(("was_read", "goes_on"), [(True, True), (False, False)])
def test_a_list_is_read_on_down_where_little_is_expected_by_what_was_read(
    was_read: bool, goes_on: bool
) -> None:
    """The account is as busy as a call centre, but not at that time."""
    costs = costs_from_spans(timedelta(minutes=1), timedelta(minutes=1))
    known = cache_of_a_quiet_day() if was_read else OperationCache(NOW)
    down = ScanDown(costs, NOON - timedelta(hours=9), 10, known.density)
    row = recording_at(1, NOON)
    page = Page(ListRecordings(page_size=50), (row,), next=PageRef(1, "x"), rows_read=1)
    keys = [ListRecordings(call_sid=call(n, NOON).sid) for n in range(5)]

    assert (down.next_request(page, {}, keys) is not None) == goes_on
