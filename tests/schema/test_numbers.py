"""How many requests a query for 50 calls and their edges takes: docs/design/planner.md."""

from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.settings import PlannerMode, Switch
from tests.conftest import connect
from tests.plain_twilio import NOON, PlainTwilio, Row, call, error, notification, recording, sid

JUST_AFTER = NOON - timedelta(hours=18)
EDGES = """
    parentCall { sid status to from }
    childCalls { nodes { sid status to duration } }
    recordings { nodes { sid duration status source } }
    notifications { nodes { sid log errorCode messageDate } }"""
FIFTY = f"""query($filter: CallFilter) {{
    calls(first: 50, filter: $filter) {{ nodes {{ {EDGES} }} }} }}"""
TREE = f"""{{ calls(first: 50) {{ nodes {{ {EDGES}
    children: childCalls {{ nodes {{ sid {EDGES}
        children: childCalls {{ nodes {{ recordings {{ nodes {{ sid }} }} }} }} }} }} }} }} }}"""


def call_centre() -> PlainTwilio:
    """Two days, 200 calls: each third dials two legs; some parents are off the first page."""
    calls, recordings, notifications = [], [], []
    for number in range(200):
        leg = number % 3
        parent = number - leg if leg else None
        at = 120 * number - 90_000
        given: dict[str, Any] = {}
        if parent is not None:
            given = {"parent_call_sid": sid("CA", parent), "direction": "outbound-dial"}
        calls.append(call(number, at=at, **given))
        if not leg:
            recordings.append(recording(number, of=number, at=at + 20))
        if number % 7 == 0:
            notifications.append(notification(number, of=number, at=at + 60))
    return PlainTwilio(calls[::-1], recordings[::-1], notifications[::-1])


def off_page(twilio: PlainTwilio) -> int:
    """The number of distinct parents of the first 50 calls that are not on their page of 76.

    It has one row that tells whether others follow, and 25 beyond the second in which it ends.
    """
    page = twilio.calls[:76]
    parents = {row["parent_call_sid"] for row in page[:50]} - {None}
    return len(parents - {row["sid"] for row in page})


async def test_the_first_page_takes_three_requests_and_one_for_each_parent_off_the_page() -> None:
    twilio = call_centre()
    async with connect(twilio) as client:
        answer = await client.data(FIFTY)
    asked = twilio.asked()
    async with connect(twilio, planner=PlannerMode.PER_KEY) as client:
        plain = await client.data(FIFTY)

    assert answer == plain
    assert len(asked) == 3 + off_page(twilio)
    lists = [request for request in asked if "PageSize" in request]
    assert [request.partition("?")[0] for request in lists] == [
        "GET Calls",
        "GET Notifications",
        "GET Recordings",
    ]
    assert len(twilio.asked()) > 150


async def test_three_levels_take_no_more_than_one_plan_for_each_edge_and_round() -> None:
    twilio = call_centre()
    async with connect(twilio) as client:
        tree = await client.data(TREE)
    asked = twilio.asked()
    async with connect(twilio, planner=PlannerMode.PER_KEY) as client:
        assert await client.data(TREE) == tree

    assert len(asked) == 3 + off_page(twilio)


FILTERS = [{"status": ["COMPLETED"]}, {"startTime": {"lt": "2026-03-11T00:00:00Z"}}]


@pytest.mark.parametrize("scan_child_calls", Switch)
@pytest.mark.parametrize("filter_", FILTERS, ids=["status", "window"])
async def test_a_filtered_list_takes_one_more_for_the_children_of_all_its_calls(
    filter_: Any, scan_child_calls: Switch
) -> None:
    twilio = call_centre()
    async with connect(twilio, JUST_AFTER, scan_child_calls=scan_child_calls) as client:
        answer = await client.data(FIFTY, filter=filter_)
    asked = twilio.asked()
    async with connect(twilio, planner=PlannerMode.PER_KEY) as client:
        assert await client.data(FIFTY, filter=filter_) == answer

    assert len(asked) == 4 + off_page(twilio)
    assert not [request for request in asked if "ParentCallSid" in request]


