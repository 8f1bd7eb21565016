"""One upstream list as a stream of rows upward, from a place to newer and newer ones.

This module must not know what the rows are, nor how a connection merges several streams.

Note [Upward]. Upstream's links to previous pages prove nothing: Twilio's is null on a page numbered
0, which is what a page before a token is numbered (FACTS section 5), and a link may lead to an
empty page. Only the list's own top, or an empty page above a row, shows that no newer row precedes.
So where there is no link, a token is made for the topmost row, if tokens name rows; else the list
is read from its top down to the rows that are known.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from operator import le, lt
from typing import Generic, TypeVar

from gateway.errors import InvalidCursor, UpstreamInvalid, UpstreamRejected
from gateway.schema.cursors import PositionKind, RowPosition
from gateway.schema.streams import (
    LOST,
    NEWEST,
    ListSource,
    Mark,
    Stream,
    StreamRow,
    created,
    entries,
    position_at,
    position_of,
    ref_of,
    sids_of,
)
from gateway.upstream.pages import tokens_name_rows
from gateway.upstream.requests import TOP, Page, PageRef
from gateway.upstream.resources import Resource

__all__ = ["Upward"]

R = TypeVar("R", bound=Resource)
OLDEST = datetime.min.replace(tzinfo=UTC)


def above(page: Page[R]) -> Iterator[PageRef | None]:
    """The pages that may be right above a page, the best first."""
    yield page.previous
    if tokens_name_rows(page) and page.sids:
        yield PageRef(max(page.request.page.index - 1, 0), f"PB{page.sids[0]}")


class RowsAbove(Generic[R]):
    """The rows above a place, of a list that is read downward page by page.

    The place is right above a `known` row, or by the cursor's row (see Note [Places] in cursors).
    `is_found` tells that it was passed: no further row is above it. With `holds_second`, rows of
    the place's second are above it, where only the date tells.
    """

    def __init__(
        self,
        position: RowPosition,
        known: Collection[str] = (),
        *,
        begins_here: bool = False,
        holds_second: bool = False,
    ) -> None:
        self.rows: list[StreamRow[R]] = []
        self.is_found = False
        self._position = position
        self._known = known
        self._holds_second = holds_second
        # A page that begins at the place may show the row above it once more.
        self._is_at_page_end = begins_here

    def add(self, page: Page[R]) -> None:
        """Takes the rows of the next page that are above the place, as far as SIDs tell."""
        if self.is_found:
            return
        sids = sids_of(page)
        stop = self._count_above(sids)
        self.is_found = stop is not None
        above = set(sids[:stop])
        self.rows += [entry for entry in entries(page) if entry.row.sid in above]

    def _count_above(self, sids: Sequence[str]) -> int | None:
        """How many of a page's rows are above the place; None where it is further down."""
        for index, sid in enumerate(sids):
            if sid in self._known:
                return index
            if sid == self._position.after:
                return index + 1
        if self._is_at_page_end:
            return 0 if sids else None
        stop = sids.index(self._position.above) + 1 if self._position.above in sids else None
        # The cursor's row may be the first of the next page.
        self._is_at_page_end = stop == len(sids)
        return None if self._is_at_page_end else stop

    def settle(self) -> bool:
        """True where the place is known at the list's end: if no SID told, a date may tell.

        It does so only in a list of which all that was read runs newest first.
        """
        date = self._position.date
        if self.is_found or self._is_at_page_end or date is None:
            return self.is_found or self._is_at_page_end
        dates = [created(entry.row) for entry in self.rows]
        steps = list(pairwise(filter(None, dates)))
        if any(upper < lower for upper, lower in steps) or all(map(_are_equal, steps)):
            return False
        is_below = lt if self._holds_second else le
        stop = next((n for n, one in enumerate(dates) if one and is_below(one, date)), None)
        self.rows = self.rows[:stop]
        return True


def _are_equal(step: tuple[datetime, datetime]) -> bool:
    return step[0] == step[1]


