"""A client can continue from every cursor, up and down, whatever became of its row."""

from typing import Any

import pytest

from tests.conftest import Client, connect
from tests.plain_twilio import PlainTwilio, call, error, sid
from tests.schema.odd_pages import OddPages, moved
from tests.schema.test_page_info import calls_of, cursor_of, numbered, sids
from tests.schema.test_walks import PAGE, page

TWO = {"status": ["QUEUED", "COMPLETED"]}
FATES = ["as it was", "dated now", "of another status", "gone"]
UNDATED: dict[str, Any] = {
    "date_created": None,
    "date_updated": None,
    "start_time": None,
    "status": "queued",
}


def meets(twilio: PlainTwilio, number: int, fate: str) -> None:
    """The change of a call between two pages."""
    place = next(n for n, row in enumerate(twilio.calls) if row["sid"] == sid("CA", number))
    row = twilio.calls[place]
    match fate:
        case "dated now":
            twilio.calls[place] = row | {"date_created": call(0, at=50)["date_created"]}
        case "of another status":
            twilio.calls[place] = row | {"status": "canceled"}
        case "gone":
            del twilio.calls[place]


@pytest.mark.parametrize("tokens", ["name rows", "opaque", "numbers"])
@pytest.mark.parametrize("filter_", [None, {"status": ["QUEUED"]}, TWO], ids=["all", "one", "two"])
@pytest.mark.parametrize("fate", FATES)
async def test_the_cursor_of_a_call_just_made(fate: str, filter_: Any, tokens: Any) -> None:
    """It has no date yet: with two statuses that was INVALID_CURSOR.

    See docs/twilio.md#1-surprising-facts, fact 10.
    """
    rows = [
        call(0, at=9, status="queued"),
        call(1, at=9, **UNDATED),
        *[call(n, at=-n, status="queued") for n in range(2, 8)],
    ]
    twilio = OddPages(calls=rows, tokens=tokens)
    async with connect(twilio) as client:
        cursor = await cursor_of(client, 1, filter_, first=3)
        meets(twilio, 1, fate)
        down = await page(client, filter_, first=3, after=cursor)
        up = await page(client, filter_, last=3, before=cursor)

    assert sids(down) == numbered(2, 3, 4)
    assert down["pageInfo"]["hasNextPage"]
    assert sids(up) == numbered(0)
    assert not up["pageInfo"]["hasPreviousPage"]


@pytest.mark.parametrize("last_link", ["null", "to an empty page"])
@pytest.mark.parametrize("tokens", ["name rows", "opaque", "numbers"])
@pytest.mark.parametrize("filter_", [None, {"status": ["COMPLETED"]}, TWO])
@pytest.mark.parametrize("fate", ["as it was", "of another status", "gone"])
@pytest.mark.parametrize("number", [0, 3, 4, 6, 11])
async def test_the_cursor_of_any_call(
    number: int, fate: str, filter_: Any, tokens: Any, last_link: Any
) -> None:
    rows = [call(n, at=-n, status="queued" if n in {2, 5, 7} else "completed") for n in range(12)]
    twilio = OddPages(calls=list(rows), tokens=tokens, last_link=last_link)
    if filter_ is not None:
        rows = [row for row in rows if row["status"].upper() in filter_["status"]]
    place = [row["sid"] for row in rows].index(sid("CA", number))
    async with connect(twilio) as client:
        cursor = await walked_to(client, filter_, place)
        meets(twilio, number, fate if filter_ or fate == "gone" else "as it was")
        down = await page(client, filter_, first=3, after=cursor)
        up = await page(client, filter_, last=3, before=cursor)

    assert sids(down) == [row["sid"] for row in rows[place + 1 :][:3]]
    assert down["pageInfo"]["hasNextPage"] == (place + 4 < len(rows))
    assert sids(up) == [row["sid"] for row in rows[max(0, place - 3) : place]]
    assert up["pageInfo"]["hasPreviousPage"] == (place > 3)


