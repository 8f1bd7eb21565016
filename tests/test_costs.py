"""What the planner learns and what it makes of it: density, reach, and who goes first."""

from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest

from gateway.planner import Costs, Known, Policy, Scan, plan
from gateway.planner.windows import relation_of
from gateway.upstream.requests import ListCalls, ListRecordings, ListRequest, Page, PageRef
from gateway.upstream.resources import CallResource
from tests.conftest import connect
from tests.plain_twilio import PlainTwilio
from tests.plain_twilio import call as wire_call
from tests.plain_twilio import recording as wire_recording

NOW = datetime(2026, 3, 10, 18, tzinfo=UTC)
NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)


def call(number: int, created: datetime, lag: int = 0, **given: Any) -> CallResource:
    """A call of a minute, which started `lag` seconds after it was created."""
    wire = {
        "sid": f"CA{number:032x}",
        "status": "completed",
        "direction": "inbound",
        "date_created": format_datetime(created),
        "start_time": format_datetime(created + timedelta(seconds=lag)),
        "end_time": format_datetime(created + timedelta(seconds=60)),
    }
    return msgspec.convert(wire | given, CallResource)


def learned(*spans: timedelta) -> Costs:
    """Costs that have seen pages of 101 calls, over these spans of time."""
    costs = Costs()
    for span in spans:
        rows = tuple(call(n, NOON - span * (n / 100)) for n in range(101))
        costs.note(Page(ListCalls(), rows, rows_read=101))
    return costs


def asked_yesterday(costs: Costs) -> list[ListRequest[Any]]:
    """The first pages of the scans that are planned for the recordings of 50 calls at noon."""
    known = Known(NOW)
    rows = [call(n, NOON + timedelta(seconds=n)) for n in range(50)]
    for row in rows:
        known.note(row)
    keys = [ListRecordings(call_sid=row.sid) for row in rows]
    scans = [step for step in plan(keys, known, costs, Policy()) if isinstance(step, Scan)]
    return [request for scan in scans for request in scan.send()]


def test_a_density_is_rows_by_time_so_that_a_night_weighs_more_than_a_busy_minute() -> None:
    per_day = learned(timedelta(minutes=1), timedelta(hours=12)).rows_per_day["calls"]

    assert per_day == pytest.approx(400, rel=0.1)


@pytest.mark.parametrize("per_day", [200, 20_000, 200_000])
def test_a_density_is_learned_within_three_pages(per_day: int) -> None:
    span = timedelta(days=100 / per_day)

    assert learned(span, span, span).rows_per_day["calls"] == pytest.approx(per_day, rel=0.2)


@pytest.mark.parametrize("seconds", [0, -60])
def test_a_page_that_spans_no_time_teaches_no_density(seconds: int) -> None:
    assert learned(timedelta(seconds=seconds)).rows_per_day == Costs().rows_per_day


def test_no_scan_is_sent_whose_first_page_does_not_come_to_a_key() -> None:
    """It could not go on: see Note [Allowance]."""
    assert len(asked_yesterday(Costs(rows_per_day={"recordings": 2000.0}))) == 1
    assert asked_yesterday(Costs(rows_per_day={"recordings": 5000.0})) == []


def test_the_page_that_must_come_to_a_key_has_twice_the_room() -> None:
    (request,) = asked_yesterday(Costs(rows_per_day={"recordings": 400.0}))

    expected = 400 * (0.5 + 1 / 24 / 60)
    assert 2.0 * expected <= request.page_size < 2.1 * expected + 50


def test_calls_that_start_out_of_the_order_of_their_creation_are_covered() -> None:
    """Lists are in the order of date_created; a queue makes some calls start later than others."""
    known = Known(NOW)
    parent = call(1, NOON)
    key = ListCalls(parent_call_sid=parent.sid)
    edge = relation_of(key)
    assert edge is not None
    covering = edge[1].within(date(2026, 3, 9), date(2026, 3, 9), 50)
    child = call(2, NOON + timedelta(seconds=5), lag=50, parent_call_sid=parent.sid)
    rows = (
        call(3, NOON + timedelta(seconds=9)),
        child,
        parent,
        call(4, NOON - timedelta(hours=1)),
    )
    known.note(parent)
    known.begin_covering(edge[1], covering)
    known.note(Page(covering, rows, next=PageRef(1, "PAx"), rows_read=4))

    answer = known.answer(key)
    assert answer is not None
    assert list(answer.value.rows) == [child]


async def test_scans_are_sent_before_the_keys_that_are_asked_one_by_one() -> None:
    """The round waits longest for them, and connections are few."""
    rows = [wire_call(n, at=60 * n) for n in range(30)][::-1]
    recordings = [wire_recording(n, of=n, at=60 * n + 9) for n in range(30)][::-1]
    twilio = PlainTwilio(rows, recordings)
    async with connect(twilio, max_in_flight=2) as client:
        await client.data("""{ calls(first: 30, filter: {status: [COMPLETED]}) { nodes {
            childCalls { nodes { sid } } recordings { nodes { sid } } } } }""")

    assert len(twilio.requests) == 32
    assert twilio.requests[1].startswith("GET Recordings?")
