"""`count`: how many rows a list has, read only if it is selected, and honest about its limits."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import connect
from tests.plain_twilio import PlainTwilio, call, error, recording, sid
from tests.schema.test_cost import cost

COUNT = """query($n: Int, $u: Int, $f: CallFilter, $refine: CallRefinement) {
  calls(first: $n, filter: $f, refine: $refine) { count(upTo: $u) { value precision } } }"""


def account(count: int) -> PlainTwilio:
    """So many calls; every third is busy."""
    rows = range(1, count + 1)
    return PlainTwilio(
        calls=[call(n, at=-n, status="completed" if n % 3 else "busy") for n in rows]
    )


def exactly(value: int) -> dict[str, Any]:
    """The list has so many rows."""
    return {"value": value, "precision": "EXACT"}


def at_least(value: int) -> dict[str, Any]:
    """The list has so many rows, or more."""
    return {"value": value, "precision": "AT_LEAST"}


@pytest.mark.parametrize(
    ("given_", "found", "asked"),
    [
        ({"n": 0}, exactly(120), ["GET Calls?PageSize=1000"]),
        ({"n": 0, "u": None}, exactly(120), ["GET Calls?PageSize=1000"]),
        ({"n": 0, "u": 121}, exactly(120), ["GET Calls?PageSize=122"]),
        ({"n": 0, "u": 120}, exactly(120), ["GET Calls?PageSize=121"]),
        ({"n": 0, "u": 119}, at_least(119), ["GET Calls?PageSize=120"]),
        ({"n": 0, "u": 1}, at_least(1), ["GET Calls?PageSize=2"]),
        (
            {"n": 0, "f": {"status": ["BUSY", "COMPLETED"]}, "u": 200},
            exactly(120),
            ["GET Calls?Status=busy&PageSize=201", "GET Calls?Status=completed&PageSize=201"],
        ),
        ({"n": 0, "f": {"status": "BUSY"}}, exactly(40), ["GET Calls?Status=busy&PageSize=1000"]),
        ({"n": 0, "refine": {"minDuration": 61}}, exactly(0), ["GET Calls?PageSize=1000"]),
        # the page of the list already holds all of it
        ({"n": 120}, exactly(120), ["GET Calls?PageSize=121"]),
        ({"n": 200, "u": 7}, at_least(7), ["GET Calls?PageSize=201"]),
        ({"n": 50}, exactly(120), ["GET Calls?PageSize=1000", "GET Calls?PageSize=51"]),
    ],
)
async def test_a_count_of_calls(given_: Any, found: dict[str, Any], asked: list[str]) -> None:
    twilio = account(120)
    async with connect(twilio) as client:
        data = await client.data(COUNT, **given_)

    assert data["calls"]["count"] == found
    assert twilio.asked() == asked


async def test_a_list_without_a_count_reads_nothing_more() -> None:
    twilio = account(120)
    async with connect(twilio) as client:
        await client.data("{ calls(first: 10) { nodes { sid } } }")

    assert twilio.asked() == ["GET Calls?PageSize=11"]


async def test_whether_there_are_more_than_a_full_page_takes_a_small_one() -> None:
    twilio = account(1500)
    async with connect(twilio) as client:
        data = await client.data(COUNT, n=0, u=1000)

    assert data["calls"]["count"] == at_least(1000)
    assert twilio.asked() == [
        "GET Calls?PageSize=1000",
        f"GET Calls?PageSize=50&Page=1&PageToken=PA{sid('CA', 1000)}",
    ]


async def test_the_edges_of_a_page_are_counted_from_the_lists_that_it_reads_anyway() -> None:
    """Recordings of 50 calls: one list, with a count for each call, and exact."""
    twilio = account(50)
    twilio.recordings = [
        recording(place, of=place % 50 + 1, at=-(place % 50 + 1)) for place in range(1, 121)
    ]
    query = """{ calls { nodes { sid
        recordings { nodes { sid } count(upTo: 50) { value precision } } } } }"""
    alone = (
        "{ calls { nodes { sid recordings(first: 0) { count(upTo: 50) { value precision } } } } }"
    )
    async with connect(twilio) as client:
        both = (await client.data(query))["calls"]["nodes"]
        asked = twilio.asked()
        only = (await client.data(alone))["calls"]["nodes"]

    assert [node["recordings"]["count"] for node in both] == [
        exactly(len(node["recordings"]["nodes"])) for node in both
    ]
    assert sum(node["recordings"]["count"]["value"] for node in both) == 120
    scan = "GET Recordings?DateCreated=2026-03-10&PageSize=1000"
    assert asked == ["GET Calls?PageSize=51", scan]
    assert [node["recordings"]["count"] for node in only] == [
        node["recordings"]["count"] for node in both
    ]
    assert twilio.asked() == asked


async def test_a_count_that_cannot_read_on_is_a_lower_bound_with_a_warning() -> None:
    twilio = account(2500)
    async with connect(twilio, row_budget=1000) as client:
        answer = await client.answer(COUNT, n=0, u=1500)

    assert answer["data"]["calls"]["count"] == at_least(1000)
    (warning,) = answer["extensions"]["warnings"]
    assert (warning["code"], warning["reason"]) == ("LIST_CUT_SHORT", "BUDGET_EXCEEDED")
    assert warning["path"] == ["calls"]
    assert twilio.asked() == ["GET Calls?PageSize=1000"]


async def test_rows_that_cannot_be_read_make_it_a_lower_bound_and_the_page_stays_complete() -> None:
    twilio = account(60)
    twilio.calls[55]["sid"] = "no SID"
    query = "{ calls(first: 5) { count { value precision } isComplete nodes { sid } } }"
    async with connect(twilio) as client:
        calls = (await client.data(query))["calls"]

    assert calls["count"] == at_least(59)
    assert calls["isComplete"]


async def test_a_count_that_fails_is_null_and_costs_nothing_else() -> None:
    twilio = account(120)
    twilio.fault = lambda r: error(400, 20004) if r.url.params["PageSize"] == "1000" else None
    query = "{ calls(first: 2) { nodes { sid } count { value } } }"
    async with connect(twilio) as client:
        answer = await client.answer(query)

    assert len(answer["data"]["calls"]["nodes"]) == 2
    assert answer["data"]["calls"]["count"] is None
    assert [error_["path"] for error_ in answer["errors"]] == [["calls", "count"]]


@pytest.mark.parametrize("up_to", [0, -1])
async def test_a_count_counts_one_row_at_least(up_to: int) -> None:
    async with connect(account(3)) as client:
        error_ = await client.error(COUNT, n=0, u=up_to)

    assert error_["message"] == "upTo must be 1 or more"
    assert error_["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("{ calls(first: 7) { count { value } } }", 1007),
        ("{ calls(first: 7) { nodes { sid } count(upTo: 30) { value } } }", 37),
        ("{ calls(first: 7) { a: count(upTo: 30) { value } b: count(upTo: 5) { value } } }", 42),
        ("{ calls(first: 7, filter: {status: [BUSY, FAILED]}) { count(upTo: 9) { value } } }", 32),
        (
            "{ calls(first: 7) { ...C ...C } } fragment C on CallConnection { count { value } }",
            1007,
        ),
        ("{ calls(first: 7) { ... on CallConnection { count(upTo: null) { value } } } }", 1007),
        (
            "{ calls(first: 10) { nodes { recordings(first: 9) { count(upTo: 50) { value } } } } }",
            10 + 10 * (1 + 2),
        ),
        ("query($u: Int = 20) { calls(first: 7) { count(upTo: $u) { value } } }", 27),
    ],
)
def test_a_count_costs_the_rows_that_it_may_read(query: str, rows: int) -> None:
    assert cost(query) == rows


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 25), st.integers(0, 12), st.integers(1, 30), st.integers(1, 12))
async def test_a_count_is_the_number_of_rows(
    there: int, first: int, up_to: int, largest: int
) -> None:
    """However many rows the page shows, and however small upstream's pages are."""
    twilio = account(there)
    twilio.largest_page = largest
    async with connect(twilio) as client:
        data = await client.data(COUNT, n=first, u=up_to)

    assert data["calls"]["count"] == (exactly(there) if there <= up_to else at_least(up_to))
