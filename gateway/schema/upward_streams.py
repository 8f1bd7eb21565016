"""One upstream list as a stream of rows upward, from a position to newer and newer rows.

This module must not know what the rows are, nor how a connection merges several streams.

Note [Upward]. Upstream's links to previous pages prove nothing. Twilio's link is null on a page
numbered 0, and a page before a token has that number (docs/twilio.md#5-lists). A link may also lead
to an empty page. Only the list's own top, or an empty page above a row, shows that no newer row
exists. So if there is no link and tokens name rows, the gateway makes a token for the topmost row.
Else it reads the list from its top down to the known rows.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from operator import le, lt
from typing import Generic, TypeVar

from gateway.errors import InvalidCursor, UpstreamInvalid, UpstreamRejected
from gateway.schema.cursors import LOST, PositionKind, RowPosition
from gateway.schema.streams import (
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
from gateway.upstream.requests import FIRST_PAGE, Page, PageRef
from gateway.upstream.resources import Resource

__all__ = ["Upward"]

R = TypeVar("R", bound=Resource)
OLDEST = datetime.min.replace(tzinfo=UTC)


def pages_above(page: Page[R]) -> Iterator[PageRef | None]:
    """The candidates for the page right above a page, the best first."""
    yield page.previous
    if tokens_name_rows(page) and page.sids:
        yield PageRef(max(page.request.page.index - 1, 0), f"PB{page.sids[0]}")


class RowsAbove(Generic[R]):
    """Collects the rows above a position while a list is read downward page by page.

    The position is right above a `known` row, or at the cursor's row (Note [Positions] in cursors).
    `is_found` means that the position was passed: no further row is above it. If only the date
    locates the position, `holds_second` counts rows of the same second as above it.
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
        # A page that begins at the position may repeat the row above it.
        self._is_between_pages = begins_here

    def add(self, page: Page[R]) -> None:
        """Collects the next page's rows that are above the position, judged by SIDs only."""
        if self.is_found:
            return
        sids = sids_of(page)
        count = self._count_above(sids)
        self.is_found = count is not None
        sids_above = set(sids[:count])
        self.rows += [entry for entry in entries(page) if entry.row.sid in sids_above]

    def _count_above(self, sids: Sequence[str]) -> int | None:
        """How many of a page's rows are above the position; None if it is further down."""
        for index, sid in enumerate(sids):
            if sid in self._known:
                return index
            if sid == self._position.after:
                return index + 1
        if self._is_between_pages:
            return 0 if sids else None
        count = sids.index(self._position.above) + 1 if self._position.above in sids else None
        # The cursor's row may be the first of the next page.
        self._is_between_pages = count == len(sids)
        return None if self._is_between_pages else count

    def settle(self) -> bool:
        """True if the position is known once the list is read; without a SID, by the date.

        The date locates it only if all rows that were read run newest first.
        """
        date = self._position.date
        if self.is_found or self._is_between_pages or date is None:
            return self.is_found or self._is_between_pages
        dates = [created(entry.row) for entry in self.rows]
        steps = list(pairwise(filter(None, dates)))
        if any(upper < lower for upper, lower in steps) or all(map(_are_equal, steps)):
            return False
        is_below = lt if self._holds_second else le
        count = next(
            (index for index, value in enumerate(dates) if value and is_below(value, date)), None
        )
        self.rows = self.rows[:count]
        return True


def _are_equal(step: tuple[datetime, datetime]) -> bool:
    return step[0] == step[1]