async def walked_to(client: Client, filter_: Any, place: int) -> str:
    """The cursor of the row with this index, in pages of two."""
    after = None
    while True:
        edges = (await page(client, filter_, first=2, after=after))["edges"]
        if place < len(edges):
            cursor: str = edges[place]["cursor"]
            return cursor
        place -= len(edges)
        after = edges[-1]["cursor"]


async def test_the_cursor_of_a_call_that_is_gone_costs_the_pages_above_it() -> None:
    """Upstream refuses the token of a deleted row: its page is read again, by its SID and date."""
    twilio = OddPages(calls=calls_of(12))
    async with connect(twilio) as client:
        cursor = await walked_to(client, None, 5)
        meets(twilio, 5, "gone")
        twilio.asked()
        down = await page(client, None, first=3, after=cursor)

    assert sids(down) == numbered(6, 7, 8)
    assert twilio.asked() == [
        f"GET Calls?PageSize=4&Page=3&PageToken=PA{sid('CA', 5)}",
        f"GET Calls?PageSize=5&Page=2&PageToken=PA{sid('CA', 3)}",
    ]


async def test_back_from_a_call_that_is_gone_its_page_is_read_again() -> None:
    twilio = OddPages(calls=calls_of(40))
    async with connect(twilio) as client:
        cursor = await walked_to(client, None, 31)
        meets(twilio, 31, "gone")
        twilio.asked()
        up = await page(client, None, last=1, before=cursor)

    assert sids(up) == numbered(30)
    assert up["pageInfo"]["hasPreviousPage"]
    assert twilio.asked() == [
        f"GET Calls?PageSize=2&Page=14&PageToken=PB{sid('CA', 31)}",
        f"GET Calls?PageSize=3&Page=14&PageToken=PB{sid('CA', 30)}",
        f"GET Calls?PageSize=3&Page=15&PageToken=PA{sid('CA', 29)}",
    ]


async def test_a_call_without_a_date_that_is_gone_with_its_neighbour_is_where_others_are() -> None:
    """The date of the call below it locates it; its page's token is refused."""
    rows = calls_of(9)
    rows[4] |= UNDATED
    rows[2]["date_created"] = rows[3]["date_created"]
    twilio = OddPages(calls=rows, tokens="opaque")
    async with connect(twilio) as client:
        cursor = await walked_to(client, None, 4)
        meets(twilio, 4, "gone")
        meets(twilio, 3, "gone")
        down = await page(client, None, first=9, after=cursor)
        up = await page(client, None, last=9, before=cursor)

    assert sids(down) == numbered(5, 6, 7, 8)
    assert sids(up) == numbered(0, 1, 2)


async def test_known_rows_that_vanish_while_the_top_is_read_leave_a_warning() -> None:
    twilio = OddPages(calls=calls_of(8), tokens="opaque", previous_by_number=True, largest_page=5)
    async with connect(twilio) as client:
        after = await cursor_of(client, 3, first=4)
        second = await page(client, None, first=2, after=after)
        twilio.calls[:0] = [call(100 + n, at=50 - n) for n in range(3)]

        def vanish() -> None:
            twilio.calls = twilio.calls[:3] if len(twilio.requests) > before + 1 else twilio.calls

        before = len(twilio.requests)
        twilio.after_list = vanish
        answer = await client.answer(PAGE, last=9, before=second["edges"][1]["cursor"])

    got = answer["data"]["calls"]
    assert got["pageInfo"]["hasPreviousPage"]
    assert not got["isComplete"]
    assert [w["reason"] for w in answer["extensions"]["warnings"]] == ["UPSTREAM_INVALID"]


