"""Connections: page arguments, cursors, merged statuses and filters against a plain oracle."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.conftest import Client, connect
from tests.plain_twilio import NOON, PlainTwilio, Row, call, sid

STATUSES = ["queued", "in-progress", "completed", "busy"]
WALK = """query($first: Int, $after: String, $filter: CallFilter) {
  calls(first: $first, after: $after, filter: $filter) {
    edges { cursor node { sid } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
BACK = """query($last: Int, $before: String, $filter: CallFilter) {
  calls(last: $last, before: $before, filter: $filter) {
    edges { cursor node { sid } } pageInfo { hasNextPage hasPreviousPage }
  }
}"""


@st.composite
def accounts(draw: st.DrawFn) -> list[Row]:
    """Calls newest first, with many equal seconds, some never dialed."""
    ages = sorted(draw(st.lists(st.integers(0, 12), max_size=12)))
    rows = []
    for number, age in enumerate(ages):
        row = call(number, at=-age, status=draw(st.sampled_from(STATUSES)))
        if draw(st.booleans()) and row["status"] == "queued":
            row |= {"start_time": None, "end_time": None}
        rows.append(row)
    return rows


def in_merged_order(rows: Sequence[Row], statuses: Sequence[str]) -> list[str]:
    """The oracle of several statuses: newest first; within one second, status by status."""
    kept = [row for row in rows if row["status"] in statuses]
    ranked = sorted(
        kept, key=lambda row: (-created(row).timestamp(), STATUSES.index(row["status"]))
    )
    return [row["sid"] for row in ranked]


def created(row: Row) -> datetime:
    """When the call was made."""
    return datetime.strptime(row["date_created"], "%a, %d %b %Y %H:%M:%S %z")


def graphql_statuses(statuses: Sequence[str]) -> list[str]:
    """The wire values as GraphQL enum values."""
    return [status.upper().replace("-", "_") for status in statuses]


async def walk(client: Client, first: int, filter_: Any) -> tuple[list[str], list[str]]:
    """Every row of a connection and its cursor, page by page."""
    sids: list[str] = []
    cursors: list[str] = []
    after = None
    while True:
        page = (await client.data(WALK, first=first, after=after, filter=filter_))["calls"]
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        sids += [edge["node"]["sid"] for edge in page["edges"]]
        cursors += [edge["cursor"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            return sids, cursors
        assert len(page["edges"]) == first
        after = page["pageInfo"]["endCursor"]


some_statuses = st.lists(st.sampled_from(STATUSES), min_size=1, max_size=4, unique=True)


@given(accounts(), st.integers(1, 7))
async def test_a_walk_gives_each_call_once_in_upstreams_order(rows: list[Row], first: int) -> None:
    async with connect(PlainTwilio(calls=rows)) as client:
        sids, _ = await walk(client, first, None)

    assert sids == [row["sid"] for row in rows]


@given(accounts(), some_statuses, st.integers(1, 7))
async def test_several_statuses_are_merged_newest_first(
    rows: list[Row], statuses: list[str], first: int
) -> None:
    async with connect(PlainTwilio(calls=rows)) as client:
        sids, _ = await walk(client, first, {"status": graphql_statuses(statuses)})

    assert sids == in_merged_order(rows, statuses)


@given(accounts(), some_statuses, st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
async def test_any_cursor_leads_on_and_back(
    rows: list[Row], statuses: list[str], first: int, last: int, pick: int
) -> None:
    filter_ = {"status": graphql_statuses(statuses)}
    async with connect(PlainTwilio(calls=rows)) as client:
        sids, cursors = await walk(client, first, filter_)
        if not sids:
            return
        place = pick % len(sids)
        on = (await client.data(WALK, first=last, after=cursors[place], filter=filter_))["calls"]
        back = (await client.data(BACK, last=last, before=cursors[place], filter=filter_))["calls"]

    assert [edge["node"]["sid"] for edge in on["edges"]] == sids[place + 1 :][:last]
    assert [edge["node"]["sid"] for edge in back["edges"]] == sids[max(0, place - last) : place]
    assert back["pageInfo"] == {"hasNextPage": True, "hasPreviousPage": place > last}


# A page that ends at its token begins where its size says: the cursor has to keep that size.
SIZES_DIFFER = [
    *[call(n, status="queued") for n in range(5)],
    call(5, status="in-progress"),
    *[call(n, at=-1, status="queued") for n in (6, 7, 8)],
]


# A backward page that holds the cursor's own row at its end does not end with the row above it.
OWN_ROW_LAST = [
    *[call(n, status="queued") for n in range(8)],
    call(8, status="completed"),
    *[call(n, at=-1, status="queued") for n in (9, 10)],
    call(11, at=-1, status="completed"),
]


@example(SIZES_DIFFER, ["queued", "in-progress"], 1, 3)
@example(OWN_ROW_LAST, ["queued", "completed"], 1, 2)
@given(accounts(), some_statuses, st.integers(1, 7), st.integers(1, 5))
async def test_walking_back_in_steps_gives_each_call_once(
    rows: list[Row], statuses: list[str], first: int, last: int
) -> None:
    filter_ = {"status": graphql_statuses(statuses)}
    async with connect(PlainTwilio(calls=rows)) as client:
        sids, cursors = await walk(client, first, filter_)
        before = cursors[-1] if cursors else None
        seen = sids[-1:]
        while before:
            page = (await client.data(BACK, last=last, before=before, filter=filter_))["calls"]
            seen = [edge["node"]["sid"] for edge in page["edges"]] + seen
            before = page["edges"][0]["cursor"] if page["pageInfo"]["hasPreviousPage"] else None

    assert seen == sids


@given(accounts(), some_statuses, st.integers(1, 4), st.integers(1, 6))
async def test_calls_that_arrive_during_a_walk_move_nothing(
    rows: list[Row], statuses: list[str], first: int, arriving: int
) -> None:
    """Each call that was there at the start comes once and in order; new ones are newer."""
    filter_ = {"status": graphql_statuses(statuses)}
    twilio = PlainTwilio(calls=list(rows))
    seen: list[str] = []
    after, step = None, 0
    async with connect(twilio) as client:
        while True:
            page = (await client.data(WALK, first=first, after=after, filter=filter_))["calls"]
            # Every edge's own cursor, not only the last one's, must survive.
            seen += [edge["node"]["sid"] for edge in page["edges"][:1]]
            if not page["edges"]:
                break
            after = page["edges"][0]["cursor"]
            step += 1
            twilio.calls[:0] = [
                call(1000 * step + n, at=step, status=statuses[n % len(statuses)])
                for n in reversed(range(arriving))
            ]

    assert seen == in_merged_order(rows, statuses)


@given(accounts(), st.integers(1, 4))
async def test_a_call_that_leaves_its_list_loses_none_of_the_others(
    rows: list[Row], first: int
) -> None:
    """The call of the cursor's row ends: the rest of the list still comes, each row once."""
    rows = [row | {"status": "in-progress", "date_created": call(0, at=-n)["date_created"]}
            for n, row in enumerate(rows)]  # fmt: skip
    twilio = PlainTwilio(calls=rows)
    seen: list[str] = []
    after = None
    async with connect(twilio) as client:
        while True:
            variables = {"first": first, "after": after, "filter": {"status": ["IN_PROGRESS"]}}
            page = (await client.data(WALK, **variables))["calls"]
            if not page["edges"]:
                break
            seen.append(page["edges"][0]["node"]["sid"])
            after = page["edges"][0]["cursor"]
            next(row for row in twilio.calls if row["sid"] == seen[-1])["status"] = "completed"

    assert seen == [row["sid"] for row in rows]


instants = st.integers(-3 * 86400, 3 * 86400).map(lambda s: NOON + timedelta(seconds=s))
ranges = st.tuples(instants, instants).filter(lambda pair: pair[0] < pair[1])


@given(st.lists(st.integers(-3 * 86400, 3 * 86400), max_size=30), ranges, st.integers(1, 6))
async def test_time_ranges_are_exact_to_the_second(
    starts: list[int], range_: tuple[datetime, datetime], first: int
) -> None:
    rows = [call(n, at=at) for n, at in enumerate(sorted(starts, reverse=True))]
    gte, lt = range_
    filter_ = {"startTime": {"gte": gte.isoformat(), "lt": lt.isoformat()}}
    async with connect(PlainTwilio(calls=rows)) as client:
        sids, _ = await walk(client, first, filter_)

    assert sids == [row["sid"] for row in rows if gte <= created(row) < lt]


async def test_a_thousand_rows_are_one_request_and_a_page_is_as_large_as_asked() -> None:
    twilio = PlainTwilio(calls=[call(n, at=-n) for n in range(1500)])
    async with connect(twilio) as client:
        query = "{ calls(first: 1000) { edges { cursor } } }"
        edges = (await client.data(query))["calls"]["edges"]
        assert len(edges) == 1000
        assert twilio.asked() == ["GET Calls?PageSize=1000"]

        page = (await client.data(WALK, first=500, after=edges[-1]["cursor"]))["calls"]
        assert [edge["node"]["sid"] for edge in page["edges"]] == [
            sid("CA", n) for n in range(1000, 1500)
        ]
        assert twilio.asked() == [f"GET Calls?PageSize=501&Page=1&PageToken=PA{sid('CA', 999)}"]


async def test_a_time_of_day_is_sifted_from_whole_days_in_large_pages() -> None:
    twilio = PlainTwilio(calls=[call(n, at=-n) for n in range(100)])
    async with connect(twilio) as client:
        filter_ = {"startTime": {"lt": (NOON - timedelta(seconds=90)).isoformat()}}
        page = (await client.data(WALK, first=3, filter=filter_))["calls"]

    assert [edge["node"]["sid"] for edge in page["edges"]] == [sid("CA", n) for n in (91, 92, 93)]
    assert twilio.asked() == ["GET Calls?StartTime<=2026-03-11&PageSize=1000"]


@pytest.mark.parametrize(
    ("filter_", "query"),
    [
        ({"startTime": {"on": "2026-03-10"}}, "StartTime=2026-03-10"),
        ({"startTime": {"gte": "2026-03-10T00:00:00Z"}}, "StartTime>=2026-03-10"),
        ({"startTime": {"lt": "2026-03-10T00:00:00Z"}}, "StartTime<=2026-03-10"),
        ({"endTime": {"on": "2026-03-10"}}, "EndTime=2026-03-10"),
        ({"to": "client:tommy"}, "To=client:tommy"),
        ({"from": "+16175550101"}, "From=+16175550101"),
        ({"status": ["NO_ANSWER"]}, "Status=no-answer"),
        ({"parentCallSid": sid("CA", 1)}, f"ParentCallSid={sid('CA', 1)}"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_filter_that_twilio_can_answer_costs_one_request(filter_: Any, query: str) -> None:
    twilio = PlainTwilio(calls=[call(1)])
    async with connect(twilio) as client:
        await client.data(WALK, first=5, filter=filter_)

    assert twilio.asked() == [f"GET Calls?{query}&PageSize=6"]


@pytest.mark.parametrize("ignored", ["Status", "To", "StartTime"])
async def test_a_filter_that_upstream_silently_ignores_is_still_exact(ignored: str) -> None:
    """Twilio ignores a parameter that it does not know and returns all calls.

    See docs/twilio.md#1-surprising-facts, fact 4.
    """

    class Ignoring(PlainTwilio):
        async def handle_async_request(self, request: Any) -> Any:
            request.url = request.url.copy_remove_param(ignored)
            return await super().handle_async_request(request)

    rows = [call(n, at=-n, status="busy" if n % 3 else "completed") for n in range(20)]
    for row in rows[::3]:
        row |= {"to": "client:tommy"}
    rows[0]["start_time"] = None
    async with connect(Ignoring(calls=rows)) as client:
        filter_ = {
            "status": ["COMPLETED"],
            "to": "client:tommy",
            "startTime": {"on": "2026-03-10"},
        }
        sids, _ = await walk(client, 2, filter_)

    assert sids == [sid("CA", n) for n in (3, 6, 9, 12, 15, 18)]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("first: 1001", "BAD_USER_INPUT"),
        ("first: -1", "BAD_USER_INPUT"),
        ("last: 5", "BAD_USER_INPUT"),
        ('before: "x"', "BAD_USER_INPUT"),
        ('first: 1, last: 1, before: "x"', "BAD_USER_INPUT"),
        ('after: "x"', "INVALID_CURSOR"),
        ('after: ""', "INVALID_CURSOR"),
        ('after: "é"', "INVALID_CURSOR"),
        ("filter: {status: []}", "INVALID_FILTER"),
        ("filter: {status: [UNKNOWN]}", "INVALID_FILTER"),
        ('filter: {to: " "}', "INVALID_FILTER"),
        ("filter: {startTime: {}}", "INVALID_FILTER"),
        ('filter: {startTime: {on: "2026-01-01", gte: "2026-01-01T00:00:00Z"}}', "INVALID_FILTER"),
        (
            'filter: {startTime: {gte: "2026-01-01T00:00:00Z", lt: "2026-01-01T00:00:00Z"}}',
            "INVALID_FILTER",
        ),
        ('filter: {parentCallSid: "CA/../x"}', "BAD_USER_INPUT"),
    ],
)
async def test_arguments_that_cannot_be_are_refused_with_nothing_sent(
    arguments: str, code: str
) -> None:
    twilio = PlainTwilio()
    async with connect(twilio) as client:
        error = await client.error(f"{{ calls({arguments}) {{ nodes {{ sid }} }} }}")

    assert error["extensions"]["code"] == code
    assert twilio.asked() == []


@given(st.integers(0, 999), st.sampled_from("ABCDEFGHabcdefgh0123456789-_.= \x00é"))
async def test_a_damaged_cursor_is_refused(pick: int, letter: str) -> None:
    twilio = PlainTwilio(calls=[call(1), call(2)])
    async with connect(twilio) as client:
        cursor = (await client.data(WALK, first=1))["calls"]["pageInfo"]["endCursor"]
        place = pick % len(cursor)
        damaged = cursor[:place] + letter + cursor[place + 1 :]
        twilio.asked()
        if damaged == cursor:
            return
        error = await client.error(WALK, first=1, after=damaged)

    assert error["extensions"]["code"] == "INVALID_CURSOR"
    assert twilio.asked() == []


async def test_a_cursor_of_another_filter_or_account_or_call_is_refused() -> None:
    twilio = PlainTwilio(calls=[call(1), call(2)])
    async with connect(twilio) as client:
        cursor = (await client.data(WALK, first=1))["calls"]["pageInfo"]["endCursor"]
        error = await client.error(WALK, after=cursor, filter={"status": ["BUSY"]})
        assert error["extensions"]["code"] == "INVALID_CURSOR"
        edge = """query($sid: ID!, $after: String) {
            call(sid: $sid) { recordings(after: $after) { nodes { sid } } } }"""
        error = await client.error(edge, sid=sid("CA", 1), after=cursor)
        assert error["extensions"]["code"] == "INVALID_CURSOR"


async def test_a_list_that_takes_more_pages_than_allowed_is_cut_short() -> None:
    twilio = PlainTwilio(calls=[call(n, at=-n) for n in range(5000)])
    async with connect(twilio, page_budget=3) as client:
        filter_ = {"startTime": {"lt": (NOON - timedelta(seconds=4000)).isoformat()}}
        answer = await client.answer(WALK, first=3, filter=filter_)

    assert answer["data"]["calls"]["edges"] == []
    assert answer["data"]["calls"]["pageInfo"]["hasNextPage"]
    assert [w["reason"] for w in answer["extensions"]["warnings"]] == ["BUDGET_EXCEEDED"]
    assert len(twilio.asked()) == 3


async def test_a_row_that_comes_again_on_the_next_page_appears_once() -> None:
    """docs/twilio.md#5-lists: paging once lost or repeated rows; dedupe by SID."""
    rows = [call(n, at=-n) for n in (1, 2, 3)]
    twilio = PlainTwilio(calls=[rows[0], rows[1], rows[1], rows[2]])
    async with connect(twilio) as client:
        filter_ = {"startTime": {"lt": (NOON + timedelta(seconds=1)).isoformat()}}
        sids, _ = await walk(client, 10, filter_)

    assert sids == [sid("CA", n) for n in (1, 2, 3)]


async def test_edges_of_a_call_page_like_the_root_list() -> None:
    """More children than a page: known rows first, then upstream's own pages."""
    children = [
        call(n, at=100 - n, parent_call_sid=sid("CA", 999), direction="outbound-dial")
        for n in range(70)
    ]
    twilio = PlainTwilio(calls=[*children, call(999, at=0)])
    page = """query($after: String) { calls(first: 100) { nodes { sid
        childCalls(first: 60, after: $after) { nodes { sid } pageInfo { hasNextPage endCursor } }
    } } }"""
    async with connect(twilio) as client:
        nodes = (await client.data(page))["calls"]["nodes"]
        first = next(node for node in nodes if node["sid"] == sid("CA", 999))["childCalls"]
        assert first["pageInfo"]["hasNextPage"]
        more = f"""{{ call(sid: "{sid("CA", 999)}") {{
            childCalls(after: "{first["pageInfo"]["endCursor"]}") {{
                nodes {{ sid }} pageInfo {{ hasNextPage }} }} }} }}"""
        second = (await client.data(more))["call"]["childCalls"]

    sids = [node["sid"] for node in first["nodes"] + second["nodes"]]
    assert sids == [row["sid"] for row in children]
    assert not second["pageInfo"]["hasNextPage"]
