"""`refine`: what Twilio cannot filter by is checked here, row by row, within the row budget."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Client, connect
from tests.plain_twilio import NOON, PlainTwilio, Row, call, rfc_2822, sid
from tests.schema.test_cost import cost
from tests.server.stage import served

REFINED = """query($first: Int, $after: String, $filter: CallFilter, $refine: CallRefinement) {
  calls(first: $first, after: $after, filter: $filter, refine: $refine) {
    nodes { sid } isComplete pageInfo { hasNextPage endCursor } } }"""


def account() -> PlainTwilio:
    """Five calls, the newest first: what refines a list differs between them."""
    return PlainTwilio(
        calls=[
            call(1, at=-1, duration="9", answered_by="human"),
            call(2, at=-2, direction="outbound-api", duration="10", answered_by="machine_start"),
            call(3, at=-3, direction="outbound-dial", duration="600", phone_number_sid=None),
            call(4, at=-4, direction="trunking-terminating", duration="", answered_by="fax"),
            call(5, at=-5, direction="of tomorrow", duration="61", phone_number_sid=sid("PN", 2)),
        ]
    )


def sids_of(connection: dict[str, Any]) -> list[int]:
    """The numbers of the calls on a page."""
    return [int(node["sid"][2:], 16) for node in connection["nodes"]]


@pytest.mark.parametrize(
    ("refine", "found"),
    [
        ({"direction": "INBOUND"}, [1]),
        ({"direction": ["OUTBOUND_DIAL", "OUTBOUND_API", "OUTBOUND_API"]}, [2, 3]),
        ({"direction": ["TRUNKING_TERMINATING"]}, [4]),
        ({"direction": ["UNKNOWN"]}, [5]),
        ({"answeredBy": ["HUMAN", "FAX"]}, [1, 4]),
        ({"answeredBy": ["UNKNOWN"]}, []),
        ({"phoneNumberSid": sid("PN", 2)}, [5]),
        ({"minDuration": 10}, [2, 3, 5]),
        ({"minDuration": 1}, [1, 2, 3, 5]),
        ({"minDuration": 601}, []),
        ({"minDuration": 10, "direction": ["OUTBOUND_API", "INBOUND"]}, [2]),
    ],
)
async def test_the_matching_calls_of_one_large_page(
    refine: dict[str, Any], found: list[int]
) -> None:
    twilio = account()
    async with connect(twilio) as client:
        calls = (await client.data(REFINED, refine=refine))["calls"]

    assert sids_of(calls) == found
    assert calls["isComplete"]
    assert not calls["pageInfo"]["hasNextPage"]
    assert twilio.asked() == ["GET Calls?PageSize=1000"]


@pytest.mark.parametrize("refine", [None, {}, {"direction": None}, {"includeNeverDialed": False}])
async def test_nothing_to_refine_is_the_plain_list(refine: Any) -> None:
    twilio = account()
    async with connect(twilio) as client:
        calls = (await client.data(REFINED, refine=refine))["calls"]

    assert sids_of(calls) == [1, 2, 3, 4, 5]
    assert twilio.asked() == ["GET Calls?PageSize=51"]


async def test_it_narrows_what_the_filter_selects_and_says_what_it_read() -> None:
    """Twilio gets the filter; the explanation shows rows read, and rows used."""
    twilio = account()
    query = """{ calls(filter: {from: "+16175550101", startTime: {on: "2026-03-10"}},
                       refine: {minDuration: 60}) { nodes { sid } } }"""
    async with served(twilio) as client:
        response = await client.post(
            "/graphql", json={"query": query}, headers={"Gateway-Explain": "requests"}
        )
    body = response.json()
    (exchange,) = body["extensions"]["upstream"]["exchanges"]

    assert sids_of(body["data"]["calls"]) == [3, 5]
    assert twilio.asked() == ["GET Calls?From=+16175550101&StartTime=2026-03-10&PageSize=1000"]
    assert (exchange["rows"], exchange["used"]) == (5, 2)


async def test_child_calls_are_refined_from_rows_that_are_known_or_read() -> None:
    """The children on the page need no request, whatever refines them."""
    legs = [
        call(1, at=-1, parent_call_sid=sid("CA", 3), duration="5"),
        call(2, at=-2, parent_call_sid=sid("CA", 3), duration="50"),
        call(3, at=-3),
        call(4, at=-9),
    ]
    twilio = PlainTwilio(calls=legs)
    query = "{ calls { nodes { sid childCalls(refine: {minDuration: 50}) { nodes { sid } } } } }"
    of_one = f"""{{ call(sid: "{sid("CA", 3)}") {{
        childCalls(refine: {{minDuration: 50}}) {{ nodes {{ sid }} }} }} }}"""
    async with connect(twilio) as client:
        listed = (await client.data(query))["calls"]["nodes"]
        assert twilio.asked() == ["GET Calls?PageSize=76"]
        one = (await client.data(of_one))["call"]

    assert [sids_of(node["childCalls"]) for node in listed] == [[], [], [2], []]
    assert sids_of(one["childCalls"]) == [2]
    assert twilio.asked() == [
        f"GET Calls/{sid('CA', 3)}",
        f"GET Calls?ParentCallSid={sid('CA', 3)}&PageSize=1000",
    ]


async def test_a_list_beyond_the_row_budget_is_cut_short_and_goes_on_from_its_cursor() -> None:
    """Each page reads its budget and says where it stopped, even without a match."""
    rows = [call(number, at=-number, duration="1") for number in range(1, 2301)]
    rows[2200] = call(2201, at=-2201, duration="700")
    twilio = PlainTwilio(calls=rows)
    refine = {"minDuration": 600}
    async with connect(twilio, row_budget=1000) as client:
        first = await client.answer(REFINED, refine=refine)
        asked = twilio.asked()
        cut = first["data"]["calls"]
        pages = [cut]
        while pages[-1]["pageInfo"]["hasNextPage"]:
            after = pages[-1]["pageInfo"]["endCursor"]
            pages.append((await client.data(REFINED, after=after, refine=refine))["calls"])

    assert (cut["nodes"], cut["isComplete"], cut["pageInfo"]["hasNextPage"]) == ([], False, True)
    (warning,) = first["extensions"]["warnings"]
    assert (warning["code"], warning["reason"]) == ("LIST_CUT_SHORT", "BUDGET_EXCEEDED")
    assert asked == ["GET Calls?PageSize=1000"]
    assert [sids_of(page) for page in pages] == [[], [], [2201]]
    assert len(twilio.asked()) == 2


async def test_a_cursor_belongs_to_what_refines_its_list() -> None:
    async with connect(account()) as client:
        refine = {"minDuration": 10}
        page = (await client.data(REFINED, first=1, refine=refine))["calls"]["pageInfo"]
        same = await client.data(REFINED, after=page["endCursor"], refine=refine)
        other = await client.answer(REFINED, after=page["endCursor"], refine={"minDuration": 11})

    assert sids_of(same["calls"]) == [3, 5]
    assert other["errors"][0]["extensions"]["code"] == "INVALID_CURSOR"


@pytest.mark.parametrize(
    ("refine", "message"),
    [
        ({"direction": []}, "direction: an empty list matches no call; omit it to match all"),
        ({"answeredBy": []}, "answeredBy: an empty list matches no call; omit it to match all"),
        ({"phoneNumberSid": " "}, "phoneNumberSid: must not be empty; omit it to match all"),
        ({"minDuration": 0}, "minDuration: must be 1 second or more; omit it to match all"),
        ({"includeNeverDialed": True}, "includeNeverDialed: needs a startTime in the filter"),
    ],
)
async def test_a_refinement_that_cannot_be_meant_is_refused(
    refine: dict[str, Any], message: str
) -> None:
    twilio = account()
    async with connect(twilio) as client:
        answer = await client.answer(REFINED, refine=refine)

    (error,) = answer["errors"]
    assert (error["message"], error["extensions"]["code"]) == (message, "INVALID_FILTER")
    assert twilio.asked() == []


@pytest.mark.parametrize("refine", [{"minDuration": 5}, {"answeredBy": ["HUMAN"]}])
async def test_calls_never_dialed_have_no_duration_and_nobody_answers(refine: Any) -> None:
    filter_ = {"startTime": {"on": "2026-03-10"}}
    async with connect(account()) as client:
        answer = await client.answer(
            REFINED, filter=filter_, refine=refine | {"includeNeverDialed": True}
        )

    assert answer["errors"][0]["extensions"]["code"] == "INVALID_FILTER"


async def test_an_unreadable_property_does_not_match() -> None:
    """Upstream did not select the row by it, so nothing says that it belongs here."""
    twilio = PlainTwilio(calls=[call(1, duration="a minute"), call(2, direction=None)])
    async with connect(twilio) as client:
        long = await client.data(REFINED, refine={"minDuration": 1})
        inbound = await client.data(REFINED, refine={"direction": "INBOUND"})

    assert sids_of(long["calls"]) == [2]
    assert sids_of(inbound["calls"]) == [1]


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        ("refine: {minDuration: 5}", 50),
        ("refine: {includeNeverDialed: true}", 100),
        ("filter: {status: [BUSY, FAILED]}, refine: {includeNeverDialed: true}", 200),
        ("filter: {status: [BUSY, FAILED]}, refine: {includeNeverDialed: false}", 100),
        ("filter: {status: $s}, refine: {includeNeverDialed: $n}", 200),
        ("filter: {status: $s}, refine: $r", 200),
    ],
)
def test_calls_never_dialed_cost_one_more_list_for_each_status(arguments: str, rows: int) -> None:
    text = f"""query($s: [CallStatus!], $n: Boolean, $r: CallRefinement) {{
        calls({arguments}) {{ nodes {{ sid }} }} }}"""
    given_: dict[str, Any] = {"s": ["BUSY", "FAILED"], "n": True, "r": {"includeNeverDialed": True}}

    assert cost(text, **given_) == rows


def test_a_null_in_a_list_costs_nothing_because_nothing_is_read() -> None:
    text = "query($d: CallDirection) { calls(refine: {direction: [$d]}) { nodes { sid } } }"

    assert (cost(text, d="INBOUND"), cost(text, d=None)) == (50, 0)


NEVER: Row = {"start_time": None, "status": "canceled", "end_time": None, "duration": None}
DAY = {"startTime": {"gte": "2026-03-10T00:00:00Z", "lt": "2026-03-11T00:00:00Z"}}
HOUR = 3600


async def test_calls_never_dialed_come_in_their_place_by_creation() -> None:
    """Reading ends with the page that reaches beyond the range."""
    rows = [
        call(1, at=20 * HOUR),
        call(2, at=18 * HOUR, **NEVER),  # the next day
        call(3, at=2 * HOUR),
        call(4, at=HOUR, **NEVER),
        call(5),
        call(6, at=-HOUR, **NEVER),
        *(call(number, at=-13 * HOUR - number, **NEVER) for number in range(7, 2500)),
    ]
    twilio = PlainTwilio(calls=rows)
    async with connect(twilio) as client:
        plain = (await client.data(REFINED, filter=DAY))["calls"]
        twilio.asked()
        calls = (await client.data(REFINED, filter=DAY, refine={"includeNeverDialed": True}))[
            "calls"
        ]

    assert sids_of(plain) == [3, 5]
    assert sids_of(calls) == [3, 4, 5, 6]
    assert (calls["isComplete"], calls["pageInfo"]["hasNextPage"]) == (True, False)
    assert twilio.asked() == [
        "GET Calls?PageSize=1000",
        "GET Calls?StartTime=2026-03-10&PageSize=51",
    ]


async def test_a_status_narrows_the_search_for_calls_never_dialed() -> None:
    twilio = PlainTwilio(calls=[call(1, at=1), call(2, **NEVER)])
    refine = {"includeNeverDialed": True}
    async with connect(twilio) as client:
        calls = await client.data(REFINED, filter=DAY | {"status": "CANCELED"}, refine=refine)

    assert sids_of(calls["calls"]) == [2]
    assert twilio.asked() == [
        "GET Calls?Status=canceled&PageSize=1000",
        "GET Calls?Status=canceled&StartTime=2026-03-10&PageSize=51",
    ]


async def test_the_search_for_calls_never_dialed_is_cut_short_at_the_row_budget() -> None:
    rows = [call(number, at=40 * HOUR - number) for number in range(1, 2500)]
    twilio = PlainTwilio(calls=[*rows, call(3000), call(3001, at=-1, **NEVER)])
    refine = {"includeNeverDialed": True}
    async with connect(twilio, row_budget=1500) as client:
        answer = await client.answer(REFINED, filter=DAY, refine=refine)

    assert not answer["data"]["calls"]["isComplete"]
    (warning,) = answer["extensions"]["warnings"]
    assert (warning["code"], warning["reason"]) == ("LIST_CUT_SHORT", "BUDGET_EXCEEDED")
    assert len(twilio.asked()) == 3


async def test_a_list_in_another_order_is_read_to_its_end() -> None:
    """Its order shows nothing about the rows below."""
    rows = [call(number, at=number * HOUR - 40 * HOUR, **NEVER) for number in range(1, 61)]
    twilio = PlainTwilio(calls=rows, largest_page=20)
    async with connect(twilio) as client:
        calls = await client.data(REFINED, filter=DAY, refine={"includeNeverDialed": True})

    assert sids_of(calls["calls"]) == list(range(28, 52))
    assert len([text for text in twilio.asked() if "StartTime" not in text]) == 3


@st.composite
def lists(draw: st.DrawFn) -> list[Row]:
    """Calls of three days, newest first by creation; some dialed later, some never."""
    hours = draw(st.lists(st.integers(-36, 36), unique=True, max_size=14))
    rows = []
    for number, hour in enumerate(sorted(hours, reverse=True), 1):
        started = NOON + timedelta(hours=hour, seconds=draw(st.sampled_from([0, 1, 5000, 90_000])))
        given_ = draw(st.sampled_from([NEVER, NEVER | {"status": "failed"}, {}]))
        dialed = {"start_time": rfc_2822(started)}
        direction = draw(st.sampled_from(["inbound", "outbound-api"]))
        rows.append(call(number, at=hour * HOUR, direction=direction, **(dialed | given_)))
    return rows


def expected(rows: list[Row], since: datetime, until: datetime, direction: str) -> list[int]:
    """The plain way: look at every call."""
    found = []
    for row in rows:
        text = row["start_time"] or row["date_created"]
        at = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S %z").astimezone(UTC)
        if since <= at < until and row["direction"] == direction:
            found.append(int(row["sid"][2:], 16))
    return found


async def walked(client: Client, size: int, **variables: Any) -> list[int]:
    """All pages of the list."""
    found: list[int] = []
    after = None
    while True:
        calls = (await client.data(REFINED, first=size, after=after, **variables))["calls"]
        assert calls["isComplete"]
        found += sids_of(calls)
        if not calls["pageInfo"]["hasNextPage"]:
            return found
        after = calls["pageInfo"]["endCursor"]


@settings(max_examples=60, deadline=None)
@given(lists(), st.integers(1, 6), st.integers(2, 20), st.integers(-30, 30), st.integers(1, 40))
async def test_a_walk_with_calls_never_dialed_finds_each_once_in_order(
    rows: list[Row], size: int, largest: int, since: int, hours: int
) -> None:
    begin = NOON + timedelta(hours=since)
    end = begin + timedelta(hours=hours)
    filter_ = {"startTime": {"gte": begin.isoformat(), "lt": end.isoformat()}}
    refine = {"includeNeverDialed": True, "direction": "INBOUND"}
    async with connect(PlainTwilio(calls=rows, largest_page=largest)) as client:
        found = await walked(client, size, filter=filter_, refine=refine)

    assert found == expected(rows, begin, end, "inbound")
