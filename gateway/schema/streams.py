"""One upstream list as a stream of rows: what both directions share, and the way down.

This module must not know what the rows are, nor how a connection merges several streams.

Note [Refused pages]. Upstream may refuse a token whose row was deleted. Then the place is looked
for on its own page, and at last from the list's top, by the row's SID and date.
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
from gateway.schema.cursors import PositionKind, RowPosition
from gateway.upstream.pages import (
    Budget,
    Following,
    PageWalk,
    ReadPage,
    downward,
    tokens_name_rows,
)
from gateway.upstream.requests import TOP, ListRequest, Page, PageRef
from gateway.upstream.resources import Resource

__all__ = [
    "LOST",
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
# A row with no date has only just been made (FACTS 1.10): it is the newest.
NEWEST = datetime.max.replace(tzinfo=UTC)
MAX_PAGE_SIZE = 1000
# What is read only to learn whether there is a row: Twilio's usual page.
PROBE_PAGE_SIZE = 50
LOST = (
    "The row of this cursor is gone, and nothing tells where it was: begin again without a cursor"
)


def created(row: Resource) -> datetime | None:
    """A row's date_created, by which lists run newest first; None where there is none to read."""
    try:
        return row.date_created
    except UpstreamInvalid:
        return None


@dataclass(frozen=True, slots=True)
class StreamRow(Generic[R]):
    """A row on the page that it was read from, with its key (see Note [Merged lists] in cursors).

    Where only one list is read, there is no key.
    """

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
    """The SIDs on a page, also of rows that are not wanted."""
    return page.sids or [row.sid for row in page.rows]


# A place in one list: just after this row, or the place that a stream began from.
Mark = StreamRow[R] | RowPosition


def position_of(mark: Mark[R]) -> RowPosition:
    """The mark as part of a cursor. See Note [Places] in cursors."""
    if isinstance(mark, RowPosition):
        return mark
    page, sid, sids = mark.page, mark.row.sid, sids_of(mark.page)
    position = mark.index if sids[mark.index] == sid else sids.index(sid)
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
        above=sids[position - 1] if position else None,
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
    """A place on this page."""
    return RowPosition(
        kind=kind, index=ref.index, token=ref.token, page_size=page_size, after=after, date=date
    )


@dataclass(frozen=True)
class ListSource(Generic[R]):
    """How the pages of one list are read. `request` is its top, of the size that is wanted."""

    read: ReadPage[R]
    request: ListRequest[R]
    budget: Budget

    def walk(self, ref: PageRef, page_size: int, following: Following[R] = downward) -> PageWalk[R]:
        """A walk that begins with a page of this size."""
        start = replace(self.request, page=ref, page_size=page_size)
        size = self.request.page_size
        return PageWalk(self.read, start, self.budget, page_size=size, following=following)

    @property
    def page_size_with_own_row(self) -> int:
        """A page size with room for the cursor's own row beside the rows that are wanted."""
        return min(self.request.page_size + 1, MAX_PAGE_SIZE)

    def page_size_at(self, position: RowPosition) -> int:
        """The page size with which a place's row is on its page, and the wanted rows, if it may."""
        ref = ref_of(position)
        is_counted = ref.token is None and ref != TOP
        return (
            position.page_size
            if is_counted
            else max(position.page_size, self.page_size_with_own_row)
        )


def ref_of(position: RowPosition) -> PageRef:
    """The page that a place names."""
    return PageRef(position.index, position.token)


class CursorSplit(Generic[R]):
    """Takes off the rows of a list, page by page, down to a place. See Note [Places] in cursors.

    `is_found` tells that it was passed; then all rows are after it. With `is_far` the first page is
    not the place's own: then a place without a date is where its SIDs are, or lost.
    """

    def __init__(
        self, position: RowPosition, *, is_found: bool = False, is_from_top: bool = False
    ) -> None:
        self.is_found = is_found
        self._position = position
        self._is_from_top = is_from_top
        self._is_at_page_end = False
        self._undecided: list[StreamRow[R]] = []
        self._last: datetime | None = None
        self._descends = self._ascends = False

    def below(self, page: Page[R]) -> list[StreamRow[R]]:
        """The rows that are known by now to be after the place."""
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
                self._is_at_page_end = anchor == sids[-1] != after
                self.is_found = not self._is_at_page_end
                below = set(sids[sids.index(anchor) + 1 :])
                return rows[sum(entry.row.sid not in below for entry in rows) :]
        if date is None or self._is_at_page_end:
            self.is_found = self._is_at_page_end or not self._is_from_top
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
        """True at the list's end where nothing has told the place."""
        return (
            self._is_from_top
            and self._position.date is None
            and not (self.is_found or self._is_at_page_end)
        )

    def end(self) -> list[StreamRow[R]]:
        """What is undecided counts as after the place, so that no row is lost."""
        rest, self._undecided = self._undecided, []
        return rest

    def _not_newer(self, rows: list[StreamRow[R]], date: datetime) -> list[StreamRow[R]]:
        """Without the rows at the top that are newer than the place, where the list descends."""
        if self._ascends:
            return rows
        dates = (created(entry.row) or NEWEST for entry in rows)
        first = next((n for n, one in enumerate(dates) if one <= date), len(rows))
        return rows[first:]

    def _watch_order(self, page: Page[R]) -> None:
        """A date says where the place is only in a list that was seen to run newest first."""
        for row in page.rows:
            date = created(row)
            if date is not None and self._last is not None:
                self._descends |= date < self._last
                self._ascends |= date > self._last
            self._last = date or self._last


