"""A list that is cut short keeps its rows and reports it; continuing makes progress."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.conftest import Client, connect
from tests.plain_twilio import NOON, PlainTwilio, call, sid
from tests.schema.odd_pages import OddPages, moved
from tests.schema.test_page_info import calls_of, numbered, sids
from tests.schema.test_walks import PAGE

CUT = "The list was not read to its end. endCursor says how to go on."


async def answered(client: Client, **variables: Any) -> tuple[Any, list[Any]]:
    """A page without errors, and its warnings."""
    answer = await client.answer(PAGE, **variables)
    assert "errors" not in answer, answer
    return answer["data"]["calls"], answer.get("extensions", {}).get("warnings", [])


def cut_short(reason: str) -> list[dict[str, Any]]:
    """The one warning."""
    return [
        {"code": "LIST_CUT_SHORT", "path": ["calls"], "count": 1, "message": CUT, "reason": reason}
    ]


@pytest.mark.parametrize("tokens", ["name rows", "opaque", "numbers"])
async def test_three_empty_pages_that_name_ever_new_ones_end_the_reading(tokens: Any) -> None:
    twilio = OddPages(calls=calls_of(3), tokens=tokens, last_link="to ever new pages")
    async with connect(twilio) as client:
        got, warnings = await answered(client, first=5)
        assert len(twilio.asked()) == 4
        onward, again = await answered(client, first=5, after=got["pageInfo"]["endCursor"])
        asked = twilio.asked()

    assert sids(got) == numbered(0, 1, 2)
    assert got["pageInfo"]["hasNextPage"]
    assert not got["isComplete"]
    assert got["pageInfo"]["endCursor"] != got["edges"][-1]["cursor"]
    assert warnings == again == cut_short("UPSTREAM_INVALID")
    # The next page starts after the pages that were read.
    assert len(asked) == 3
    assert all("Page=" in request and "Page=1&" not in request for request in asked)
    assert (onward["edges"], onward["pageInfo"]["hasNextPage"]) == ([], True)
    assert onward["pageInfo"]["endCursor"] != got["pageInfo"]["endCursor"]


@pytest.mark.parametrize("tokens", ["name rows", "opaque"])
async def test_a_page_that_names_itself_is_the_lists_end(tokens: Any) -> None:
    class EmptyThenItself(OddPages):
        """Page 1 names a page 2 that is empty and names itself."""

        def _next(self, link: Any, number: int, token: str, shown: Any, kept: Any) -> str | None:
            self.last_link = "to an empty page" if shown else "to itself"
            return super()._next(link, number, token, shown, kept)

    twilio = EmptyThenItself(calls=calls_of(3), tokens=tokens)
    async with connect(twilio) as client:
        got, warnings = await answered(client, first=5)

    assert sids(got) == numbered(0, 1, 2)
    assert (got["isComplete"], got["pageInfo"]["hasNextPage"], warnings) == (True, False, [])
    assert len(twilio.asked()) == 2


async def test_rows_after_two_empty_pages_are_reached() -> None:
    """People have reported empty pages that name a next one.

    See docs/twilio.md#12-reports-of-people-who-use-the-api.
    """

    class Gap(OddPages):
        """Two empty pages lie between the second row and the third."""

        def _list(self, request: httpx.Request, name: str, rows: Any) -> httpx.Response:
            if "PageToken=gap" in str(request.url):
                number = int(dict(request.url.params)["Page"])
                token = "gap" if number == 1 else f"PA{sid('CA', 1)}"
                link = f"{request.url.path}?PageSize=3&Page={number + 1}&PageToken={token}{number}"
                link = link if number == 1 else link[:-1]
                return httpx.Response(200, json={name: [], "next_page_uri": link})
            response = super()._list(request, name, rows)
            body = response.json()
            if body[name] and body[name][-1]["sid"] == sid("CA", 1):
                link = f"{request.url.path}?PageSize=3&Page=1&PageToken=gap"
                return httpx.Response(200, json=body | {"next_page_uri": link})
            return response

    twilio = Gap(calls=calls_of(4), largest_page=2)
    async with connect(twilio) as client:
        got, warnings = await answered(client, first=4)

    assert (sids(got), got["isComplete"], warnings) == (numbered(0, 1, 2, 3), True, [])


def on_page_two(fault: Callable[[], httpx.Response]) -> Callable[[httpx.Request], Any]:
    """The fault, for every page but a list's first."""
    return lambda request: fault() if "PageToken" in str(request.url) else None


