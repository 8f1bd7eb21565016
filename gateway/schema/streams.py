"""One upstream list as a stream of rows: what both directions share, and reading downward.

This module must not know what the rows are, nor how a connection merges several streams.

Note [Refused pages]. Upstream may refuse a token whose row was deleted. Then the stream looks for
the position on its own page and, if that fails, from the list's top by the row's SID and date.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from gateway.errors import (
    BudgetExceeded,
    InvalidCursor,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRejected,
)
from gateway.schema.cursors import LOST, PositionKind, RowPosition
from gateway.upstream.pages import (
    Budget,
    NextPages,
    PageWalk,
    ReadPage,
    next_page_link,
    tokens_name_rows,
)
from gateway.upstream.requests import FIRST_PAGE, ListRequest, Page, PageRef
from gateway.upstream.resources import Resource

__all__ = [
    "NEWEST",
    "CursorSplit",
    "Downward",
    "ListSource",
    "Mark",
    "Stream",
    "StreamRow",
    "created",
    "entries",
    "position_at",
    "position_of",
    "ref_of",
    "sids_of",
]

R = TypeVar("R", bound=Resource)
# A row without a date has just been created (docs/twilio.md#1-surprising-facts, fact 10): it is the
# newest.
NEWEST = datetime.max.replace(tzinfo=UTC)
MAX_PAGE_SIZE = 1000
# A page that is read only to learn whether a row exists: Twilio's default size.
PROBE_PAGE_SIZE = 50


def created(row: Resource) -> datetime | None:
    """A row's date_created, the order of lists (newest first); None if missing or unreadable."""
    try:
        return row.date_created
    except UpstreamInvalid:
        return None


@dataclass(frozen=True, slots=True)
class StreamRow(Generic[R]):
    """A row on its page; if lists are merged, with its key (Note [Merged lists] in cursors)."""

    page: Page[R]
    index: int
    key: datetime | None = None

    @property
    def row(self) -> R:
        """The row itself."""
        return self.page.rows[self.index]


def entries(page: Page[R]) -> list[StreamRow[R]]:
    """The page's rows, without keys."""
    return [StreamRow(page, index) for index in range(len(page.rows))]


def sids_of(page: Page[R]) -> Sequence[str]:
    """The SIDs on a page, also of rows that the filter excludes."""
    return page.sids or [row.sid for row in page.rows]


# A position in one list: just after this row, or where the stream started.
Mark = StreamRow[R] | RowPosition


def position_of(mark: Mark[R]) -> RowPosition:
    """The mark as part of a cursor. See Note [Positions] in cursors."""
    if isinstance(mark, RowPosition):
        return mark
    page, sid, sids = mark.page, mark.row.sid, sids_of(mark.page)
    index = mark.index if sids[mark.index] == sid else sids.index(sid)
    kind, ref = PositionKind.INSIDE, page.request.page
    if tokens_name_rows(page):
        kind = PositionKind.NAMED
    elif page.sids[-1:] == (sid,) and page.next is not None and page.next.token is not None:
        kind, ref = PositionKind.BEGINS, page.next
    return RowPosition(
        kind=kind,
        index=ref.index,
        token=ref.token,
        page_size=page.request.page_size,
        after=sid,
        above=sids[index - 1] if index else None,
        date=mark.key or created(mark.row) or _nearest_date(page.rows, mark.index),
    )


def _nearest_date(rows: Sequence[Resource], index: int) -> datetime | None:
    """The date of the first row below that has one, else of the nearest above."""
    others = (*rows[index + 1 :], *reversed(rows[:index]))
    return next(filter(None, map(created, others)), None)


def position_at(
    kind: PositionKind,
    ref: PageRef,
    page_size: int,
    after: str | None = None,
    date: datetime | None = None,
) -> RowPosition:
    """A position on this page."""
    return RowPosition(
        kind=kind, index=ref.index, token=ref.token, page_size=page_size, after=after, date=date
    )