class Upward(Stream[R]):
    """A list from a place on up. See Note [Upward].

    It goes up from the place's page: `_locate` finds the place on it, `_climb` reads the pages
    above, `_search` reads down from the list's top. The row that the place is after comes first;
    with `skips_row` it is not wanted, and may be left out.
    """

    def __init__(
        self, source: ListSource[R], position: RowPosition, *, skips_row: bool, is_keyed: bool
    ) -> None:
        super().__init__(source, is_keyed=is_keyed)
        self._position = position
        self._key = position.date or OLDEST
        self._seen: set[str] = set()
        # No row was left from the place's page on: what the list holds is above the place.
        self._is_at_end = False
        # The topmost page whose rows, below the place, are known.
        self._top: Page[R] | None = None
        self._step: Callable[[], Awaitable[None]] = self._locate
        ref, page_size = ref_of(position), source.request.page_size
        if position.kind is PositionKind.ENDS:
            self._climb_from(ref, page_size)
        elif position.kind is PositionKind.NAMED and skips_row and not self._is_near_top():
            self._climb_from(PageRef(max(ref.index - 1, 0), f"PB{position.after}"), page_size)
        else:
            self._begin_to_locate()
            self.is_ended = position.kind is PositionKind.BEGINS and ref == TOP

    @property
    def mark(self) -> Mark[R]:
        """The next row; at the list's end its top."""
        return self._rows[0] if self._rows else position_at(PositionKind.BEGINS, TOP, 1)

    @property
    def frontier(self) -> RowPosition:
        """The next row or, where all that was read is taken off, the page that was not read."""
        if self.is_loaded:
            return position_of(self.mark)
        if self._top is None:
            return self._position
        following = self._walk.next
        if self._step == self._locate and following is not None:
            ref, size = following.page, following.page_size
            kind = PositionKind.BEGINS if self._rows_above.is_found else PositionKind.INSIDE
            return position_at(kind, ref, size, self._position.after, self._position.date)
        if self._step == self._climb and following is not None:
            return position_at(PositionKind.ENDS, following.page, following.page_size)
        if not self._seen:
            return self._position
        request = self._top.request
        return position_at(PositionKind.BEGINS, request.page, request.page_size)

    async def _read_on(self) -> None:
        await self._step()

    def _is_near_top(self) -> bool:
        """True where the top page has room for the row: it shows, too, that nothing is above."""
        return (
            ref_of(self._position) == TOP
            and self._position.page_size <= self._source.page_size_with_own_row
        )

    def _begin_to_locate(self) -> None:
        position = self._position
        self._walk = self._source.walk(ref_of(position), self._source.page_size_at(position))
        self._rows_above: RowsAbove[R] = RowsAbove(
            position, begins_here=position.kind is PositionKind.BEGINS
        )
        self._step = self._locate

    async def _locate(self) -> None:
        """Reads down from the place's page to the place, and to a row: what is above is next."""
        try:
            page = await self._read_page()
        except UpstreamRejected:
            if ref_of(self._position) == TOP:
                raise
            self._begin_search()
            return
        if page is not None:
            if self._top is None or not _has_rows(self._top):
                self._top = page
            self._seen.update(sids_of(page))
            self._rows_above.add(page)
        first = self._top
        has_row = first is not None and _has_rows(first)
        if self._walk.next is not None and not (self._rows_above.is_found and has_row):
            return
        is_top = ref_of(self._position) == TOP
        self._is_at_end = not has_row
        if not self._rows_above.settle() and not is_top:
            self._seen.clear()
            self._begin_search()
            return
        self._take(self._rows_above.rows)
        if is_top:
            self.is_ended = True
            return
        # The links beside an empty page are about no row.
        candidates = above(first) if first is not None and has_row else ()
        page_above = next((ref for ref in candidates if ref is not None), None)
        if page_above is None:
            self._begin_search()
        else:
            self._climb_from(page_above, self._source.page_size_with_own_row)

    def _climb_from(self, ref: PageRef, page_size: int) -> None:
        is_counted = ref.token is None and self._position.token is None
        size = self._position.page_size if is_counted else page_size
        self._walk = self._source.walk(ref, size, above)
        self._step = self._climb

    async def _climb(self) -> None:
        """Reads up, page by page."""
        is_first = self._top is None
        try:
            page = await self._read_page()
        except UpstreamRejected:
            if is_first and self._position.kind is PositionKind.NAMED:
                self._begin_to_locate()
            else:
                self._begin_search()
            return
        if page is None:
            self._begin_search()
            return
        self._top = page
        self._seen.update(sids_of(page))
        self._take(entries(page))
        if self._walk.next is None:
            self.is_ended = page.request.page == TOP or not _has_rows(page)

    def _begin_search(self) -> None:
        self._walk = self._source.walk(TOP, self._source.page_size_with_own_row)
        self._rows_above = RowsAbove(self._position, self._seen, holds_second=self._is_at_end)
        self._step = self._search

    async def _search(self) -> None:
        """Reads from the list's top down to a row that is known, or to the place."""
        page = await self._read_page()
        if page is not None:
            self._rows_above.add(page)
        if self._walk.next is None or self._rows_above.is_found:
            if not self._rows_above.is_found and self._seen:
                raise UpstreamInvalid("The rows above which upstream's list was read are gone")
            if (
                not self._rows_above.settle()
                and self._position.date is None
                and not self._is_at_end
            ):
                raise InvalidCursor(LOST)
            self._take(self._rows_above.rows)
            self.is_ended = True

    def _take(self, found: Sequence[StreamRow[R]]) -> None:
        """These rows, in the list's order, are the next ones upward.

        Their keys never get older upward; see Note [Merged lists] in cursors.
        """
        dates = [created(entry.row) for entry in found] if self._is_keyed else []
        for index in range(len(found) - 1, -1, -1):
            entry = found[index]
            if self._is_keyed:
                is_newest = dates[index] is None and not any(dates[:index])
                date = NEWEST if is_newest else dates[index]
                self._key = max(self._key, date or self._key)
                entry = replace(entry, key=self._key)
            self._rows.append(entry)


def _has_rows(page: Page[R]) -> bool:
    return bool(page.rows_read or page.rows)
