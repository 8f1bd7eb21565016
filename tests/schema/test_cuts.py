"""A cursor's position is found again in the whole list, whatever became of its row."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.schema.cursors import PositionKind, RowPosition
from gateway.schema.streams import CursorSplit, StreamRow, created, position_of
from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.requests import Page
from tests.plain_twilio import call, sid
from tests.upstream.stage import row

Rows = list[CallResource]


@st.composite
def lists(draw: st.DrawFn) -> Rows:
    """Calls newest first, with many equal seconds."""
    ages = sorted(draw(st.lists(st.integers(0, 3), min_size=1, max_size=8)))
    return [row_of(number, -age) for number, age in enumerate(ages)]


def row_of(number: int, at: int) -> CallResource:
    """A call as decoded."""
    return row(CallResource, **call(number, at=at))


def divided(
    position: RowPosition, rows: Rows, size: int, shown: set[str]
) -> tuple[list[str], list[str]]:
    """The SIDs before and after the position; upstream sends all rows, but only some match."""
    split: CursorSplit[CallResource] = CursorSplit(position)
    after: list[StreamRow[CallResource]] = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        matching = tuple(one for one in part if one.sid in shown)
        sids = tuple(one.sid for one in part)
        after += split.below(Page(ListCalls(), matching, rows_read=len(part), sids=sids))
    after += split.end()
    below = [entry.row.sid for entry in after]
    before = [one.sid for one in rows if one.sid in shown and one.sid not in below]
    return before, below


TIED = [row_of(number, 0) for number in range(5)]


@example(TIED, 2, 2, True, False, set())
@example(TIED, 2, 1, False, False, set())
@example(TIED, 2, 2, False, True, set())
@example(TIED, 2, 1, True, False, set())
@given(
    lists(), st.integers(0, 7), st.integers(1, 4), st.booleans(), st.booleans(),
    st.sets(st.integers(0, 7)),
)  # fmt: skip
def test_the_place_of_a_row_is_found_by_it_or_by_the_row_above_or_by_its_date(
    rows: Rows, pick: int, size: int, is_there: bool, is_above_there: bool, unwanted: set[int]
) -> None:
    index = pick % len(rows)
    own = rows[index]
    above = rows[index - 1].sid if index else None
    position = RowPosition(
        kind=PositionKind.INSIDE, page_size=size, after=own.sid, above=above, date=created(own)
    )
    left = [one for one in rows if is_there or one is not own]
    left = [one for one in left if is_above_there or one.sid != above]
    hidden = {sid("CA", number) for number in unwanted}
    shown = {one.sid for one in left} - hidden
    true_before = [one.sid for one in left if rows.index(one) <= index and one.sid in shown]
    true_after = [one.sid for one in left if rows.index(one) > index and one.sid in shown]

    before, after = divided(position, left, size, shown)

    assert sorted(before + after) == sorted(shown)
    if is_there or (is_above_there and above):
        assert (before, after) == (true_before, true_after)
    else:
        # No row after it is lost; of the rows before it, only those of its second come again.
        assert [one for one in after if one in true_after] == true_after
        again = [one for one in left if one.sid in after and one.sid not in true_after]
        assert all(created(one) == created(own) for one in again)


def test_a_row_that_was_pushed_to_the_top_of_the_next_page_is_before_its_own_place() -> None:
    rows = [row_of(number, -number) for number in range(4)]
    position = RowPosition(
        kind=PositionKind.INSIDE, page_size=2, after=rows[2].sid, above=rows[1].sid, date=None
    )
    everything = {one.sid for one in rows}

    assert divided(position, rows, 2, everything) == (
        [one.sid for one in rows[:3]],
        [rows[3].sid],
    )


@pytest.mark.parametrize(
    ("dates", "size"),
    [([0, 1, 2, 3, 4, 5], 1), ([0, 1, 2, 3, 4, 5], 2), ([9, 5, 7, 1, 6, 0], 4)],
)
def test_in_a_list_in_no_order_a_date_is_no_place_while_the_row_may_come(
    dates: list[int], size: int
) -> None:
    rows = [row_of(number, at) for number, at in enumerate(dates)]
    place = RowPosition(
        kind=PositionKind.INSIDE, page_size=size, after=rows[4].sid, date=created(rows[4])
    )

    assert divided(place, rows, size, {one.sid for one in rows})[1] == [rows[5].sid]


def test_without_a_date_the_place_is_where_its_page_begins() -> None:
    rows: Any = [row_of(number, -number) for number in range(4)]
    position = RowPosition(kind=PositionKind.INSIDE, page_size=2, after=sid("CA", 99), date=None)

    assert divided(position, rows, 2, {one.sid for one in rows})[0] == []


@pytest.mark.parametrize(
    ("ages", "index", "nearest"),
    [
        ([3, None, 5], 1, 5),  # the row below: what is older certainly comes after
        ([3, None, None], 1, 3),
        ([3, 4, None], 2, 4),
        ([None, None], 1, None),
        ([3, 4, 5], 1, 4),
    ],
)
def test_a_row_without_a_date_is_placed_by_the_nearest_that_has_one(
    ages: list[int | None], index: int, nearest: int | None
) -> None:
    rows = tuple(
        row_of(number, -age)
        if age is not None
        else row(CallResource, **call(number, date_created=None))
        for number, age in enumerate(ages)
    )
    position = position_of(StreamRow(Page(ListCalls(), rows), index))

    assert position.date == (None if nearest is None else created(row_of(0, -nearest)))
    assert (position.after, position.above) == (rows[index].sid, rows[index - 1].sid)
