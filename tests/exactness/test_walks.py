"""Walks through a list that does not change: forwards, backwards, and in both directions.

A cursor is a position. The rows before and after it, and whether there are any, do not depend on
the page or the direction in which the client received it.
"""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st

from tests.conftest import Client
from tests.exactness.accounts import accounts, paging_switches
from tests.exactness.client import description, examples, gateway_client
from tests.exactness.oracle import Oracle
from tests.exactness.queries import STATUSES, Filter, filters
from tests.exactness.switches import Order, Switches, Tail, Ties
from tests.exactness.twilio import Account, OddTwilio, is_row
from tests.plain_twilio import NOON, call

SIZES = st.sampled_from([1, 1, 2, 3, 5, 50])


@dataclass
class Walk:
    """A client's walk through one list, and the cursors that it received."""

    client: Client
    filter: Filter
    cursors: dict[str, str] = field(default_factory=dict)

    async def page(
        self, size: int, at: str | None = None, *, backwards: bool = False
    ) -> tuple[list[str], dict[str, Any], Any]:
        """The SIDs after, or before, the call `at`; the page's info; whether it is complete."""
        given = [f"{'last' if backwards else 'first'}: {size}"]
        if at is not None:
            given.append(f'{"before" if backwards else "after"}: "{self.cursors[at]}"')
        given += self.filter.arguments
        info = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
        shown = f"edges {{ cursor node {{ sid }} }} isComplete {info}"
        text = f"{{ calls({', '.join(given)}) {{ {shown} }} }}"
        calls = (await self.client.data(text))["calls"]
        sids = [edge["node"]["sid"] for edge in calls["edges"]]
        self.cursors |= {edge["node"]["sid"]: edge["cursor"] for edge in calls["edges"]}
        if calls["edges"]:
            assert calls["pageInfo"]["startCursor"] == calls["edges"][0]["cursor"]
            assert calls["pageInfo"]["endCursor"] == calls["edges"][-1]["cursor"]
        return sids, calls["pageInfo"], calls["isComplete"]

    async def whole(self) -> list[str]:
        """The whole list, read in one page."""
        sids, info, _ = await self.page(1000)
        assert (info["hasNextPage"], info["hasPreviousPage"]) == (False, False)
        return sids


def in_order(oracle: Oracle, filter_: Filter) -> list[str] | None:
    """The SIDs of a list; None if several statuses are merged and their order is not defined."""
    rows = oracle.rows(filter_)
    dates = [oracle.twilio.seen(row).get("date_created") for row in rows]
    if len(filter_.statuses) > 1:
        is_open = not all(map(_is_date, dates)) or len(set(dates)) < len(dates)
        if is_open or oracle.twilio.switches.order is not Order.CREATED:
            return None
    return [row["sid"] for row in rows]


def _is_date(text: Any) -> bool:
    return isinstance(text, str) and bool(text)


@dataclass(frozen=True)
class List:
    """One of an account's lists behind an upstream."""

    account: Account
    switches: Switches
    filter: Filter
    statuses: tuple[str, ...]

    def with_statuses(self, several: bool) -> tuple[Account, Switches, Filter]:
        """The list as drawn, or with several statuses."""
        filter_ = replace(self.filter, statuses=self.statuses) if several else self.filter
        return self.account, self.switches, filter_


@st.composite
def lists(draw: st.DrawFn) -> List:
    """An account, an upstream, and one of its lists."""
    account = draw(accounts(families=8))
    several = st.lists(st.sampled_from(STATUSES), min_size=2, max_size=5, unique=True)
    return List(account, draw(paging_switches()), draw(filters(account)), tuple(draw(several)))


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("several", [False, True], ids=["one list", "several statuses"])
@settings(max_examples=examples(25))
@given(lists(), SIZES)
async def test_a_walk_gives_each_row_once_and_says_exactly_whether_more_follow(
    backwards: bool, several: bool, drawn: List, size: int
) -> None:
    account, switches, filter_ = drawn.with_statuses(several)
    # Nothing tells which of several lists such a call belongs to (docs/paging.md).
    is_ignored = "Status" in switches.ignored and several
    assume(not (is_ignored and backwards and has_odd_status(account)))
    twilio = OddTwilio.of(account, switches)
    note(description(twilio, account))
    oracle = Oracle(twilio)
    async with gateway_client(twilio, account) as client:
        walk = Walk(client, filter_)
        rows = await walk.whole()
        assert rows == (in_order(oracle, filter_) or rows)
        assert sorted(rows) == sorted(row["sid"] for row in oracle.rows(filter_))
        if backwards and not rows:
            return
        is_open = in_order(oracle, filter_) is None
        at, position = (rows[-1], len(rows) - 1) if backwards else (None, 0)
        found = [] if at is None else [at]
        while True:
            sids, info, is_complete = await walk.page(size, at, backwards=backwards)
            start, stop = (
                (max(position - size, 0), position) if backwards else (position, position + size)
            )
            if is_open:  # the order is not defined, but each row comes once
                assert len(sids) == len(rows[start:stop])
                assert not set(sids) & set(found)
            else:
                assert sids == rows[start:stop]
            found += sids
            assert info["hasNextPage"] == (backwards or stop < len(rows))
            assert info["hasPreviousPage"] == (start > 0)
            assert is_complete or has_junk(account)
            if not info["hasPreviousPage" if backwards else "hasNextPage"]:
                return
            at, position = (sids[0], start) if backwards else (sids[-1], stop)


