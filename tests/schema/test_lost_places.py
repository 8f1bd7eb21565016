"""Cursors whose row is gone with nearly all that locates it: they lead on, or raise an error."""

import pytest

from tests.conftest import connect
from tests.plain_twilio import call
from tests.schema.odd_pages import OddPages
from tests.schema.test_leading_on import meets, walked_to
from tests.schema.test_page_info import calls_of, numbered, sids
from tests.schema.test_walks import PAGE, page


async def test_a_place_that_nothing_tells_of_any_more_is_said_to_be_lost() -> None:
    """Its page and its row are gone, and no call had a date: the error reports it."""
    rows = [row | {"date_created": None} for row in calls_of(9)]
    twilio = OddPages(calls=rows, tokens="opaque")
    async with connect(twilio) as client:
        cursor = await walked_to(client, None, 4)
        for number in (3, 4):
            meets(twilio, number, "gone")
        down = await client.error(PAGE, first=2, after=cursor)
        up = await client.error(PAGE, last=2, before=cursor)

    codes = [error["extensions"]["code"] for error in (down, up)]
    assert codes == ["INVALID_CURSOR"] * 2


@pytest.mark.parametrize("fate", ["as it was", "gone"])
async def test_the_last_call_of_which_only_its_sid_is_known_leads_up(fate: str) -> None:
    """Its cursor names the empty page below it, and no call had a date."""
    rows = [row | {"date_created": None} for row in calls_of(4)]
    twilio = OddPages(
        calls=rows, tokens="opaque", last_link="to an empty page", largest_page=1, forgets=False
    )
    async with connect(twilio) as client:
        cursor = await walked_to(client, None, 3)
        meets(twilio, 3, fate)
        up = await page(client, None, last=2, before=cursor)
        top = await page(client, None, last=2, before=up["pageInfo"]["startCursor"])

    assert (sids(up), sids(top)) == (numbered(1, 2), numbered(0))
    assert (up["pageInfo"]["hasPreviousPage"], top["pageInfo"]["hasPreviousPage"]) == (True, False)


async def test_calls_of_one_second_above_the_last_one_are_not_lost_with_it() -> None:
    """No row is left below its position, so every row of the list is above it."""
    twilio = OddPages(
        calls=[call(0, at=9), *[call(n) for n in range(1, 4)]],
        tokens="opaque",
        last_link="to an empty page",
        largest_page=1,
        forgets=False,
    )
    async with connect(twilio) as client:
        cursor = await walked_to(client, None, 3)
        meets(twilio, 3, "gone")
        up = await page(client, None, last=9, before=cursor)

    assert sids(up) == numbered(0, 1, 2)
    assert not up["pageInfo"]["hasPreviousPage"]


async def test_the_last_call_alone_on_its_page_leads_up_though_it_is_gone() -> None:
    """Its page is empty then, and is the last."""
    rows = [row | {"date_created": None} for row in calls_of(3)]
    twilio = OddPages(calls=rows, tokens="opaque", largest_page=1, forgets=False)
    async with connect(twilio) as client:
        cursor = await walked_to(client, None, 2)
        meets(twilio, 2, "gone")
        up = await page(client, None, last=9, before=cursor)

    assert sids(up) == numbered(0, 1)


async def test_a_call_whose_page_is_refused_is_found_by_its_sid() -> None:
    """The row that the page's token names is gone, and no call has a date."""
    rows = [row | {"date_created": None} for row in calls_of(9)]
    twilio = OddPages(calls=rows, tokens="opaque")
    async with connect(twilio) as client:
        cursor = await walked_to(client, None, 4)
        meets(twilio, 3, "gone")
        up = await page(client, None, last=2, before=cursor)
        down = await page(client, None, first=2, after=cursor)

    assert sids(up) == numbered(1, 2)
    assert sids(down) == numbered(5, 6)


async def test_a_lost_place_is_the_fields_error_though_its_page_is_there() -> None:
    """An empty page with a next page would make a client loop."""
    rows = [row | {"date_created": None} for row in calls_of(9)]
    twilio = OddPages(calls=rows, tokens="opaque", largest_page=2)
    async with connect(twilio) as client:
        cursor = await walked_to(client, None, 2)
        meets(twilio, 2, "gone")
        (up,) = (await client.answer(PAGE, last=2, before=cursor))["errors"]

    assert (up["path"], up["extensions"]["code"]) == (["calls"], "INVALID_CURSOR")


@pytest.mark.parametrize("seconds", [1, 0], ids=["oldest first", "of one second"])
async def test_where_the_order_says_nothing_a_date_ends_no_walk_upward(seconds: int) -> None:
    """The cursor's page is refused, and its row gone: better a call twice than one lost."""
    twilio = OddPages(calls=[call(n, at=n * seconds) for n in range(9)], tokens="opaque")
    async with connect(twilio) as client:
        cursor = await walked_to(client, None, 4)
        for number in (3, 4):
            meets(twilio, number, "gone")
        up = await page(client, None, last=9, before=cursor)

    assert sids(up)[:3] == numbered(0, 1, 2)