def broken() -> httpx.Response:
    """The connection breaks."""
    raise httpx.ReadError("reset")


ENDS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "500": ("UPSTREAM_UNAVAILABLE", lambda: httpx.Response(500), {}),
    "broken": ("UPSTREAM_UNAVAILABLE", broken, {}),
    "not JSON": ("UPSTREAM_INVALID", lambda: httpx.Response(200, content=b"<html>"), {}),
    "pages": ("BUDGET_EXCEEDED", None, {"page_budget": 1}),
    "rows": ("BUDGET_EXCEEDED", None, {"row_budget": 2}),
    "requests": ("BUDGET_EXCEEDED", None, {"request_budget": 1}),
}


@pytest.mark.parametrize("end", ENDS)
async def test_what_was_read_before_a_bad_end_is_kept_and_going_on_brings_the_rest(
    end: str,
) -> None:
    reason, fault, settings = ENDS[end]
    twilio = PlainTwilio(calls=calls_of(5), largest_page=2)
    twilio.fault = on_page_two(fault) if fault else None
    async with connect(twilio, **settings) as client:
        got, warnings = await answered(client, first=4)
    twilio.fault = None
    async with connect(twilio) as client:
        rest, none = await answered(client, first=4, after=got["pageInfo"]["endCursor"])

    assert sids(got) == numbered(0, 1)
    assert (got["isComplete"], got["pageInfo"]["hasNextPage"]) == (False, True)
    assert warnings == cut_short(reason)
    assert (sids(rest), rest["isComplete"], none) == (numbered(2, 3, 4), True, [])


async def test_what_was_read_before_the_deadline_is_kept() -> None:
    twilio = PlainTwilio(calls=calls_of(5), largest_page=2)

    def fault(request: httpx.Request) -> None:
        twilio.delay = 30.0

    twilio.fault = fault
    async with connect(twilio, operation_timeout=0.3) as client:
        got, warnings = await answered(client, first=4)

    assert sids(got) == numbered(0, 1)
    assert (got["isComplete"], got["pageInfo"]["hasNextPage"]) == (False, True)
    assert warnings == cut_short("UPSTREAM_TIMEOUT")


@pytest.mark.parametrize("tokens", ["name rows", "opaque", "numbers"])
@pytest.mark.parametrize("budget", [1, 2, 3])
async def test_going_on_makes_progress_though_no_row_passes(tokens: Any, budget: int) -> None:
    """`endCursor` is the position of the last row read, unlike Relay's."""
    twilio = OddPages(calls=calls_of(20), tokens=tokens, largest_page=3)
    filter_ = {"startTime": {"lt": (NOON - timedelta(seconds=16)).isoformat()}}
    seen: list[str] = []
    after, steps = None, 0
    async with connect(twilio, page_budget=budget) as client:
        while True:
            got, warnings = await answered(client, first=2, after=after, filter=filter_)
            seen += sids(got)
            assert bool(warnings) == (not got["isComplete"]) or got["edges"]
            after = got["pageInfo"]["endCursor"]
            steps += 1
            assert steps < 30
            if not got["pageInfo"]["hasNextPage"]:
                break
            assert after is not None

    assert seen == numbered(17, 18, 19)