class AfterFirstPage(CursorSplit[R]):
    """A place at the end of the first page."""

    def below(self, page: Page[R]) -> list[StreamRow[R]]:
        """All rows of the first page are before it."""
        is_first, self.is_found = not self.is_found, True
        return [] if is_first else entries(page)


class Stream(ABC, Generic[R]):
    """One list, row by row, in one direction.

    `is_ended` tells that no row follows those that are loaded; `pages` counts the pages read.
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
        """The next row, where it is loaded."""
        return self._rows[0] if self._rows else None

    @property
    def is_loaded(self) -> bool:
        """True when the next row, or the end, is known without reading."""
        return bool(self._rows) or self.is_ended

    async def load(self) -> None:
        """Reads until the next row is there, or the end. Raises what reading raises."""
        while not self.is_loaded:
            await self._read_on()

    def pop(self) -> StreamRow[R]:
        """The next row, taken off."""
        return self._rows.popleft()

    def probe(self) -> None:
        """From now on nothing is wanted but to know whether there is a row."""
        if self._source.request.is_exact():
            self._walk.shrink(PROBE_PAGE_SIZE)

    @property
    @abstractmethod
    def mark(self) -> Mark[R]:
        """The place in this list, after the rows that are above the next row of all lists."""

    @property
    @abstractmethod
    def frontier(self) -> RowPosition:
        """How far the list was read: the place from which reading on makes progress."""

    @abstractmethod
    async def _read_on(self) -> None:
        """Reads a page, or finds the end."""

    async def _read_page(self) -> Page[R] | None:
        page = await self._walk.turn()
        self.pages += page is not None
        return page


class Downward(Stream[R]):
    """A list from a place on down, older and older."""

    def __init__(self, source: ListSource[R], position: RowPosition, *, is_keyed: bool) -> None:
        super().__init__(source, is_keyed=is_keyed)
        self._position = position
        self._mark: Mark[R] = position
        self._key = position.date or NEWEST
        self._last_sid = position.after
        self._starts = self._starting_walks()
        self._walk, self._split = next(self._starts)

    def pop(self) -> StreamRow[R]:
        """The next row; it is the mark from now on."""
        self._mark = entry = super().pop()
        return entry

    @property
    def mark(self) -> Mark[R]:
        """The last row that was taken off."""
        return self._mark

    @property
    def frontier(self) -> RowPosition:
        """The mark or, where all that was read is taken off, the page that was not read."""
        following = self._walk.next
        if self._rows or following is None or not self.pages:
            return position_of(self._mark)
        ref, size = following.page, following.page_size
        if not self._split.is_found:
            if self._position.date is None:
                return self._position
            return position_at(
                PositionKind.INSIDE, ref, size, self._position.after, self._position.date
            )
        return position_at(
            PositionKind.BEGINS, ref, size, self._last_sid, position_of(self._mark).date
        )

    async def load(self) -> None:
        """As Stream.load; where reading breaks off, rows that are undecided are not lost."""
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
        """The pages to begin with, the best first. See Note [Refused pages]."""
        source, position, ref = self._source, self._position, ref_of(self._position)
        page_size = source.request.page_size
        if position.kind is PositionKind.NAMED:
            token_ref = PageRef(position.index + 1, f"PA{position.after}")
            yield source.walk(token_ref, page_size), CursorSplit(position, is_found=True)
        if position.kind is PositionKind.ENDS:
            yield source.walk(ref, position.page_size), AfterFirstPage(position)
        elif position.kind is PositionKind.BEGINS and (ref.token is not None or ref == TOP):
            yield source.walk(ref, page_size), CursorSplit(position, is_found=True)
        else:
            yield source.walk(ref, source.page_size_at(position)), CursorSplit(position)
        if ref != TOP and (position.date is not None or position.after is not None):
            yield source.walk(TOP, MAX_PAGE_SIZE), CursorSplit(position, is_from_top=True)

    def _take(self, rows: Iterable[StreamRow[R]]) -> None:
        for entry in rows:
            if self._is_keyed:
                self._key = min(self._key, created(entry.row) or self._key)
                entry = replace(entry, key=self._key)
            self._rows.append(entry)