async def test_a_list_that_is_refused_whole_is_asked_for_the_place_and_no_more() -> None:
    """400 with code 20004: beyond retention.

    See docs/twilio.md#12-reports-of-people-who-use-the-api.
    """
    twilio = PlainTwilio(calls=calls_of(12))
    async with connect(twilio) as client:
        top = await cursor_of(client, 1)
        deep = await walked_to(client, None, 5)
        twilio.fault = lambda _: error(400, 20004)
        twilio.asked()
        first = await client.error(PAGE, first=3)
        assert twilio.asked() == ["GET Calls?PageSize=4"]
        for cursor, most in ((top, 2), (deep, 3)):
            for window in ({"first": 3, "after": cursor}, {"last": 3, "before": cursor}):
                refused = await client.error(PAGE, **window)
                codes = {e["extensions"]["code"] for e in (first, refused)}
                assert codes == {"UPSTREAM_REJECTED"}
                assert len(twilio.asked()) <= most


async def test_calls_that_are_pushed_off_the_first_page_are_found_below_it() -> None:
    """The page has no link, so no token can be made: the row is searched."""
    twilio = PlainTwilio(calls=calls_of(4))
    async with connect(twilio) as client:
        cursor = await cursor_of(client, 1, first=3)
        twilio.calls[:0] = [call(100 + n, at=50 - n) for n in range(30)]
        down = await page(client, None, first=1, after=cursor)
        up = await page(client, None, last=40, before=cursor)

    assert sids(down) == numbered(2)
    assert sids(up) == numbered(*range(100, 130), 0)


async def test_a_call_that_completes_between_two_lists_comes_once_in_an_answer() -> None:
    rows = [call(n, at=-n, status="in-progress") for n in range(3)]
    twilio = OddPages(calls=rows)

    def completes() -> None:
        twilio.calls = moved(twilio.calls, 1, "completed")

    twilio.after_list = completes
    async with connect(twilio) as client:
        got = await page(client, {"status": ["IN_PROGRESS", "COMPLETED"]}, first=9)

    assert sids(got) == numbered(0, 1, 2)


async def test_a_call_that_stands_in_two_lists_at_once_is_no_next_page() -> None:
    twilio = OddPages(calls=[call(0, status="in-progress")])

    def completes() -> None:
        twilio.calls = moved(twilio.calls, 0, "completed")

    twilio.after_list = completes
    async with connect(twilio) as client:
        got = await page(client, {"status": ["IN_PROGRESS", "COMPLETED"]}, first=1)

    assert sids(got) == numbered(0)
    assert not got["pageInfo"]["hasNextPage"]


@pytest.mark.parametrize("tokens", ["name rows", "opaque"])
async def test_a_call_that_leaves_its_status_after_page_one_is_not_on_page_two(tokens: Any) -> None:
    rows = [call(n, at=-n, status="in-progress" if n < 4 else "completed") for n in range(8)]
    twilio = OddPages(calls=rows, tokens=tokens)
    filter_ = {"status": ["IN_PROGRESS", "COMPLETED"]}
    async with connect(twilio) as client:
        one = await page(client, filter_, first=3)
        for number in (0, 1, 2):
            twilio.calls = moved(twilio.calls, number, "completed")
        two = await page(client, filter_, first=9, after=one["pageInfo"]["endCursor"])
        back = await page(client, filter_, last=9, before=one["pageInfo"]["endCursor"])

    assert sids(one) == numbered(0, 1, 2)
    assert sids(two) == numbered(3, 4, 5, 6, 7)
    # Its own row never comes again; rows above it have moved: they come at most once.
    assert sid("CA", 2) not in sids(back)
    assert len(set(sids(back))) == len(sids(back))


async def test_upward_too_a_call_just_made_is_newer_than_those_of_another_status() -> None:
    rows = [call(0, **UNDATED), call(1, at=5), call(2, at=0, status="queued"), call(3, at=-1)]
    async with connect(OddPages(calls=rows)) as client:
        down = await page(client, TWO, first=9)
        up = await page(client, TWO, last=1, before=down["edges"][2]["cursor"])
        all_up = await page(client, TWO, last=9, before=down["edges"][3]["cursor"])

    assert sids(down) == numbered(0, 1, 2, 3)
    assert sids(up) == numbered(1)
    assert sids(all_up) == numbered(0, 1, 2)