@pytest.mark.parametrize(
    ("tokens", "budget"), [("name rows", 1), ("name rows", 3), ("opaque", 2), ("opaque", 3)]
)
async def test_going_back_makes_progress_though_no_row_passes(tokens: Any, budget: int) -> None:
    twilio = OddPages(calls=calls_of(20), tokens=tokens, largest_page=3)
    filter_ = {"startTime": {"gte": (NOON - timedelta(seconds=3)).isoformat()}}
    async with connect(twilio) as client:
        # These rows match the filter when the cursor is made, and not later.
        cursor = (await answered(client, first=20, filter=filter_))[0]["pageInfo"]["endCursor"]
    twilio.calls[:0] = [
        call(100 + n, at=50 - n, start_time=call(0, at=-90)["start_time"]) for n in range(20)
    ]
    seen: list[str] = []
    steps = 0
    async with connect(twilio, page_budget=budget) as client:
        while cursor:
            got, _ = await answered(client, last=2, before=cursor, filter=filter_)
            seen = sids(got) + seen
            info = got["pageInfo"]
            cursor = info["startCursor"] if info["hasPreviousPage"] else None
            steps += 1
            assert steps < 30

    assert seen == numbered(0, 1, 2)


async def test_a_merged_list_that_breaks_keeps_the_rows_above_its_end() -> None:
    rows = [call(n, at=-n, status="busy" if n % 2 else "completed") for n in range(18)]
    rows[17] |= {"status": "failed"}
    twilio = PlainTwilio(calls=rows, largest_page=3)
    twilio.fault = lambda request: (
        httpx.Response(500)
        if "Status=busy" in str(request.url) and "Token" in str(request.url)
        else None
    )
    filter_ = {"status": ["COMPLETED", "BUSY", "FAILED"]}
    async with connect(twilio) as client:
        got, warnings = await answered(client, first=18, filter=filter_)
        twilio.fault = None
        # Both came already, and have another status now.
        twilio.calls = moved(moved(twilio.calls, 1, "failed"), 4, "busy")
        rest, _ = await answered(
            client, first=18, after=got["pageInfo"]["endCursor"], filter=filter_
        )

    assert sids(got) == numbered(0, 1, 2, 3, 4, 5)
    assert warnings == cut_short("UPSTREAM_UNAVAILABLE")
    assert sids(rest) == numbered(*range(6, 18))


async def test_the_first_page_of_each_merged_list_is_the_fields_own_error() -> None:
    twilio = PlainTwilio(calls=calls_of(3))
    twilio.fault = lambda r: httpx.Response(400) if "Status=busy" in str(r.url) else None
    async with connect(twilio) as client:
        error = await client.error(PAGE, first=2, filter={"status": ["COMPLETED", "BUSY"]})

    assert error["extensions"]["code"] == "UPSTREAM_REJECTED"
    assert error["path"] == ["calls"]
    assert len(twilio.asked()) == 2


async def test_a_look_beyond_the_page_that_fails_leaves_the_page_complete() -> None:
    twilio = PlainTwilio(calls=calls_of(4), largest_page=2)
    twilio.fault = on_page_two(broken)
    async with connect(twilio) as client:
        got, warnings = await answered(client, first=2)

    assert sids(got) == numbered(0, 1)
    assert (got["isComplete"], got["pageInfo"]["hasNextPage"]) == (True, True)
    assert warnings == cut_short("UPSTREAM_UNAVAILABLE")


async def test_an_edge_is_cut_short_like_a_root_list() -> None:
    children = [call(n, at=9 - n, parent_call_sid=sid("CA", 9)) for n in range(4)]
    twilio = PlainTwilio(calls=[*children, call(9)], largest_page=2)
    twilio.fault = on_page_two(broken)
    query = f"""{{ call(sid: "{sid("CA", 9)}") {{
        childCalls {{ nodes {{ sid }} isComplete pageInfo {{ hasNextPage }} }} }} }}"""
    async with connect(twilio) as client:
        answer = await client.answer(query)

    children_of = answer["data"]["call"]["childCalls"]
    assert [node["sid"] for node in children_of["nodes"]] == numbered(0, 1)
    assert (children_of["isComplete"], children_of["pageInfo"]) == (False, {"hasNextPage": True})
    (warning,) = answer["extensions"]["warnings"]
    assert (warning["path"], warning["reason"]) == (["call", "childCalls"], "UPSTREAM_UNAVAILABLE")