@dataclass(frozen=True)
class ListSource(Generic[R]):
    """How the pages of one list are read. `request` is its top page, with the usual page size."""

    read: ReadPage[R]
    request: ListRequest[R]
    budget: Budget

    def walk(
        self, ref: PageRef, page_size: int, following: NextPages[R] = next_page_link
    ) -> PageWalk[R]:
        """A walk that begins with a page of this size."""
        start = replace(self.request, page=ref, page_size=page_size)
        size = self.request.page_size
        return PageWalk(self.read, start, self.budget, page_size=size, following=following)

    @property
    def extended_page_size(self) -> int:
        """A page size with room for the cursor's own row beside the requested rows."""
        return min(self.request.page_size + 1, MAX_PAGE_SIZE)

    def page_size_at(self, position: RowPosition) -> int:
        """A page size with room for the position's row; a page without a token keeps its size."""
        ref = ref_of(position)
        if ref.token is None and ref != FIRST_PAGE:
            return position.page_size
        return max(position.page_size, self.extended_page_size)


def ref_of(position: RowPosition) -> PageRef:
    """The page that a position names."""
    return PageRef(position.index, position.token)


class CursorSplit(Generic[R]):
    """Drops a list's rows, page by page, down to a position. See Note [Positions] in cursors.

    `is_found`: the position was passed, so all further rows are after it. `is_from_top`: the first
    page is not the position's own, so only SIDs can locate a position without a date.
    """

    def __init__(
        self, position: RowPosition, *, is_found: bool = False, is_from_top: bool = False
    ) -> None:
        self.is_found = is_found
        self._position = position
        self._is_from_top = is_from_top
        self._is_between_pages = False
        self._undecided: list[StreamRow[R]] = []
        self._last: datetime | None = None
        self._descends = self._ascends = False

    def below(self, page: Page[R]) -> list[StreamRow[R]]:
        """The rows that are now known to be after the position."""
        rows = [*self._undecided, *entries(page)]
        if self.is_found:
            return rows
        self._watch_order(page)
        self._undecided = []
        after, date = self._position.after, self._position.date
        sids = sids_of(page)
        for anchor in (after, self._position.above):
            if anchor in sids:
                # The row may be the first of the next page.
                self._is_between_pages = anchor == sids[-1] != after
                self.is_found = not self._is_between_pages
                below = set(sids[sids.index(anchor) + 1 :])
                return rows[sum(entry.row.sid not in below for entry in rows) :]
        if date is None or self._is_between_pages:
            self.is_found = self._is_between_pages or not self._is_from_top
            return rows if self.is_found else []
        rest = self._not_newer(rows, date)
        is_older = any((created(entry.row) or NEWEST) < date for entry in rest)
        self.is_found = is_older and self._descends and not self._ascends
        if self.is_found:
            return rest
        self._undecided = rest
        return []

    @property
    def is_lost(self) -> bool:
        """True at the list's end if the position was not found."""
        is_located = self.is_found or self._is_between_pages
        return self._is_from_top and self._position.date is None and not is_located

    def end(self) -> list[StreamRow[R]]:
        """The undecided rows: they count as after the position, so that no row is lost."""
        rest, self._undecided = self._undecided, []
        return rest

    def _not_newer(self, rows: list[StreamRow[R]], date: datetime) -> list[StreamRow[R]]:
        """The rows without those at the top that are newer, unless the list ascends."""
        if self._ascends:
            return rows
        dates = (created(entry.row) or NEWEST for entry in rows)
        first = next((index for index, value in enumerate(dates) if value <= date), len(rows))
        return rows[first:]

    def _watch_order(self, page: Page[R]) -> None:
        """Records the order: a date locates the position only if the list runs newest first."""
        for row in page.rows:
            date = created(row)
            if date is not None and self._last is not None:
                self._descends |= date < self._last
                self._ascends |= date > self._last
            self._last = date or self._last


class AfterFirstPage(CursorSplit[R]):
    """A position at the end of the first page."""

    def below(self, page: Page[R]) -> list[StreamRow[R]]:
        """All rows of the first page are before it."""
        is_first, self.is_found = not self.is_found, True
        return [] if is_first else entries(page)


