"""`pageInfo` is exact, with the fewest upstream requests, however pages are linked."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from gateway.server import open_gateway
from gateway.settings import Settings
from tests.conftest import Client, connect
from tests.plain_twilio import NOON, PlainTwilio, call, recording, sid
from tests.schema.odd_pages import OddPages
from tests.schema.test_walks import PAGE, page

SIDS = """query($first: Int, $after: String, $last: Int, $before: String, $filter: CallFilter) {
  calls(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
    edges { cursor node { sid } } } }"""


def calls_of(count: int) -> list[dict[str, Any]]:
    """`count` calls, a second apart, newest first."""
    return [call(n, at=-n) for n in range(count)]


def sids(connection: Any) -> list[str]:
    """The SIDs of a page's rows."""
    return [edge["node"]["sid"] for edge in connection["edges"]]


def numbered(*numbers: int) -> list[str]:
    """The SIDs of these calls."""
    return [sid("CA", number) for number in numbers]


async def cursor_of(client: Client, number: int, filter_: Any = None, first: int = 9) -> str:
    """The cursor of a row of the list's first page."""
    got = await client.data(SIDS, first=first, filter=filter_)
    cursor: str = got["calls"]["edges"][number]["cursor"]
    return cursor


async def test_back_from_the_ninth_row_over_the_sandbox() -> None:
    """A former defect: the cursor's own row counted, so a row and `hasPreviousPage` were wrong."""
    async with open_gateway(Settings()) as gateway:
        client = Client(gateway)
        nine = await page(client, None, first=9)
        two = await page(client, None, last=2, before=nine["pageInfo"]["endCursor"])
        one = await page(client, None, last=1, before=nine["pageInfo"]["endCursor"])
        many = await page(client, None, last=50, before=nine["pageInfo"]["endCursor"])

    assert sids(two) == sids(nine)[6:8]
    assert sids(one) == sids(nine)[7:8]
    assert sids(many) == sids(nine)[:8]
    flags = [got["pageInfo"]["hasPreviousPage"] for got in (two, one, many)]
    assert flags == [True, True, False]


async def test_back_near_the_cursor_is_one_request_for_the_rows_above_it() -> None:
    twilio = OddPages(calls=calls_of(20), previous_by_number=True)
    async with connect(twilio) as client:
        before = await cursor_of(client, 8)
        twilio.asked()
        got = await page(client, None, last=2, before=before)

    assert sids(got) == numbered(6, 7)
    assert got["pageInfo"]["hasPreviousPage"]
    assert twilio.asked() == [f"GET Calls?PageSize=3&Page=0&PageToken=PB{sid('CA', 8)}"]


async def test_back_where_the_first_page_holds_all_is_one_request_for_that_page() -> None:
    """The list's own top proves that no row precedes."""
    twilio = OddPages(calls=calls_of(20), previous_by_number=True)
    async with connect(twilio) as client:
        before = await cursor_of(client, 8)
        twilio.asked()
        got = await page(client, None, last=50, before=before)

    assert sids(got) == numbered(*range(8))
    assert not got["pageInfo"]["hasPreviousPage"]
    assert twilio.asked() == ["GET Calls?PageSize=52"]


@pytest.mark.parametrize("query", [PAGE, SIDS], ids=["asked for", "not asked for"])
async def test_back_to_the_first_page_costs_a_look_above_it_only_where_it_is_asked_for(
    query: str,
) -> None:
    """A page before a token is numbered 0 and has no previous link: that is no proof."""
    twilio = OddPages(calls=calls_of(20), previous_by_number=True)
    async with connect(twilio) as client:
        after = await cursor_of(client, 4, first=5)
        second = (await client.data(SIDS, first=5, after=after))["calls"]
        twilio.asked()
        got = (await client.data(query, last=5, before=second["edges"][0]["cursor"]))["calls"]

    assert sids(got) == numbered(0, 1, 2, 3, 4)
    above = f"GET Calls?PageSize=6&Page=0&PageToken=PB{sid('CA', 0)}"
    rows = f"GET Calls?PageSize=6&Page=0&PageToken=PB{sid('CA', 5)}"
    if query == PAGE:
        assert not got["pageInfo"]["hasPreviousPage"]
        assert twilio.asked() == [above, rows]
    else:
        assert twilio.asked() == [rows]