@pytest.mark.parametrize("days", [2, 200])
async def test_children_of_calls_long_ago_are_read_just_above_them(days: int) -> None:
    """The top is known to be far, but upstream's links name rows: the page above shows all."""
    twilio = call_centre()
    newer = [call(1000 + number, at=-60_000 + 40 * number) for number in range(1100)]
    middle, below = twilio.calls[100:150], twilio.calls[150]
    twilio.calls[:0] = newer[::-1]
    until = middle[0]["date_created"]
    filter_ = {
        "startTime": {"lt": (parsedate_to_datetime(until) + timedelta(seconds=1)).isoformat()}
    }
    async with connect(twilio, NOON + timedelta(days=days)) as client:
        await client.data("{ calls(first: 1000) { nodes { sid } } }")
        twilio.asked()
        answer = await client.data(FIFTY, filter=filter_)
    asked = twilio.asked()
    async with connect(twilio, planner=PlannerMode.PER_KEY) as client:
        assert await client.data(FIFTY, filter=filter_) == answer

    oldest, older = middle[-1]["sid"], below["sid"]
    upward = [request for request in asked if "PageToken" in request]
    assert [request.partition("PageToken=")[2] for request in upward] == [f"PB{older}"]
    children = [request for request in asked if "ParentCallSid" in request]
    assert [oldest in request for request in children] == [True] * len(children)


async def both_ways(
    twilio: PlainTwilio, now: datetime, query: str = FIFTY, **variables: Any
) -> list[str]:
    """The planned requests; the response must equal the one per key."""
    async with connect(twilio, now) as client:
        answer = await client.data(query, **variables)
    asked = twilio.asked()
    async with connect(twilio, now, planner=PlannerMode.PER_KEY) as client:
        plain = await client.data(query, **variables)
    per_key = twilio.asked()
    assert answer == plain
    assert len(asked) <= len(per_key) + 4
    return asked


async def test_live_calls_are_answered_by_the_same_lists() -> None:
    """Read from the top down past its creation, a list shows what a call has at that moment.

    So the list has no upper bound. The account is as it is at one moment.
    """
    twilio = call_centre()
    for row in twilio.calls[:9]:
        row |= {"status": "in-progress", "end_time": None}
    asked = await both_ways(twilio, JUST_AFTER)

    assert len(asked) == 3 + off_page(twilio)
    lists = [request for request in asked if "PageSize" in request]
    assert lists == [
        "GET Calls?PageSize=76",
        "GET Notifications?MessageDate>=2026-03-09&PageSize=1000",
        "GET Recordings?DateCreated>=2026-03-09&PageSize=1000",
    ]


def burst(calls: int) -> PlainTwilio:
    """Calls of ten minutes about noon, some recorded, some with a leg."""
    made, recordings, notifications = [], [], []
    for number in range(calls):
        at = 600 * number // calls
        given: dict[str, Any] = {}
        if number % 4 == 3:
            given = {"parent_call_sid": sid("CA", number - 1), "direction": "outbound-dial"}
        made.append(call(number, at=at, **given))
        recordings.append(recording(number, of=number, at=at + 20))
        notifications.append(notification(number, of=number, at=at + 60))
    return PlainTwilio(made[::-1], recordings[::-1], notifications[::-1])


@pytest.mark.parametrize(
    ("calls", "filter_", "more"),
    [(59, None, 0), (59, {"startTime": {"on": "2026-03-10"}}, 1), (900, None, 0)],
    ids=["newest", "on a day", "two in a second"],
)
async def test_a_busy_minute_says_nothing_of_the_rest_of_its_day(
    calls: int, filter_: Any, more: int
) -> None:
    """Ten minutes of yesterday: three requests, and on a filtered page one for the children."""
    twilio = burst(calls)
    asked = await both_ways(twilio, NOON + timedelta(days=1), filter=filter_)

    assert len(asked) == 3 + more + off_page(twilio)


async def test_a_page_that_was_scrolled_to_takes_one_more_for_its_children() -> None:
    """What lies above it was not read: a list is tried where none was seen to be too long."""
    twilio = burst(109)
    now = NOON + timedelta(days=1)
    async with connect(twilio, now) as client:
        first = await client.data("{ calls(first: 50) { pageInfo { endCursor } } }")
    twilio.asked()
    query = FIFTY.replace("$filter: CallFilter", "$after: String").replace(
        "filter: $filter", "after: $after"
    )
    asked = await both_ways(twilio, now, query, after=first["calls"]["pageInfo"]["endCursor"])

    page = {row["sid"] for row in twilio.calls[50:126]}
    parents = {row["parent_call_sid"] for row in twilio.calls[50:100]} - {None} - page
    assert len(asked) == 4 + len(parents)


