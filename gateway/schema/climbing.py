"""One upstream list as a stream of rows upward, from a place to newer and newer ones.

This module must not know what the rows are, nor how a connection merges several streams.

Note [Upward]. Upstream's links to previous pages prove nothing: Twilio's is null on a page numbered
0, which is what a page before a token is numbered (FACTS section 5), and a link may lead to an
empty page. Only the list's own top, or an empty page above a row, shows that no newer row precedes.
So where there is no link, a token is made for the topmost row, if tokens name rows; else the list
is read from its top down to the rows that are known.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import TypeVar

from gateway.errors import UpstreamInvalid, UpstreamRejected
from gateway.schema.cursors import Place, PlaceKind
from gateway.schema.streams import (
    NEWEST,
    Cut,
    Entry,
    Mark,
    Source,
    Stream,
    created,
    entries,
    place_at,
    place_of,
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


class Upward(Stream[R]):
    """A list from a place on up. See Note [Upward].

    It goes up from the place's page: `_locate` finds the place on it, `_climb` reads the pages
    above, `_search` reads down from the list's top. The row that the place is after comes first;
    with `skips_row` it is not wanted, and may be left out.
    """

    def __init__(self, source: Source[R], place: Place, *, skips_row: bool, is_keyed: bool) -> None:
        super().__init__(source, is_keyed=is_keyed)
        self._place = place
        self._key = place.date or OLDEST
        self._met: set[str] = set()
        self._found: list[Entry[R]] = []
        # The topmost page whose rows, below the place, are known.
        self._top: Page[R] | None = None
        self._step: Callable[[], Awaitable[None]] = self._locate
        ref, wanted = ref_of(place), source.request.page_size
        if place.kind is PlaceKind.ENDS:
            self._climb_from(ref, wanted)
        elif place.kind is PlaceKind.NAMED and skips_row and not self._is_near_top():
            self._climb_from(PageRef(max(ref.index - 1, 0), f"PB{place.after}"), wanted)
        else:
            self._begin_to_locate()
            self.is_ended = place.kind is PlaceKind.BEGINS and ref == TOP

    @property
    def mark(self) -> Mark[R]:
        """The next row; at the list's end its top."""
        return self._rows[0] if self._rows else place_at(PlaceKind.BEGINS, TOP, 1)

    @property
    def frontier(self) -> Place:
        """The next row or, where all that was read is taken off, the page that was not read."""
        if self.is_loaded:
            return place_of(self.mark)
        if self._top is None:
            return self._place
        following = self._walk.next
        if self._step == self._locate and following is not None:
            ref, size = following.page, following.page_size
            return place_at(PlaceKind.INSIDE, ref, size, self._place.after, self._place.date)
        if self._step == self._climb and following is not None:
            return place_at(PlaceKind.ENDS, following.page, following.page_size)
        request = self._top.request
        return place_at(PlaceKind.BEGINS, request.page, request.page_size)

    async def _read_on(self) -> None:
        await self._step()

    def _is_near_top(self) -> bool:
        """True where the top page has room for the row: it shows, too, that nothing is above."""
        return ref_of(self._place) == TOP and self._place.page_size <= self._source.roomy

    def _begin_to_locate(self) -> None:
        place = self._place
        self._walk = self._source.walk(ref_of(place), self._source.size_at(place))
        self._cut: Cut[R] = Cut(place, is_found=place.kind is PlaceKind.BEGINS)
        self._step = self._locate

    async def _locate(self) -> None:
        """Reads down from the place's page to the place: the nearest rows above it are there."""
        try:
            page = await self._turn()
        except UpstreamRejected:
            if ref_of(self._place) == TOP:
                raise
            self._begin_search()
            return
        if page is not None:
            self._top = self._top or page
            self._met.update(sids_of(page))
            self._found += self._cut.divide(page)[0]
        if self._walk.next is not None and not self._cut.is_found:
            return
        self._take_found()
        first = self._top
        if first is not None and first.request.page == TOP:
            self.is_ended = True
            return
        # The links beside an empty page are about no row.
        is_empty = first is None or not (first.rows_read or first.rows)
        ways = () if first is None or is_empty else above(first)
        way = next((ref for ref in ways if ref is not None), None)
        if way is None:
            self._begin_search()
        else:
            self._climb_from(way, self._source.roomy)

    def _climb_from(self, ref: PageRef, page_size: int) -> None:
        is_counted = ref.token is None and self._place.token is None
        size = self._place.page_size if is_counted else page_size
        self._walk = self._source.walk(ref, size, above)
        self._step = self._climb

    async def _climb(self) -> None:
        """Reads up, page by page."""
        is_first = self._top is None
        try:
            page = await self._turn()
        except UpstreamRejected:
            if is_first and self._place.kind is PlaceKind.NAMED:
                self._begin_to_locate()
            else:
                self._begin_search()
            return
        if page is None:
            self._begin_search()
            return
        self._top = page
        self._met.update(sids_of(page))
        self._found = entries(page)
        self._take_found()
        if self._walk.next is None:
            is_empty = not page.rows_read and not page.rows
            self.is_ended = page.request.page == TOP or is_empty

    def _begin_search(self) -> None:
        if not self._met and self._place.date is None:
            raise UpstreamInvalid("The place of this cursor is in its list no more")
        self._walk = self._source.walk(TOP, self._source.roomy)
        self._cut = Cut(self._place)
        self._step = self._search

    async def _search(self) -> None:
        """Reads from the list's top down to a row that is known, or to the place."""
        page = await self._turn()
        if page is None and self._met:
            raise UpstreamInvalid("The place of this cursor is in its list no more")
        if page is not None:
            self._found += self._unknown(page)
        if page is None or self._cut.is_found:
            self._take_found()
            self.is_ended = True

    def _unknown(self, page: Page[R]) -> list[Entry[R]]:
        """The page's rows above those that are known; the cut is found where these begin."""
        if not self._met:
            return self._cut.divide(page)[0]
        sids = sids_of(page)
        unknown = set(takewhile(lambda sid: sid not in self._met, sids))
        self._cut.is_found = len(unknown) < len(sids)
        return [entry for entry in entries(page) if entry.row.sid in unknown]

    def _take_found(self) -> None:
        """The rows that were found, in the list's order, are the next ones upward.

        Their keys never get older upward; see Note [Merged lists] in cursors.
        """
        found, self._found = self._found, []
        dates = [created(entry.row) for entry in found] if self._is_keyed else []
        for index in range(len(found) - 1, -1, -1):
            entry = found[index]
            if self._is_keyed:
                is_newest = dates[index] is None and not any(dates[:index])
                date = NEWEST if is_newest else dates[index]
                self._key = max(self._key, date or self._key)
                entry = replace(entry, key=self._key)
            self._rows.append(entry)