async def test_rows_that_arrived_above_the_first_page_are_seen_on_the_way_back() -> None:
    twilio = OddPages(calls=calls_of(20), previous_by_number=True)
    async with connect(twilio) as client:
        after = await cursor_of(client, 4, first=5)
        second = (await client.data(SIDS, first=5, after=after))["calls"]
        twilio.calls[:0] = [call(100 + n, at=50 - n) for n in range(19)]
        before = second["edges"][0]["cursor"]
        seen: list[str] = []
        while before:
            got = await page(client, None, last=5, before=before)
            seen = sids(got) + seen
            info = got["pageInfo"]
            before = info["startCursor"] if info["hasPreviousPage"] else None

    assert seen == numbered(*range(100, 119), 0, 1, 2, 3, 4)


@pytest.mark.parametrize("tokens", ["opaque", "numbers"])
async def test_back_by_links_where_no_token_can_be_made(tokens: Any) -> None:
    """The row's page, the pages above it, and by opaque links the list's own top as the proof."""
    twilio = OddPages(calls=calls_of(20), tokens=tokens, previous_by_number=True)
    async with connect(twilio) as client:
        after = await cursor_of(client, 3, first=4)
        third = await page(client, None, first=4, after=after)
        before = third["edges"][2]["cursor"]
        twilio.asked()
        got = await page(client, None, last=3, before=before)
        near = len(twilio.asked())
        top = await page(client, None, last=30, before=before)
        asked = twilio.asked()

    assert sids(got) == numbered(3, 4, 5)
    assert sids(top) == numbered(*range(6))
    assert [p["pageInfo"]["hasPreviousPage"] for p in (got, top)] == [True, False]
    assert near == 2
    if tokens == "numbers":
        assert asked == ["GET Calls?PageSize=6", "GET Calls?PageSize=6&Page=1"]
    else:
        assert [request.split("&")[0] for request in asked] == [
            "GET Calls?PageSize=32",
            "GET Calls?PageSize=32",
            "GET Calls?PageSize=32",
        ]
        assert sum("PageToken" not in request for request in asked) == 1


async def test_back_through_many_opaque_pages_the_top_is_read_down_to_known_rows_only() -> None:
    twilio = OddPages(calls=calls_of(12), tokens="opaque", previous_by_number=True, largest_page=2)
    async with connect(twilio) as client:
        edges = (await client.data(SIDS, first=10))["calls"]["edges"]
        twilio.asked()
        got = await page(client, None, last=30, before=edges[9]["cursor"])
        asked = twilio.asked()

    assert sids(got) == numbered(*range(9))
    # The page that begins below the row, five above it, and the top, which shows a known row.
    assert sum("PageToken" not in request for request in asked) == 1
    assert len(asked) == 7


async def test_back_over_merged_lists_asks_nothing_of_one_that_has_not_begun() -> None:
    rows = [call(n, at=-n, status="busy" if n > 4 else "completed") for n in range(9)]
    twilio = PlainTwilio(calls=rows)
    filter_ = {"status": ["COMPLETED", "BUSY"]}
    async with connect(twilio) as client:
        before = await cursor_of(client, 2, filter_)
        twilio.asked()
        got = await page(client, filter_, last=9, before=before)

    assert sids(got) == numbered(0, 1)
    assert not got["pageInfo"]["hasPreviousPage"]
    assert twilio.asked() == ["GET Calls?Status=completed&PageSize=11"]


@pytest.mark.parametrize("tokens", ["name rows", "opaque"])
async def test_a_page_that_ends_with_the_wanted_row_is_not_read_again(tokens: Any) -> None:
    """Opaque or not, upstream's link leads on from there."""
    twilio = OddPages(calls=calls_of(9), tokens=tokens, largest_page=3)
    async with connect(twilio) as client:
        edges = (await client.data(SIDS, first=3))["calls"]["edges"]
        twilio.asked()
        got = (await client.data(SIDS, first=2, after=edges[-1]["cursor"]))["calls"]

    assert sids(got) == numbered(3, 4)
    assert len(twilio.asked()) == 1