@pytest.mark.parametrize(("size", "spare"), [(24, 0), (25, 25), (50, 25), (980, 19), (1000, 0)])
async def test_a_page_whose_children_are_wanted_has_spare_rows(size: int, spare: int) -> None:
    """Not a small page, nor beyond Twilio's largest, nor a filtered one: it proves no children."""
    twilio = PlainTwilio()
    page = f"calls(first: {size})"
    filtered = f'calls(first: {size}, filter: {{ to: "client:ann" }})'
    async with connect(twilio, max_cost=10**6) as client:
        await client.data(f"{{ {page} {{ nodes {{ childCalls {{ nodes {{ sid }} }} }} }} }}")
        await client.data(f"{{ {page} {{ nodes {{ sid }} }} }}")
        await client.data(f"{{ {filtered} {{ nodes {{ childCalls {{ nodes {{ sid }} }} }} }} }}")
    usual = min(size + 1, 1000)

    assert twilio.requests == [
        f"GET Calls?PageSize={usual + spare}",
        f"GET Calls?PageSize={usual}",
        f"GET Calls?To=client:ann&PageSize={usual}",
    ]


@st.composite
def dense_accounts(draw: st.DrawFn) -> PlainTwilio:
    """Two days of at most 1,000 rows in each list, however dense within them."""
    made: list[Row] = []
    recordings: list[Row] = []
    notifications: list[Row] = []
    at, step = 0, 1
    for number in range(draw(st.integers(55, 90))):
        if number % 10 == 0:
            step = draw(st.sampled_from([1, 2, 60, 1500]))
        at += step
        given: dict[str, Any] = {}
        if draw(st.integers(0, 3)) == 0 and number:
            parent = number - draw(st.integers(1, min(number, 70)))
            given = {"parent_call_sid": sid("CA", parent), "direction": "outbound-dial"}
        made.append(call(number, at=at, **given))
        for _ in range(draw(st.sampled_from([0, 1, 1, 5, 11]))):
            recordings.append(recording(len(recordings), of=number, at=at + 30))
            notifications.append(notification(len(notifications), of=number, at=at + 40))
    return PlainTwilio(made[::-1], recordings[::-1], notifications[::-1])


@settings(max_examples=25)
@given(dense_accounts())
async def test_fifty_finished_calls_take_three_requests_and_those_for_parents(
    twilio: PlainTwilio,
) -> None:
    asked = await both_ways(twilio, NOON + timedelta(days=2))

    assert len(asked) <= 3 + off_page(twilio)


async def test_a_scan_that_fails_leaves_its_keys_to_be_asked_per_key() -> None:
    twilio = call_centre()

    def no_account_lists(request: httpx.Request) -> httpx.Response | None:
        wide = request.url.path.endswith(("/Recordings.json", "/Notifications.json"))
        return error(503, 20503) if wide and "/Calls/" not in request.url.path else None

    twilio.fault = no_account_lists
    async with connect(twilio) as client:
        answer = await client.data(FIFTY)
    twilio.fault = None
    async with connect(twilio, planner=PlannerMode.PER_KEY) as client:
        assert await client.data(FIFTY) == answer


async def test_a_budget_leaves_what_was_read_and_names_what_was_not() -> None:
    twilio = call_centre()
    async with connect(twilio, planner=PlannerMode.PER_KEY, request_budget=20) as client:
        answer = await client.answer(FIFTY)

    assert len(twilio.asked()) == 20
    assert {e["extensions"]["code"] for e in answer["errors"]} == {"BUDGET_EXCEEDED"}
    nodes = answer["data"]["calls"]["nodes"]
    cells = [node[edge] for node in nodes for edge in ("recordings", "notifications", "childCalls")]
    assert len(nodes) == 50
    assert 0 < sum(cell is not None for cell in cells) <= 20
    for failure in answer["errors"]:
        *_, place, edge = failure["path"]
        assert nodes[place][edge] is None


async def test_a_property_that_only_a_calls_own_list_has_keeps_its_edge_per_key() -> None:
    """The account's list has no `track`: a scan would cost a request for each recording."""
    twilio = call_centre()
    query = "{ calls(first: 50) { nodes { recordings { nodes { sid ...Voice } } } } }"
    async with connect(twilio) as client:
        data = await client.data(query + " fragment Voice on Recording { track }")

    tracks = [
        row["track"] for node in data["calls"]["nodes"] for row in node["recordings"]["nodes"]
    ]
    assert set(tracks) == {"BOTH"}
    assert len(twilio.asked()) == 51