@pytest.mark.parametrize("several", [False, True], ids=["one list", "several statuses"])
@settings(max_examples=examples(40))
@given(lists(), SIZES, st.lists(st.tuples(SIZES, st.integers(0, 30), st.booleans()), max_size=6))
async def test_every_cursor_leads_on_both_ways_wherever_it_was_handed_out(
    several: bool, drawn: List, first: int, steps: list[tuple[int, int, bool]]
) -> None:
    account, switches, filter_ = drawn.with_statuses(several)
    twilio = OddTwilio.of(account, switches)
    note(description(twilio, account))
    async with gateway_client(twilio, account) as client:
        rows = await Walk(client, filter_).whole()
        walk = Walk(client, filter_)
        await walk.page(first)
        for size, number, backwards in steps if rows else ():
            at = sorted(walk.cursors)[number % len(walk.cursors)]
            position = rows.index(at)
            note(f"{size} {'before' if backwards else 'after'} {at} (row {position})")
            start, stop = (
                (max(position - size, 0), position)
                if backwards
                else (position + 1, position + 1 + size)
            )
            sids, info, _ = await walk.page(size, at, backwards=backwards)
            assert at not in sids
            if in_order(Oracle(twilio), filter_) is None:
                assert len(set(sids)) == len(sids)
                continue
            assert sids == rows[start:stop]
            assert info["hasNextPage"] == (backwards or stop < len(rows))
            assert info["hasPreviousPage"] == (not backwards or start > 0)


def has_junk(account: Account) -> bool:
    """True if upstream shows junk in place of a row."""
    return any(not is_row(value) for value in account.shown.values())


def has_odd_status(account: Account) -> bool:
    """True if a call has an unreadable status."""
    calls = [row for row in account.shown.values() if is_row(row) and row["sid"][:2] == "CA"]
    return any(row.get("status") not in STATUSES for row in calls)


OLDEST_FIRST = Switches(order=Order.OLDEST_FIRST, ties=Ties.SID_UP, tail=Tail.EMPTY)


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_a_walk_back_from_the_last_row_needs_no_order_of_the_list(size: int) -> None:
    """The cursor's page is the empty one past the end, and rows run oldest first."""
    rows = (*(call(number) for number in range(9)), call(9, at=1))
    account = Account(rows, now=NOON + timedelta(days=3))
    twilio = OddTwilio.of(account, OLDEST_FIRST)
    async with gateway_client(twilio, account) as client:
        walk = Walk(client, Filter())
        listed = await walk.whole()
        sids, info, _ = await walk.page(size, listed[-1], backwards=True)
    assert sids == listed[-1 - size : -1]
    assert info["hasPreviousPage"]


async def test_back_where_upstream_ignores_the_status_no_row_is_lost_beside_one_of_another() -> (
    None
):
    """The call above the cursor's position is above a failed one, which ends its page."""
    rows = (
        call(3, at=9),
        call(2),
        call(1, status="failed"),
        call(0),
    )
    account = Account(rows, now=NOON + timedelta(days=3))
    twilio = OddTwilio.of(account, Switches(tail=Tail.EMPTY, ignored=frozenset({"Status"})))
    async with gateway_client(twilio, account) as client:
        walk = Walk(client, Filter(statuses=("completed", "failed")))
        listed = await walk.whole()
        sids, info, _ = await walk.page(1, listed[-1], backwards=True)
    assert [sid[-1] for sid in listed] == ["3", "2", "0", "1"]
    assert (sids, info["hasPreviousPage"]) == (listed[2:3], True)


@settings(max_examples=examples(30))
@given(lists())
async def test_a_last_page_that_leads_back_to_the_first_is_the_last(drawn: List) -> None:
    account, switches, filter_ = drawn.with_statuses(several=False)
    twilio = OddTwilio.of(account, replace(switches, tail=Tail.FIRST))
    note(description(twilio, account))
    async with gateway_client(twilio, account) as client:
        listed = await Walk(client, filter_).whole()
    assert listed == [row["sid"] for row in Oracle(twilio).rows(filter_)]