class Stream(ABC, Generic[R]):
    """One list, row by row, in one direction.

    `is_ended` means that no row follows the loaded rows; `pages` counts the pages read.
    """

    _walk: PageWalk[R]

    def __init__(self, source: ListSource[R], *, is_keyed: bool) -> None:
        self.pages = 0
        self.is_ended = False
        self._source = source
        self._is_keyed = is_keyed
        self._rows: deque[StreamRow[R]] = deque()

    @property
    def next(self) -> StreamRow[R] | None:
        """The next row; None if it is not loaded."""
        return self._rows[0] if self._rows else None

    @property
    def is_loaded(self) -> bool:
        """True if the next row, or the end, is known without reading."""
        return bool(self._rows) or self.is_ended

    async def load(self) -> None:
        """Reads until the next row, or the end, is known. Raises as reading a page does."""
        while not self.is_loaded:
            await self._read_on()

    def pop(self) -> StreamRow[R]:
        """Removes and returns the next row."""
        return self._rows.popleft()

    def probe(self) -> None:
        """Reads smaller pages from now on: only the existence of a next row matters."""
        if self._source.request.is_exact():
            self._walk.limit_page_size(PROBE_PAGE_SIZE)

    @property
    @abstractmethod
    def mark(self) -> Mark[R]:
        """The position in this list after all rows above the next row of all lists."""

    @property
    @abstractmethod
    def frontier(self) -> RowPosition:
        """How far the list was read: the position from which further reading makes progress."""

    @abstractmethod
    async def _read_on(self) -> None:
        """Reads a page, or finds the end."""

    async def _read_page(self) -> Page[R] | None:
        page = await self._walk.next_page()
        self.pages += page is not None
        return page


class Downward(Stream[R]):
    """A list from a position downward, older and older."""

    def __init__(self, source: ListSource[R], position: RowPosition, *, is_keyed: bool) -> None:
        super().__init__(source, is_keyed=is_keyed)
        self._position = position
        self._mark: Mark[R] = position
        self._key = position.date or NEWEST
        self._last_sid = position.after
        self._starts = self._starting_walks()
        self._walk, self._split = next(self._starts)

    def pop(self) -> StreamRow[R]:
        """Removes and returns the next row, which becomes the mark."""
        self._mark = entry = super().pop()
        return entry

    @property
    def mark(self) -> Mark[R]:
        """The row that was popped last."""
        return self._mark

    @property
    def frontier(self) -> RowPosition:
        """The mark or, if all loaded rows were popped, the next page to read."""
        following = self._walk.next
        if self._rows or following is None or not self.pages:
            return position_of(self._mark)
        ref, size = following.page, following.page_size
        if not self._split.is_found:
            start = self._position
            if start.date is None:
                return start
            return position_at(PositionKind.INSIDE, ref, size, start.after, start.date)
        date = position_of(self._mark).date
        return position_at(PositionKind.BEGINS, ref, size, self._last_sid, date)

    async def load(self) -> None:
        """As Stream.load. If reading fails, the undecided rows come first."""
        try:
            await super().load()
        except (UpstreamError, BudgetExceeded):
            undecided = self._split.end()
            if not undecided:
                raise
            self._split.is_found = True
            self._take(undecided)

    async def _read_on(self) -> None:
        try:
            page = await self._read_page()
        except UpstreamRejected:
            start = None if self._walk.pages else next(self._starts, None)
            if start is None:
                raise
            self._walk, self._split = start
            return
        if page is not None:
            self._last_sid = page.sids[-1] if page.sids else self._last_sid
            self._take(self._split.below(page))
        if self._walk.next is None:
            if self._split.is_lost:
                raise InvalidCursor(LOST)
            self._take(self._split.end())
            self.is_ended = True

    def _starting_walks(self) -> Iterator[tuple[PageWalk[R], CursorSplit[R]]]:
        """The walks to start with, the best first. See Note [Refused pages]."""
        source, position, ref = self._source, self._position, ref_of(self._position)
        page_size = source.request.page_size
        if position.kind is PositionKind.NAMED:
            token_ref = PageRef(position.index + 1, f"PA{position.after}")
            yield source.walk(token_ref, page_size), CursorSplit(position, is_found=True)
        if position.kind is PositionKind.ENDS:
            yield source.walk(ref, position.page_size), AfterFirstPage(position)
        elif position.kind is PositionKind.BEGINS and (ref.token is not None or ref == FIRST_PAGE):
            yield source.walk(ref, page_size), CursorSplit(position, is_found=True)
        else:
            yield source.walk(ref, source.page_size_at(position)), CursorSplit(position)
        if ref != FIRST_PAGE and (position.date is not None or position.after is not None):
            yield source.walk(FIRST_PAGE, MAX_PAGE_SIZE), CursorSplit(position, is_from_top=True)

    def _take(self, rows: Iterable[StreamRow[R]]) -> None:
        for entry in rows:
            if self._is_keyed:
                self._key = min(self._key, created(entry.row) or self._key)
                entry = replace(entry, key=self._key)
            self._rows.append(entry)
