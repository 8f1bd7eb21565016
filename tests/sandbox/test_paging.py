"""Pages: sizes, tokens, links, and reading all pages while calls are being made."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox import reading
from gateway.sandbox.filters import Condition, Equal
from gateway.sandbox.paging import PageRange
from gateway.sandbox.resources import CallRow
from gateway.sandbox.store import SandboxDatabase
from tests.sandbox.conftest import Account, OpenAccount
from tests.sandbox.rows import NOON, call, newest_first, sid

TEN = [call(n, NOON + n, status="busy" if n % 2 else "completed") for n in range(10)]


async def follow(account: Account, link: str) -> dict[str, Any]:
    response = await account.client.get(link)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def numbers(body: dict[str, Any]) -> list[int]:
    return [int(row["sid"][2:], 16) for row in body["calls"]]


@pytest.mark.parametrize(
    ("requested", "actual"),
    [("1", 1), ("1000", 1000), ("2000", 1000), ("0", 1), ("-3", 1), ("ten", 50), ("", 50)],
)
async def test_a_page_has_50_rows_unless_1_to_1000_are_requested(
    open_account: OpenAccount, requested: str, actual: int
) -> None:
    account = await open_account([call(n) for n in range(1, 1003)])

    body = (await account.get("/Calls.json", PageSize=requested)).json()

    assert (body["page_size"], len(body["calls"]), body["end"]) == (actual, actual, actual - 1)


async def test_links_repeat_every_filter_and_nothing_else(open_account: OpenAccount) -> None:
    account = await open_account([call(n, to="+14155550100", status="busy") for n in range(5)])

    body = (
        await account.client.get(
            f"{account.path}/Calls.json?To=%2B14155550100&Nonsense=1&Status=busy&StartTime%3E=2008-01-02"
            "&PageSize=2"
        )
    ).json()

    start = f"{account.path}/Calls.json?To=%2B14155550100&Status=busy&StartTime%3E=2008-01-02"
    assert body["uri"] == body["first_page_uri"] == f"{start}&PageSize=2&Page=0"
    token = f"PA{body['calls'][-1]['sid']}"
    assert body["next_page_uri"] == f"{start}&PageSize=2&Page=1&PageToken={token}"
    assert body["previous_page_uri"] is None


async def test_next_and_previous_lead_there_and_back(open_account: OpenAccount) -> None:
    account = await open_account(TEN)

    first = await follow(account, f"{account.path}/Calls.json?PageSize=4")
    second = await follow(account, first["next_page_uri"])
    third = await follow(account, second["next_page_uri"])
    back = await follow(account, third["previous_page_uri"])
    front = await follow(account, back["previous_page_uri"])

    assert [numbers(body) for body in (first, second, third)] == [
        [9, 8, 7, 6],
        [5, 4, 3, 2],
        [1, 0],
    ]
    assert third["next_page_uri"] is None
    assert [(body["page"], body["start"], body["end"]) for body in (first, second, third)] == [
        (0, 0, 3),
        (1, 4, 7),
        (2, 8, 9),
    ]
    assert numbers(back) == numbers(second)
    assert numbers(front) == numbers(first)
    assert front["previous_page_uri"] is None
    assert await follow(account, front["next_page_uri"]) == second


async def test_a_page_number_without_a_token_works(
    open_account: OpenAccount,
) -> None:
    account = await open_account(TEN)

    body = (await account.get("/Calls.json", PageSize="4", Page="1")).json()

    assert (numbers(body), body["start"]) == ([5, 4, 3, 2], 4)


async def test_a_token_stays_valid_when_its_row_no_longer_matches(
    open_account: OpenAccount,
) -> None:
    account = await open_account(TEN)

    body = (
        await account.get("/Calls.json", Status="completed", Page="1", PageToken=f"PA{TEN[5].sid}")
    ).json()

    assert numbers(body) == [4, 2, 0]


@pytest.mark.parametrize("token", ["PA", "nonsense", "PA" + sid("CA", 99), "PA" + sid("RE", 1)])
async def test_a_token_without_a_row_is_refused(open_account: OpenAccount, token: str) -> None:
    account = await open_account(TEN)

    response = await account.get("/Calls.json", Page="1", PageToken=token)

    assert (response.status_code, response.json()["message"]) == (400, "Invalid PageToken")


@given(
    seconds=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    size=st.integers(1, 7),
    arrivals=st.lists(st.integers(0, 3), max_size=8),
)
def test_reading_all_pages_shows_each_call_once_in_order_while_calls_are_added(
    seconds: list[int], size: int, arrivals: list[int]
) -> None:
    """Calls made meanwhile are newer: the later pages show neither them nor a row twice."""
    store = SandboxDatabase(":memory:")
    rows = [call(n, NOON + second) for n, second in enumerate(seconds)]
    store.add(rows)
    seen, later = list[str](), [call(1000 + n, NOON + 4 + late) for n, late in enumerate(arrivals)]

    query: dict[str, str] = {"PageSize": str(size)}
    while query:
        page, more = reading.page(store, CallRow, [], PageRange.of(query))
        seen += [row.sid for row in page]
        query = {"PageSize": str(size), "PageToken": f"PA{seen[-1]}"} if more else {}
        store.add([later.pop()] if later else [])
    store.close()

    assert seen == [row.sid for row in newest_first(rows)]


@given(
    statuses=st.lists(st.sampled_from(["busy", "failed"]), max_size=30),
    size=st.integers(1, 7),
    status=st.sampled_from([None, "busy"]),
)
def test_paging_back_shows_the_same_pages(
    statuses: list[str], size: int, status: str | None
) -> None:
    store = SandboxDatabase(":memory:")
    store.add([call(n, NOON, status=one) for n, one in enumerate(statuses)])
    conditions: list[Condition] = [Equal("status", status)] if status else []
    forward, back = list[list[CallRow]](), list[list[CallRow]]()

    page_range, more = PageRange(0, size), True
    while more:
        rows, more = reading.page(store, CallRow, conditions, page_range)
        forward.append(rows)
        page_range = PageRange(len(forward), size, after=rows[-1].sid if rows else None)
    for page in range(len(forward) - 1, 0, -1):
        rows, more = reading.page(
            store, CallRow, conditions, PageRange(page - 1, size, before=forward[page][0].sid)
        )
        assert more
        back.append(rows)
    store.close()

    assert back == forward[-2::-1] if len(forward) > 1 else back == []
    assert all(len(rows) == size for rows in forward[:-1])


async def test_following_the_links_shows_each_matching_call_once(open_account: OpenAccount) -> None:
    account = await open_account(TEN)
    seen, link = list[int](), f"{account.path}/Calls.json?Status=busy&PageSize=2"

    while link:
        body = await follow(account, link)
        seen, link = seen + numbers(body), body["next_page_uri"]

    assert seen == [9, 7, 5, 3, 1]