async def test_upward_a_call_without_a_date_below_others_is_as_new_as_the_one_below_it() -> None:
    rows = [call(0, at=9, status="queued"), call(1, at=5), call(2, **UNDATED), call(3, at=-1)]
    rows.append(call(4, at=-2, status="queued"))
    async with connect(OddPages(calls=rows)) as client:
        down = await page(client, TWO, first=9)
        up = await page(client, TWO, last=9, before=down["pageInfo"]["endCursor"])

    # Downward it is as new as the queued call above it, upward as the one below it.
    assert sids(down) == numbered(0, 2, 1, 3, 4)
    assert sids(up) == numbered(0, 1, 3, 2)


@pytest.mark.parametrize(
    ("of", "to", "second"),
    [("busy", "completed", 3), ("completed", "busy", 3), ("busy", "completed", 2)],
)
async def test_a_call_that_moves_to_an_earlier_list_in_the_cursors_second_does_not_come_again(
    of: str, to: str, second: int
) -> None:
    """In one second the first list's calls come first, so one that is there now came before."""
    rows = [call(0, at=second, status=of), call(1, at=2, status="busy"), call(2, at=1, status=to)]
    twilio = OddPages(calls=rows)
    filter_ = {"status": ["COMPLETED", "BUSY"]}
    async with connect(twilio) as client:
        one = await page(client, filter_, first=2)
        twilio.calls = moved(twilio.calls, 0, to)
        two = await page(client, filter_, first=9, after=one["pageInfo"]["endCursor"])

    assert sids(one) == numbered(0, 1)
    assert sids(two) == numbered(2)


@pytest.mark.parametrize(("count", "last"), [(7, 9), (30, 2)])
async def test_back_over_merged_lists_of_which_one_breaks_the_other_loses_no_row(
    count: int, last: int
) -> None:
    """The cursor's row is searched on the first page, or named by a token."""
    rows = [call(n, at=-n, status="busy" if n % 2 else "completed") for n in range(count)]
    twilio = PlainTwilio(calls=rows)
    filter_ = {"status": ["COMPLETED", "BUSY"]}
    async with connect(twilio) as client:
        cursor = await cursor_of(client, 6, filter_)
        twilio.calls[:0] = [call(100 + n, at=50 - n, status="busy") for n in range(4)]
        twilio.largest_page = 4
        twilio.fault = lambda r: (
            error(500, 20500) if "busy" in str(r.url) and "Token" in str(r.url) else None
        )
        broken = (await client.answer(PAGE, last=last, before=cursor, filter=filter_))["data"][
            "calls"
        ]
        twilio.fault = None
        place = broken["pageInfo"]["startCursor"]
        rest = await page(client, filter_, last=20, before=place)

    assert (broken["edges"], broken["pageInfo"]["hasPreviousPage"]) == ([], True)
    assert sids(rest) == numbered(100, 101, 102, 103, 0, 1, 2, 3, 4, 5)


async def test_the_last_call_of_each_list_does_not_come_again_from_another() -> None:
    """Within the second of the cursor's row its key does not decide; its SID does."""
    rows = [call(0, status="queued"), call(1), call(2, at=-1, status="busy")]
    twilio = OddPages(calls=rows)
    filter_ = {"status": ["QUEUED", "COMPLETED", "BUSY"]}
    async with connect(twilio) as client:
        one = await page(client, filter_, first=2)
        twilio.calls = moved(twilio.calls, 0, "busy")
        two = await page(client, filter_, first=9, after=one["pageInfo"]["endCursor"])

    assert (sids(one), sids(two)) == (numbered(0, 1), numbered(2))


async def test_calls_of_one_second_at_the_lists_end_are_not_lost_with_the_cursors_row() -> None:
    rows = [call(n) for n in range(6)]
    twilio = OddPages(calls=rows, tokens="opaque")
    async with connect(twilio) as client:
        cursor = await cursor_of(client, 3, first=9)
        meets(twilio, 3, "gone")
        meets(twilio, 2, "gone")
        down = await page(client, None, first=9, after=cursor)

    assert sids(down)[-2:] == numbered(4, 5)
