"""The numbers of PLANNER.md: how many requests a query for 50 calls and their edges takes."""

from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from gateway.settings import PlannerMode, Switch
from tests.conftest import connect
from tests.plain_twilio import NOON, PlainTwilio, call, error, notification, recording, sid

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
    """How many distinct parents of the first 50 calls are not among them."""
    page = twilio.calls[:50]
    parents = {row["parent_call_sid"] for row in page} - {None}
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
    """The top is far, but upstream's links name rows: the page above the oldest call shows all."""
    twilio = call_centre()
    middle = twilio.calls[100:150]
    until = middle[0]["date_created"]
    filter_ = {
        "startTime": {"lt": (parsedate_to_datetime(until) + timedelta(seconds=1)).isoformat()}
    }
    async with connect(twilio, NOON + timedelta(days=days)) as client:
        await client.data("{ calls(first: 10) { nodes { sid } } }")
        twilio.asked()
        answer = await client.data(FIFTY, filter=filter_)
    asked = twilio.asked()
    async with connect(twilio, planner=PlannerMode.PER_KEY) as client:
        assert await client.data(FIFTY, filter=filter_) == answer

    oldest = middle[-1]["sid"]
    upward = [request for request in asked if "PageToken" in request]
    assert [request.partition("PageToken=")[2] for request in upward] == [f"PB{oldest}"]
    children = [request for request in asked if "ParentCallSid" in request]
    assert [oldest in request for request in children] == [True] * len(children)


async def test_a_live_call_is_asked_per_key() -> None:
    """What it will still get may be in no list yet."""
    twilio = call_centre()
    for row in twilio.calls[:3]:
        row |= {"status": "in-progress", "end_time": None}
    async with connect(twilio) as client:
        await client.data(FIFTY)

    per_call = [r for r in twilio.asked() if r.startswith("GET Calls/") and "PageSize" in r]
    live = sorted(row["sid"] for row in twilio.calls[:3])
    assert sorted({request.split("/")[1] for request in per_call}) == live


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
