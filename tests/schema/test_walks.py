"""Walks through odd pages, down and up, against a plain oracle: each row once, correct flags."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, note
from hypothesis import strategies as st

from tests.conftest import Client, connect
from tests.plain_twilio import NOON, Row, call
from tests.schema.odd_pages import OddPages
from tests.schema.test_connection import (
    STATUSES,
    accounts,
    created,
    graphql_statuses,
    in_merged_order,
    some_statuses,
)

PAGE = """query($first: Int, $after: String, $last: Int, $before: String, $filter: CallFilter) {
  calls(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
    edges { cursor node { sid } } isComplete
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""

switches = st.fixed_dictionaries(
    {
        "tokens": st.sampled_from(["name rows", "opaque", "numbers"]),
        "previous_by_number": st.booleans(),
        "last_link": st.sampled_from(["null", "to an empty page", "to itself"]),
        "largest_page": st.sampled_from([1, 2, 3, 1000]),
        "shows_never_dialed": st.booleans(),
    }
)
sizes = st.integers(1, 6)
instants = st.integers(-20, 20).map(lambda s: NOON + timedelta(seconds=s))
filters = st.one_of(
    st.none(),
    some_statuses.map(lambda s: {"status": graphql_statuses(s)}),
    st.tuples(instants, instants)
    .filter(lambda pair: pair[0] < pair[1])
    .map(lambda p: {"startTime": {"gte": p[0].isoformat(), "lt": p[1].isoformat()}}),
    st.just({"startTime": {"on": "2026-03-10"}}),
    st.just({"startTime": {"lt": "2026-03-10T00:00:00Z"}}),
)


def matching_sids(rows: list[Row], filter_: Any) -> list[str]:
    """The oracle: the SIDs that match the filter, in the connection's order."""
    if filter_ is None:
        return [row["sid"] for row in rows]
    if "status" in filter_:
        statuses = [s for s in STATUSES if graphql_statuses([s])[0] in filter_["status"]]
        return in_merged_order(rows, statuses)
    range_ = filter_["startTime"]
    day = {"gte": "2026-03-10T00:00:00+00:00", "lt": "2026-03-11T00:00:00+00:00"}
    bounds = day if "on" in range_ else range_
    gte = datetime.fromisoformat(bounds.get("gte", "2000-01-01T00:00:00+00:00"))
    lt = datetime.fromisoformat(bounds["lt"])
    return [row["sid"] for row in rows if row["start_time"] and gte <= created(row) < lt]


async def page(client: Client, filter_: Any, **window: Any) -> Any:
    """One page of the connection."""
    return (await client.data(PAGE, filter=filter_, **window))["calls"]


@st.composite
def days(draw: st.DrawFn) -> list[Row]:
    """As `accounts`, and some calls around the midnight before."""
    rows = draw(accounts())
    midnight = -12 * 3600
    for number, offset in enumerate(sorted(draw(st.lists(st.integers(-2, 2), max_size=4)))):
        rows.append(call(100 + number, at=midnight - offset))
    return rows


@given(days(), filters, sizes, switches)
async def test_down_each_row_comes_once_and_the_flag_is_exact(
    rows: list[Row], filter_: Any, first: int, odd: dict[str, Any]
) -> None:
    oracle = matching_sids(rows, filter_)
    note(
        str(
            [
                (r["sid"][-3:], r["status"], r["date_created"][17:25], bool(r["start_time"]))
                for r in rows
            ]
        )
    )
    note(
        repr(
            (
                locals().get("first"),
                locals().get("last"),
                locals().get("odd"),
                locals().get("pick"),
                filter_,
            )
        )
    )
    seen: list[str] = []
    after = None
    async with connect(OddPages(calls=rows, **odd)) as client:
        while True:
            got = await page(client, filter_, first=first, after=after)
            seen += [edge["node"]["sid"] for edge in got["edges"]]
            assert seen == oracle[: len(seen)]
            assert got["isComplete"]
            assert got["pageInfo"]["hasNextPage"] == (len(seen) < len(oracle))
            if not got["pageInfo"]["hasNextPage"]:
                break
            assert len(got["edges"]) == first
            after = got["pageInfo"]["endCursor"]

    assert seen == oracle


@given(days(), filters, sizes, sizes, switches, st.integers(0, 99))
async def test_up_each_row_comes_once_and_the_flag_is_exact(
    rows: list[Row], filter_: Any, first: int, last: int, odd: dict[str, Any], pick: int
) -> None:
    oracle = matching_sids(rows, filter_)
    note(
        str(
            [
                (r["sid"][-3:], r["status"], r["date_created"][17:25], bool(r["start_time"]))
                for r in rows
            ]
        )
    )
    note(
        repr(
            (
                locals().get("first"),
                locals().get("last"),
                locals().get("odd"),
                locals().get("pick"),
                filter_,
            )
        )
    )
    if not oracle:
        return
    async with connect(OddPages(calls=rows, **odd)) as client:
        cursors: list[str] = []
        after = None
        while len(cursors) < len(oracle):
            got = await page(client, filter_, first=first, after=after)
            cursors += [edge["cursor"] for edge in got["edges"]]
            after = cursors[-1]
        place = pick % len(oracle)
        before = cursors[place]
        seen: list[str] = []
        while True:
            got = await page(client, filter_, last=last, before=before)
            seen = [edge["node"]["sid"] for edge in got["edges"]] + seen
            assert seen == oracle[place - len(seen) : place]
            assert got["isComplete"]
            assert got["pageInfo"]["hasPreviousPage"] == (len(seen) < place)
            if not got["pageInfo"]["hasPreviousPage"]:
                break
            assert len(got["edges"]) == last
            before = got["pageInfo"]["startCursor"]

    assert seen == oracle[:place]


@given(days(), filters, sizes, sizes, switches, st.integers(0, 99))
async def test_a_cursor_leads_both_ways_whichever_way_it_was_read(
    rows: list[Row], filter_: Any, last: int, size: int, odd: dict[str, Any], pick: int
) -> None:
    oracle = matching_sids(rows, filter_)
    if not oracle:
        return
    async with connect(OddPages(calls=rows, **odd)) as client:
        down = await page(client, filter_, first=1 + pick % len(oracle))
        up = await page(client, filter_, last=last, before=down["pageInfo"]["endCursor"])
        for edge in up["edges"]:
            place = oracle.index(edge["node"]["sid"])
            on = await page(client, filter_, first=size, after=edge["cursor"])
            back = await page(client, filter_, last=size, before=edge["cursor"])
            assert [e["node"]["sid"] for e in on["edges"]] == oracle[place + 1 :][:size]
            assert on["pageInfo"]["hasNextPage"] == (place + 1 + size < len(oracle))
            assert [e["node"]["sid"] for e in back["edges"]] == oracle[max(0, place - size) : place]
            assert back["pageInfo"]["hasPreviousPage"] == (place > size)


@st.composite
def disordered(draw: st.DrawFn) -> list[Row]:
    """Calls in any order, as in a list by start time, some without a date."""
    rows = []
    for number in range(draw(st.integers(0, 10))):
        row = call(number, at=-draw(st.integers(0, 8)), status=draw(st.sampled_from(STATUSES[:3])))
        undated = {"date_created": None} if draw(st.integers(0, 3)) == 0 else {}
        rows.append(row | undated)
    return rows


def in_any_order(rows: list[Row], statuses: list[str]) -> list[str]:
    """The oracle of several statuses whose lists are in any order: each keeps its own.

    A row is as new as its date says, but never newer than the row above it in its list.
    """
    ranked = []
    for number, status in enumerate(STATUSES):
        key = float("inf")
        for place, row in enumerate(row for row in rows if row["status"] == status):
            key = min(key, created(row).timestamp() if row["date_created"] else key)
            ranked.append((-key, number, place, row["sid"]))
    return [sid for _, number, _, sid in sorted(ranked) if STATUSES[number] in statuses]


kinds_of_tokens = st.sampled_from(["name rows", "opaque", "numbers"])


@given(disordered(), some_statuses, sizes, sizes, kinds_of_tokens, st.integers(0, 99))
async def test_lists_in_any_order_keep_it_and_lose_nothing(
    rows: list[Row], statuses: list[str], first: int, last: int, tokens: Any, pick: int
) -> None:
    """By start time, or with a row without a date that is not the newest."""
    oracle = in_any_order(rows, statuses)
    filter_ = {"status": graphql_statuses(statuses)}
    cursors: list[str] = []
    seen: list[str] = []
    after = None
    async with connect(OddPages(calls=rows, tokens=tokens)) as client:
        while True:
            got = await page(client, filter_, first=first, after=after)
            seen += [edge["node"]["sid"] for edge in got["edges"]]
            cursors += [edge["cursor"] for edge in got["edges"]]
            assert seen == oracle[: len(seen)]
            if not got["pageInfo"]["hasNextPage"]:
                break
            after = got["pageInfo"]["endCursor"]
        assert seen == oracle
        if not seen:
            return
        place = pick % len(seen)
        before: list[str] = []
        cursor = cursors[place]
        while True:
            got = await page(client, filter_, last=last, before=cursor)
            before = [edge["node"]["sid"] for edge in got["edges"]] + before
            # Down again from the topmost row that was read upward: the rows not above it.
            turned = got["edges"][0]["cursor"] if got["edges"] else None
            if not got["pageInfo"]["hasPreviousPage"]:
                break
            cursor = got["pageInfo"]["startCursor"]

        if turned:
            down = await page(client, filter_, first=20, after=turned)
            onward = [before[0], *(edge["node"]["sid"] for edge in down["edges"])]
            assert sorted(onward) == sorted(oracle)

    # Upward, rows without a date may be merged at another position; each comes exactly once.
    assert sorted(before) == sorted(oracle[:place])
    for status in statuses:
        of_status = [row["sid"] for row in rows if row["status"] == status]
        kept = [sid for sid in before if sid in of_status]
        assert kept == [sid for sid in of_status if sid in kept]


class Moves:
    """What happens to an account while it is read: at each page a call moves, comes or goes."""

    def __init__(self, twilio: OddPages, draws: list[tuple[str, int]]) -> None:
        self._twilio = twilio
        self._draws = draws
        self.moved: set[str] = set()
        twilio.after_list = self.happen

    def happen(self) -> None:
        """The next of the draws."""
        if not self._draws:
            return
        what, number = self._draws.pop()
        calls = self._twilio.calls
        if what == "comes" or not calls:
            status = STATUSES[number % 4]
            new = call(1000 + len(self._draws), at=100 - len(self._draws), status=status)
            calls.insert(0, new)
            self.moved.add(new["sid"])
            return
        row = calls[number % len(calls)]
        self.moved.add(row["sid"])
        if what == "goes":
            calls.remove(row)
        else:
            calls[number % len(calls)] = row | {"status": STATUSES[number % 4]}


draws_of_moves = st.lists(
    st.tuples(st.sampled_from(["comes", "goes", "moves", "moves"]), st.integers(0, 99)), max_size=8
)
without_numbers = st.fixed_dictionaries(
    {
        "tokens": st.sampled_from(["name rows", "opaque"]),
        "previous_by_number": st.booleans(),
        "last_link": st.sampled_from(["null", "to an empty page", "to itself"]),
        "largest_page": st.sampled_from([1, 2, 3, 1000]),
    }
)


@given(accounts(), some_statuses, sizes, without_numbers, draws_of_moves)
async def test_over_a_moving_account_what_stood_still_comes_once(
    rows: list[Row], statuses: list[str], first: int, odd: dict[str, Any], draws: Any
) -> None:
    rows = [row | {"date_created": call(0, at=-n)["date_created"]} for n, row in enumerate(rows)]
    twilio = OddPages(calls=list(rows), **odd)
    moves = Moves(twilio, draws)
    filter_ = {"status": graphql_statuses(statuses)}
    seen: list[str] = []
    after = None
    async with connect(twilio) as client:
        while True:
            got = await page(client, filter_, first=first, after=after)
            seen += [edge["node"]["sid"] for edge in got["edges"]]
            if not got["pageInfo"]["hasNextPage"]:
                break
            after = got["pageInfo"]["endCursor"]

    note(str(draws))
    assert len(seen) == len(set(seen))
    still = [sid for sid in in_merged_order(rows, statuses) if sid not in moves.moved]
    assert [sid for sid in seen if sid in still] == still
