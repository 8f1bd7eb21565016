"""Lists that are cut short: endless empty pages, budgets, broken pages, refusals.

The response keeps the rows that were read and reports it (`isComplete`, a warning). Continuing from
`endCursor` makes progress, up to the last row.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.exactness.accounts import accounts, exact_switches
from tests.exactness.client import description, examples, gateway_client
from tests.exactness.oracle import ANYTHING, Oracle
from tests.exactness.queries import (
    Edge,
    Filter,
    Range,
    Root,
    Window,
    document,
    edges,
    filters,
)
from tests.exactness.switches import Switches, Tail, Ties, Tokens
from tests.exactness.twilio import Account, OddTwilio
from tests.plain_twilio import NOON, call, error

SIZES = st.sampled_from([1, 2, 3, 5])


@st.composite
def lists(draw: st.DrawFn) -> tuple[Account, Switches, Filter]:
    """An account, an upstream, and one of its lists."""
    account = draw(accounts(odd=False))
    return account, draw(exact_switches()), draw(filters(account))


@dataclass
class Page:
    """What a client needs to continue."""

    sids: list[str]
    has_more: bool
    cursor: str | None
    is_complete: bool
    warnings: list[dict[str, Any]]


async def page(client: Any, filter_: Filter, size: int, after: str | None) -> Page:
    """A page of the list; asserts that it has no error."""
    given = [f"first: {size}", *([f'after: "{after}"'] if after else [])]
    given += filter_.arguments
    text = (
        f"{{ calls({', '.join(given)}) "
        "{ nodes { sid } isComplete pageInfo { hasNextPage endCursor } } }"
    )
    answer = await client.answer(text)
    assert "errors" not in answer
    calls, info = answer["data"]["calls"], answer["data"]["calls"]["pageInfo"]
    return Page(
        [node["sid"] for node in calls["nodes"]],
        info["hasNextPage"],
        info["endCursor"],
        calls["isComplete"],
        answer.get("extensions", {}).get("warnings", []),
    )


@settings(max_examples=examples(30))
@given(lists(), SIZES, st.sampled_from([0, 2, 5]))
async def test_a_list_that_goes_on_with_empty_pages_keeps_its_rows_and_says_that_it_goes_on(
    listed: tuple[Account, Switches, Filter], size: int, empties: int
) -> None:
    """Endless empty pages, or more of them in a row than the gateway follows."""
    account, switches, filter_ = listed
    twilio = OddTwilio.of(account, replace(switches, tail=Tail.ENDLESS, empties=empties))
    note(description(twilio, account))
    rows = [row["sid"] for row in Oracle(twilio).rows(filter_)]
    found: list[str] = []
    async with gateway_client(twilio, account) as client:
        cursor = None
        for _ in range(60 + 10 * len(twilio.calls)):
            got = await page(client, filter_, size, cursor)
            found += got.sids
            assert got.has_more
            assert got.is_complete == (len(got.sids) == size)
            assert got.is_complete or got.warnings
            assert all(warning["code"] == "LIST_CUT_SHORT" for warning in got.warnings)
            if found == rows and not got.sids:
                return
            assert got.cursor != cursor or got.cursor is None
            cursor = got.cursor or cursor
    raise AssertionError(f"no progress: {found} of {rows}")


@pytest.mark.parametrize("limit", ["page_budget", "row_budget"])
@settings(max_examples=examples(25))
@given(lists(), SIZES, st.integers(1, 4))
async def test_a_list_that_outlasts_its_budget_keeps_its_rows_and_goes_on_to_the_last(
    limit: str, listed: tuple[Account, Switches, Filter], size: int, budget: int
) -> None:
    account, switches, filter_ = listed
    twilio = OddTwilio.of(account, replace(switches, empties=0))
    note(description(twilio, account))
    rows = [row["sid"] for row in Oracle(twilio).rows(filter_)]
    found: list[str] = []
    async with gateway_client(twilio, account, **{limit: budget}) as client:
        cursor = None
        for _ in range(20 + 2 * len(twilio.calls)):
            got = await page(client, filter_, size, cursor)
            found += got.sids
            # If the row after a full page could not be read, only hasNextPage is not exact.
            assert got.is_complete or got.warnings
            assert got.has_more or not got.warnings
            assert not got.is_complete or len(got.sids) == size or not got.has_more
            if not got.has_more:
                assert found == rows
                return
            assert got.cursor not in (None, cursor)
            cursor = got.cursor
    raise AssertionError(f"no progress: {found} of {rows}")


@pytest.mark.parametrize("limit", ["page_budget", "row_budget"])
async def test_a_walk_by_page_numbers_in_a_budget_of_one_page_loses_nothing(limit: str) -> None:
    """Seven calls of one second; each response may read one page."""
    account = Account(tuple(call(number) for number in range(7)), now=NOON + timedelta(days=3))
    twilio = OddTwilio.of(account, Switches(tokens=Tokens.NUMBERS, ties=Ties.SID_UP))
    found: list[str] = []
    async with gateway_client(twilio, account, **{limit: 1}) as client:
        cursor, has_more = None, True
        while has_more and len(twilio.requests) < 40:
            got = await page(client, Filter(), 1, cursor)
            found, cursor, has_more = [*found, *got.sids], got.cursor, got.has_more
    assert found == [row["sid"] for row in twilio.calls]


Fault = Callable[[httpx.Request], httpx.Response | None]
BROKEN: list[httpx.Response] = [
    httpx.Response(500),
    error(400, 20001),
    httpx.Response(200, text="<html>"),
    httpx.Response(200, json={"calls": {}}),
]


def faulty(numbers: frozenset[int], broken: httpx.Response) -> Fault:
    """Requests of these numbers get the broken response."""
    count = iter(range(10_000))

    def fault(request: httpx.Request) -> httpx.Response | None:
        if next(count) not in numbers:
            return None
        return httpx.Response(broken.status_code, content=broken.content)

    return fault


@st.composite
def two_lists(draw: st.DrawFn) -> tuple[Account, Switches, tuple[Root, ...]]:
    """An account, an upstream, and two of its lists from the top, with edges."""
    account, switches, filter_ = draw(lists())
    one = Root("newest", filter_, Window(3), True, draw(edges(account, statuses=1)))
    other = Root("other", draw(filters(account)), Window(3), True, draw(edges(account, statuses=1)))
    return account, switches, (one, other)


@settings(max_examples=examples(100))
@given(
    two_lists(),
    st.sets(st.integers(0, 8), min_size=1, max_size=4),
    st.sampled_from(BROKEN),
    st.sampled_from([1, 2, 100]),
)
async def test_what_breaks_costs_its_own_place_only(
    twice: tuple[Account, Switches, tuple[Root, ...]],
    numbers: set[int],
    broken: httpx.Response,
    at_once: int,
) -> None:
    account, switches, roots = twice
    twilio = OddTwilio.of(account, switches)
    note(description(twilio, account))
    oracle = Oracle(twilio)
    expected = {root.alias: oracle.root(root) for root in roots}
    twilio.fault = faulty(frozenset(numbers), broken)
    async with gateway_client(twilio, account, max_attempts=1, max_in_flight=at_once) as client:
        answer = await client.answer(document(*(root.text(None) for root in roots)))
    note(f"{twilio.requests} {answer}")
    failed = {tuple(problem["path"]) for problem in answer.get("errors", ())}
    cut = {tuple(warning["path"]) for warning in answer.get("extensions", {}).get("warnings", ())}
    costs_its_place(answer["data"], expected, (), failed, cut)


def costs_its_place(actual: Any, expected: Any, path: Any, failed: Any, cut: Any) -> None:
    """Asserts that the response is as expected, except where it reports that it is not.

    A field may be null with an error of its own; a list may end early with a warning of its own.
    """
    field = tuple(key for key in path if isinstance(key, str))
    if expected is ANYTHING or (field[-1:] == ("hasNextPage",) and actual and field[:-2] in cut):
        return
    if actual is None and expected is not None:
        assert path in failed
    elif (
        isinstance(expected, dict) and actual.get("isComplete") is False and expected["isComplete"]
    ):
        assert field in cut
        if "pageInfo" in actual:
            assert actual["pageInfo"]["hasNextPage"]
        nodes = zip(actual["nodes"], expected["nodes"], strict=False)
        assert len(actual["nodes"]) <= len(expected["nodes"])
        for number, (one, other) in enumerate(nodes):
            costs_its_place(one, other, (*path, "nodes", number), failed, cut)
    elif isinstance(expected, dict):
        assert set(actual) == set(expected)
        for key, value in expected.items():
            costs_its_place(actual[key], value, (*path, key), failed, cut)
    elif isinstance(expected, list):
        assert len(actual) == len(expected)
        for number, (one, other) in enumerate(zip(actual, expected, strict=True)):
            costs_its_place(one, other, (*path, number), failed, cut)
    else:
        assert actual == expected


@settings(max_examples=examples(25))
@given(two_lists(), st.dates(date(2026, 3, 8), date(2026, 3, 12)))
async def test_a_range_beyond_retention_is_refused_and_its_neighbour_is_not(
    twice: tuple[Account, Switches, tuple[Root, ...]], limit: date
) -> None:
    """Covering lists of the neighbour's edges may be refused, too: these are read per key then."""
    account, switches, roots = twice
    twilio = OddTwilio.of(account, replace(switches, refused_before=limit))
    newest = Root("newest", edges=roots[0].edges)
    old = Root("old", Filter(start=Range(on=date(2020, 1, 1))))
    note(description(twilio, account))
    expected = Oracle(twilio).root(newest)
    async with gateway_client(twilio, account) as client:
        answer = await client.answer(document(newest.text(None), old.text(None)))
    assert answer["data"] is not None
    assert answer["data"]["old"] is None
    paths = [problem["path"] for problem in answer["errors"]]
    assert ["old"] in paths
    if not has_ranges(newest.edges):
        assert answer["data"]["newest"] == expected
        assert paths == [["old"]]


def has_ranges(edges: tuple[Edge, ...]) -> bool:
    """True if an edge itself filters by a range of start times, which may be refused."""
    return any(edge.filter.start or has_ranges(edge.edges) for edge in edges)


@settings(max_examples=examples(20))
@given(accounts(odd=False), st.integers(1, 3))
async def test_a_parent_that_upstream_does_not_show_yet_is_null_or_itself(
    account: Account, times: int
) -> None:
    """A GET of what was just made may answer 404 for a moment."""
    twilio = OddTwilio.of(account, Switches(tokens=Tokens.SIDS))
    twilio.lagging = {row["sid"]: times for row in twilio.calls}
    root = Root(window=Window(2), edges=(Edge("parentCall", "up"),))
    expected = Oracle(twilio).root(root)
    async with gateway_client(twilio, account) as client:
        answer = await client.data(document(root.text(None)))
    for actual, node in zip(answer["calls"]["nodes"], expected["nodes"], strict=True):
        assert actual["up"] in (None, node["up"])