async def test_back_where_the_lists_last_link_led_to_an_empty_page() -> None:
    """An empty page's links belong to no row: the list's top decides."""
    rows = [call(0, status="in-progress"), call(1, at=-1)]
    twilio = OddPages(
        calls=rows,
        tokens="opaque",
        previous_by_number=True,
        last_link="to an empty page",
        largest_page=1,
    )
    filter_ = {"status": ["IN_PROGRESS", "COMPLETED"]}
    async with connect(twilio) as client:
        before = await cursor_of(client, 1, filter_, first=2)
        got = await page(client, filter_, last=2, before=before)

    assert sids(got) == numbered(0)


async def test_where_rows_are_sifted_the_look_beyond_is_a_large_page() -> None:
    """Many rows may have to be read until one matches."""
    twilio = PlainTwilio(calls=calls_of(9), largest_page=3)
    filter_ = {"startTime": {"lt": (NOON + timedelta(seconds=1)).isoformat()}}
    async with connect(twilio) as client:
        got = await page(client, filter_, first=3)

    assert got["pageInfo"]["hasNextPage"]
    assert [r.split("&")[1] for r in twilio.asked()] == ["PageSize=1000", "PageSize=1000"]


async def test_the_row_beyond_the_page_answers_has_next_page_with_no_further_request() -> None:
    twilio = PlainTwilio(calls=calls_of(9))
    async with connect(twilio) as client:
        eight = await page(client, None, first=8)
        assert twilio.asked() == ["GET Calls?PageSize=9"]
        nine = await page(client, None, first=9)
        assert twilio.asked() == ["GET Calls?PageSize=10"]

    assert [p["pageInfo"]["hasNextPage"] for p in (eight, nine)] == [True, False]


@pytest.mark.parametrize("count", [1000, 1001])
async def test_beyond_a_thousand_rows_a_small_page_is_read_where_it_is_asked_for(
    count: int,
) -> None:
    twilio = OddPages(calls=calls_of(count), last_link="to an empty page")
    look = f"GET Calls?PageSize=50&Page=1&PageToken=PA{sid('CA', 999)}"
    async with connect(twilio) as client:
        assert len((await client.data(SIDS, first=1000))["calls"]["edges"]) == 1000
        assert twilio.asked() == ["GET Calls?PageSize=1000"]
        got = await page(client, None, first=1000)

    assert got["pageInfo"]["hasNextPage"] == (count > 1000)
    assert twilio.asked() == ["GET Calls?PageSize=1000", look]


async def test_has_next_page_under_two_names_is_looked_for_once() -> None:
    twilio = OddPages(calls=calls_of(4), largest_page=2)
    query = """{ calls(first: 2) { one: pageInfo { hasNextPage } two: pageInfo { hasNextPage }
        pageInfo { a: hasNextPage b: hasNextPage } } }"""
    async with connect(twilio, page_budget=2) as client:
        answer = await client.answer(query)

    assert "extensions" not in answer
    assert answer["data"]["calls"] == {
        "one": {"hasNextPage": True},
        "two": {"hasNextPage": True},
        "pageInfo": {"a": True, "b": True},
    }
    assert twilio.asked() == [
        "GET Calls?PageSize=3",
        f"GET Calls?PageSize=3&Page=1&PageToken=PA{sid('CA', 1)}",
    ]


async def test_a_range_whose_rows_begin_on_the_second_page_of_their_day() -> None:
    """Upstream's link says that rows precede: they are of the day, not of the range."""
    twilio = PlainTwilio(calls=calls_of(30), largest_page=10)
    filter_ = {"startTime": {"lt": (NOON - timedelta(seconds=12)).isoformat()}}
    async with connect(twilio) as client:
        before = await cursor_of(client, 2, filter_)
        got = await page(client, filter_, last=2, before=before)
        first = await page(client, filter_, last=1, before=before)

    assert sids(got) == numbered(13, 14)
    assert [p["pageInfo"]["hasPreviousPage"] for p in (got, first)] == [False, True]


async def test_above_a_range_the_midnight_that_comes_along_is_no_row() -> None:
    """`StartTime<=D` holds the first instant of D (docs/twilio.md#1-surprising-facts, fact 3)."""
    midnight = 12 * 3600
    twilio = PlainTwilio(calls=[call(0, at=midnight), call(1, at=midnight - 1), call(2, at=0)])
    filter_ = {"startTime": {"lt": "2026-03-11T00:00:00Z"}}
    async with connect(twilio) as client:
        before = await cursor_of(client, 1, filter_)
        got = await page(client, filter_, last=1, before=before)
        down = await page(client, filter_, first=2)

    assert sids(got) == numbered(1)
    assert not got["pageInfo"]["hasPreviousPage"]
    assert (sids(down), down["pageInfo"]["hasNextPage"]) == (numbered(1, 2), False)


