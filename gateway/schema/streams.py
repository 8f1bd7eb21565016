"""One upstream list as a stream of rows: from a cursor, onwards or backwards, across its pages.

This module must not know what the rows are, nor how a connection merges several streams.

Note [Made tokens]. A page has one row more than is wanted, so the place after the last wanted row
lies inside the page, and no link of upstream's names it. A token that names a row is made for it:
only where upstream's own link beside the page has that form (FACTS section 5). Elsewhere the page
is read again, and its rows down to the cursor's are dropped.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from gateway.errors import InvalidCursor, UpstreamInvalid
from gateway.schema.cursors import Cursor
from gateway.upstream.pages import Budget, PageWalk, ReadPage
from gateway.upstream.requests import ListRequest, Page, PageRef
from gateway.upstream.resources import Resource

__all__ = ["NEWEST", "Cut", "Place", "Stream", "created"]

R = TypeVar("R", bound=Resource)
# A row with no date has only just been made (FACTS 1.10): it is the newest.
NEWEST = datetime.max.replace(tzinfo=UTC)


def created(row: Resource) -> datetime:
    """A row's date_created, by which lists run newest first."""
    try:
        return row.date_created or NEWEST
    except UpstreamInvalid:
        return NEWEST


@dataclass(frozen=True, slots=True)
class Place(Generic[R]):
    """A row on the page that it was read from."""

    row: R
    page: Page[R]
    is_last: bool

    @property
    def follower(self) -> ListRequest[R]:
        """The page on which its list goes on after this row."""
        following = self._following
        return self.page.request.at(following) if following else self.page.request

    @property
    def is_inside(self) -> bool:
        """True when the row itself is on that page; else the page begins right after it."""
        return self._following is None

    @property
    def _following(self) -> PageRef | None:
        """The page right after this row: upstream's link, or one made after its likeness."""
        if self.is_last:
            return self.page.next
        if not self.page.is_followed_by_token:
            return None
        return replace(PageRef.after(self.row.sid), index=self.page.request.page.index + 1)


class Cut:
    """Divides the pages of one list at a cursor. See Note [Places] in cursors."""

    def __init__(self, cursor: Cursor, stream: int) -> None:
        self._cursor = cursor
        self._is_own = stream == cursor.stream
        self._wins_ties = stream < cursor.stream
        self.found = self._is_own and not cursor.inside

    def leading(self, page: Page[R]) -> int:
        """How many rows of the page come before the cut; `found` turns true where it is here."""
        if self.found or not page.rows:
            return 0
        sids = [row.sid for row in page.rows] if self._is_own else []
        if self._cursor.sid in sids:
            self.found = True
            return sids.index(self._cursor.sid) + 1
        if self._is_own and created(page.rows[-1]) >= self._date():
            return len(page.rows)
        leading = sum(1 for row in page.rows if self._is_before(row))
        self.found = leading < len(page.rows)
        return leading

    def _is_before(self, row: Resource) -> bool:
        date = created(row)
        return date > self._date() or (self._wins_ties and date == self._date())

    def _date(self) -> datetime:
        if self._cursor.created is None:
            raise InvalidCursor("The row of this cursor is no longer in its list")
        return self._cursor.created


class Stream(Generic[R]):
    """One upstream list, row by row. `page` is where it stands.

    With a cursor it begins at the cursor's place. `page_size` is that of the pages after the first.
    """

    def __init__(
        self,
        read: ReadPage[R],
        start: ListRequest[R],
        budget: Budget,
        page_size: int,
        cut: Cut | None = None,
    ) -> None:
        self._read = read
        self._budget = budget
        self._page_size = page_size
        self._cut = cut
        self._backwards = False
        self._walk = self._walk_from(start)
        self._rows: deque[Place[R]] = deque()
        self._is_exact = True
        self.page = start

    async def head(self) -> R | None:
        """The next row, left in its place; None at the end."""
        while not self._rows:
            page = await self._walk.turn()
            if page is None:
                return None
            self._take(page)
        return self._rows[0].row

    def pop(self) -> Place[R]:
        """The row that `head` showed, taken off."""
        place = self._rows.popleft()
        self.page = (self._rows[0] if self._rows else place).page.request
        return place

    async def has_more(self) -> bool:
        """True when rows follow. Upstream's word is enough where it filters as we do."""
        if self._rows or not self._walk.has_more:
            return bool(self._rows)
        return self._is_exact or await self.head() is not None

    async def turn_round(self, cursor: Cursor) -> None:
        """From now on the rows before the cursor, nearest first, without the cursor's own."""
        before: list[Place[R]] = []
        first: Page[R] | None = None
        cut = self._cut
        while cut is not None and (page := await self._walk.turn()) is not None:
            first = first or page
            before.extend(_places(page, 0, cut.leading(page)))
            if cut.found:
                break
        back = first.previous if first else None
        self._backwards, self._cut = True, None
        self._walk = self._walk_from(
            first.request.at(back, self._page_size) if first and back else None
        )
        self._rows.extend(place for place in reversed(before) if place.row.sid != cursor.sid)
        self._walk.skip(cursor.sid)

    def _take(self, page: Page[R]) -> None:
        self._is_exact = self._is_exact and page.is_exact
        self.page = page.request
        start = self._cut.leading(page) if self._cut else 0
        if self._cut and self._cut.found:
            self._cut = None
        places = list(_places(page, start, len(page.rows)))
        self._rows.extend(reversed(places) if self._backwards else places)

    def _walk_from(self, start: ListRequest[R] | None) -> PageWalk[R]:
        return PageWalk(
            self._read,
            start,
            self._budget,
            page_size=self._page_size,
            backwards=self._backwards,
        )


def _places(page: Page[R], start: int, stop: int) -> Iterator[Place[R]]:
    last = len(page.rows) - 1
    for index in range(start, stop):
        yield Place(page.rows[index], page, index == last)