@pytest.mark.parametrize("window", ["after", "before"])
async def test_a_place_that_was_pushed_far_down_is_reached_over_several_pages(window: str) -> None:
    """Each page reads as far as its budget allows, and the next continues there."""
    twilio = PlainTwilio(calls=calls_of(4))
    async with connect(twilio) as client:
        cursor = (await answered(client, first=3))[0]["edges"][1]["cursor"]
    twilio.calls[:0] = [call(100 + n, at=50 - n) for n in range(20)]
    twilio.largest_page = 3
    seen: list[str] = []
    steps = 0
    async with connect(twilio, page_budget=3) as client:
        while cursor:
            size = {"first": 2} if window == "after" else {"last": 2}
            got, _ = await answered(client, **size, **{window: cursor})
            info = got["pageInfo"]
            if window == "after":
                seen += sids(got)
                cursor = info["endCursor"] if info["hasNextPage"] else None
            else:
                seen = sids(got) + seen
                cursor = info["startCursor"] if info["hasPreviousPage"] else None
            steps += 1
            assert steps < 30

    assert seen == (numbered(2, 3) if window == "after" else numbered(*range(100, 120), 0))


async def test_a_page_that_is_refused_later_is_a_bad_end_and_no_place_to_look_for() -> None:
    twilio = PlainTwilio(calls=calls_of(9), largest_page=2)
    async with connect(twilio) as client:
        cursor = (await answered(client, first=2))[0]["pageInfo"]["endCursor"]
        refused = f"PA{sid('CA', 3)}"
        twilio.fault = lambda r: httpx.Response(400) if refused in str(r.url) else None
        twilio.asked()
        got, warnings = await answered(client, first=6, after=cursor)

    assert sids(got) == numbered(2, 3)
    assert warnings == cut_short("UPSTREAM_REJECTED")
    assert len(twilio.asked()) == 2


async def test_by_numbers_calls_that_arrive_do_not_come_again_after_a_bad_end() -> None:
    twilio = OddPages(calls=calls_of(9), tokens="numbers", largest_page=3)
    async with connect(twilio, page_budget=1) as client:
        got, _ = await answered(client, first=9)
        twilio.calls[:0] = [call(100 + n, at=50 - n) for n in range(2)]
    async with connect(twilio) as client:
        rest, _ = await answered(client, first=9, after=got["pageInfo"]["endCursor"])

    assert (sids(got), sids(rest)) == (numbered(0, 1, 2), numbered(3, 4, 5, 6, 7, 8))


@pytest.mark.parametrize("tokens", ["name rows", "opaque"])
async def test_from_where_a_reading_back_was_cut_short_one_can_go_either_way(tokens: Any) -> None:
    twilio = OddPages(calls=calls_of(12), tokens=tokens, largest_page=3)
    async with connect(twilio) as client:
        cursor = (await answered(client, first=12))[0]["edges"][9]["cursor"]
    async with connect(twilio, page_budget=2) as client:
        got, warnings = await answered(client, last=9, before=cursor)
    async with connect(twilio) as client:
        place = got["pageInfo"]["startCursor"]
        down, _ = await answered(client, first=3, after=place)
        up, _ = await answered(client, last=12, before=place)

    assert warnings == cut_short("BUDGET_EXCEEDED")
    start = 9 - len(got["edges"])
    assert sids(got) == numbered(*range(start, 9))
    assert sids(down) == numbered(start, start + 1, start + 2)
    assert sids(up) == numbered(*range(start))


async def test_a_search_for_the_top_that_is_cut_short_loses_no_row() -> None:
    """Opaque links that end too early, and a budget that ends with them."""
    twilio = OddPages(calls=calls_of(12), tokens="opaque", largest_page=3, previous_by_number=True)
    async with connect(twilio) as client:
        third = (await answered(client, first=8))[0]["edges"][7]["cursor"]
    twilio.calls[:0] = [call(100 + n, at=50 - n) for n in range(4)]
    seen: list[str] = []
    before: str | None = third
    async with connect(twilio, page_budget=3) as client:
        for _ in range(9):
            got, _ = await answered(client, last=20, before=before)
            seen = sids(got) + seen
            before = got["pageInfo"]["startCursor"]
            if not got["pageInfo"]["hasPreviousPage"]:
                break

    assert seen == numbered(100, 101, 102, 103, *range(7))