async def test_calls_never_dialed_in_a_days_list_are_no_rows_of_it() -> None:
    undialed: dict[str, Any] = {"start_time": None, "end_time": None, "status": "queued"}
    rows = [call(0, **undialed), call(1, at=-1), call(2, at=-2), call(3, at=-3, **undialed)]
    twilio = OddPages(calls=rows, shows_never_dialed=True)
    filter_ = {"startTime": {"on": "2026-03-10"}}
    async with connect(twilio) as client:
        down = await page(client, filter_, first=2)
        up = await page(client, filter_, last=1, before=down["edges"][1]["cursor"])

    assert (sids(down), down["pageInfo"]["hasNextPage"]) == (numbered(1, 2), False)
    assert (sids(up), up["pageInfo"]["hasPreviousPage"]) == (numbered(1), False)


async def test_the_heads_of_merged_lists_are_read_together() -> None:
    statuses = ["QUEUED", "RINGING", "IN_PROGRESS", "COMPLETED", "BUSY", "FAILED", "NO_ANSWER"]
    twilio = PlainTwilio(calls=calls_of(3))
    most = 0
    all_there = asyncio.Event()
    answer = twilio.answer

    class Waiting(PlainTwilio):
        async def handle_async_request(self, request: Any) -> Any:
            nonlocal most
            self.in_flight += 1
            most = max(most, self.in_flight)
            if self.in_flight == len(statuses):
                all_there.set()
            await asyncio.wait_for(all_there.wait(), 5)
            self.in_flight -= 1
            return answer(request)

    async with connect(Waiting(calls=twilio.calls)) as client:
        got = await page(client, {"status": statuses}, first=9)

    assert most == len(statuses)
    assert sids(got) == numbered(0, 1, 2)


@pytest.mark.parametrize("window", ["first: 0", "last: 0"])
async def test_no_rows_are_an_empty_page_and_nothing_is_sent(window: str) -> None:
    twilio = PlainTwilio(calls=calls_of(3))
    async with connect(twilio) as client:
        cursor = await cursor_of(client, 1)
        twilio.asked()
        given = f'{window}, before: "{cursor}"' if "last" in window else window
        query = f"""{{ calls({given}) {{ nodes {{ sid }} isComplete
            pageInfo {{ startCursor endCursor }} }} }}"""
        got = (await client.data(query))["calls"]

    nothing = {"startCursor": None, "endCursor": None}
    assert got == {"nodes": [], "isComplete": True, "pageInfo": nothing}
    assert twilio.asked() == []


async def test_no_rows_and_whether_there_are_any_is_one_row() -> None:
    twilio = PlainTwilio(calls=calls_of(3))
    async with connect(twilio) as client:
        cursor = await cursor_of(client, 2)
        twilio.asked()
        top = await page(client, None, first=0)
        assert twilio.asked() == ["GET Calls?PageSize=1"]
        end = await page(client, None, first=0, after=cursor)
        up = await page(client, None, last=0, before=cursor)
        error = await client.error(PAGE, first=0, after="x")

    assert [p["edges"] for p in (top, end, up)] == [[], [], []]
    assert top["pageInfo"]["hasNextPage"]
    assert not end["pageInfo"]["hasNextPage"]
    assert up["pageInfo"]["hasPreviousPage"]
    assert error["extensions"]["code"] == "INVALID_CURSOR"


async def test_no_rows_of_an_edge_share_the_page_of_another_size() -> None:
    twilio = PlainTwilio(calls=[call(1)], recordings=[recording(1, of=1)])
    query = f"""{{ call(sid: "{sid("CA", 1)}") {{
        none: recordings(first: 0) {{ nodes {{ sid }} pageInfo {{ hasNextPage }} }}
        some: recordings {{ nodes {{ sid }} pageInfo {{ hasNextPage }} }} }} }}"""
    async with connect(twilio) as client:
        got = (await client.data(query))["call"]

    assert got["none"] == {"nodes": [], "pageInfo": {"hasNextPage": True}}
    assert len(got["some"]["nodes"]) == 1
    assert len([r for r in twilio.asked() if "Recordings" in r]) == 1