class Upward(Stream[R]):
    """A list from a position upward, newer and newer. See Note [Upward].

    `_locate` finds the position on its own page, `_climb` reads the pages above, `_search` reads
    down from the list's top. The first row is the one that the position is after; with `skips_row`
    the caller does not need it, and the stream may omit it.
    """

    def __init__(
        self, source: ListSource[R], position: RowPosition, *, skips_row: bool, is_keyed: bool
    ) -> None:
        super().__init__(source, is_keyed=is_keyed)
        self._position = position
        self._key = position.date or OLDEST
        self._seen: set[str] = set()
        # The position's page and all below it are empty: every row of the list is above.
        self._is_at_end = False
        # The topmost page that was read on the way up.
        self._top: Page[R] | None = None
        self._step: Callable[[], Awaitable[None]] = self._locate
        ref, page_size = ref_of(position), source.request.page_size
        if position.kind is PositionKind.ENDS:
            self._climb_from(ref, page_size)
        elif position.kind is PositionKind.NAMED and skips_row and not self._is_near_top():
            self._climb_from(PageRef(max(ref.index - 1, 0), f"PB{position.after}"), page_size)
        else:
            self._begin_to_locate()
            self.is_ended = position.kind is PositionKind.BEGINS and ref == FIRST_PAGE

    @property
    def mark(self) -> Mark[R]:
        """The next row; after the last row, the list's top."""
        return self._rows[0] if self._rows else position_at(PositionKind.BEGINS, FIRST_PAGE, 1)

    @property
    def frontier(self) -> RowPosition:
        """The next row or, if all loaded rows were popped, the next page to read."""
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
        """True if the list's top page can show the row, and so that no row is above it."""
        return (
            ref_of(self._position) == FIRST_PAGE
            and self._position.page_size <= self._source.extended_page_size
        )

    def _begin_to_locate(self) -> None:
        position = self._position
        self._walk = self._source.walk(ref_of(position), self._source.page_size_at(position))
        self._rows_above: RowsAbove[R] = RowsAbove(
            position, begins_here=position.kind is PositionKind.BEGINS
        )
        self._step = self._locate

    async def _locate(self) -> None:
        """Reads down from the position's page, until the position and a row are found."""
        try:
            page = await self._read_page()
        except UpstreamRejected:
            if ref_of(self._position) == FIRST_PAGE:
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
        is_top = ref_of(self._position) == FIRST_PAGE
        self._is_at_end = not has_row
        if not self._rows_above.settle() and not is_top:
            self._seen.clear()
            self._begin_search()
            return
        self._take(self._rows_above.rows)
        if is_top:
            self.is_ended = True
            return
        # An empty page's links belong to no row.
        candidates = pages_above(first) if first is not None and has_row else ()
        page_above = next((ref for ref in candidates if ref is not None), None)
        if page_above is None:
            self._begin_search()
        else:
            self._climb_from(page_above, self._source.extended_page_size)

    def _climb_from(self, ref: PageRef, page_size: int) -> None:
        is_counted = ref.token is None and self._position.token is None
        size = self._position.page_size if is_counted else page_size
        self._walk = self._source.walk(ref, size, pages_above)
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
            self.is_ended = page.request.page == FIRST_PAGE or not _has_rows(page)

    def _begin_search(self) -> None:
        self._walk = self._source.walk(FIRST_PAGE, self._source.extended_page_size)
        self._rows_above = RowsAbove(self._position, self._seen, holds_second=self._is_at_end)
        self._step = self._search

    async def _search(self) -> None:
        """Reads from the list's top down to a known row, or to the position."""
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

    def _take(self, rows: Sequence[StreamRow[R]]) -> None:
        """Appends these rows, given in the list's order, upward.

        Their keys never get older upward; see Note [Merged lists] in cursors.
        """
        dates = [created(entry.row) for entry in rows] if self._is_keyed else []
        for index in range(len(rows) - 1, -1, -1):
            entry = rows[index]
            if self._is_keyed:
                is_newest = dates[index] is None and not any(dates[:index])
                date = NEWEST if is_newest else dates[index]
                self._key = max(self._key, date or self._key)
                entry = replace(entry, key=self._key)
            self._rows.append(entry)


def _has_rows(page: Page[R]) -> bool:
    return bool(page.rows_read or page.rows)
