"""Evidence: lists as they were read, and what they prove about the rows of one call.

This module must not know what an operation requests, what a request costs, nor the clock.

Note [Newest first]. Lists run newest first, but Twilio does not promise by which date. All calls
seen descend by creation and by start (docs/twilio.md#5-lists); the two orders differ where a call
is answered later than a leg that it dialed. The order of rows of the same second is not promised
either. So each possible order of a list is checked row by row. A row that contradicts an order
rules it out, and a list that contradicts all of them proves nothing. Unread rows stand below the
last row, so in the real order of the list they are not newer than it. All rows down to a moment are
read when every order still possible was seen to descend and has reached a row strictly older than
the moment. The same holds upwards. A row without a date says nothing.

Note [Children]. A child is created no earlier than its parent and starts no earlier than it is
created. So the list of all calls, read without a gap from its top down to a row strictly older than
the parent's creation, holds all of the parent's children. A run that begins with rows strictly
newer than the end of the parent's window holds them, too, because a child is dialed while its
parent lives (with the slack of Note [Slack] in descriptors). The list of all calls also shows calls
that were never dialed; a range of start times does not. The parent itself must be in the list: a
list that lacks it is not whole.

Note [Covered]. A covering list of whole days holds a call's rows for certain when every day of the
call's window was read to its end, or down past the beginning of the window. Rows that lie in two
covering lists are left to upstream: how it orders them was not seen.

Note [Without a gap]. A page continues a run if it was requested by the link beside the run. A link
that is only a number means the next page of the same size, and never continues a run upwards: new
rows may have come in above. A token means a place for pages of any size only where it names the row
beside it. A page with left-out rows is a gap: the missing row may belong to any call.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import Any

from gateway.errors import UpstreamInvalid
from gateway.planner.windows import DateWindow
from gateway.upstream.calls import CALLS, CallResource
from gateway.upstream.date_ranges import DateTimeRange
from gateway.upstream.descriptors import DateOrder
from gateway.upstream.requests import FIRST_PAGE, ListRequest, Page, PageRef

__all__ = ["ContiguousRun", "CoveringList", "Orders", "RowRun"]

ALL_DAYS = DateTimeRange()


class Order:
    """One possible order, checked row by row. `newest` and `oldest` are its ends so far."""

    def __init__(self, order: DateOrder) -> None:
        self._dates = order
        self.is_possible = True
        self.descends = False
        self.newest: datetime | None = None
        self.oldest: datetime | None = None

    def check(self, row: Any) -> None:
        """Checks the next row down."""
        moment = self._date(row)
        if moment is None:
            return
        if self.oldest is None:
            self.newest = moment
        elif moment != self.oldest:
            self.descends = True
            self.is_possible = self.is_possible and moment < self.oldest
        self.oldest = moment

    def _date(self, row: Any) -> datetime | None:
        """The first date of the order that the row has; None where that is unreadable."""
        try:
            for name in self._dates:
                moment: datetime | None = getattr(row, name)
                if moment is not None:
                    return moment
        except UpstreamInvalid:
            pass
        return None


class Orders:
    """The rows of a list from the top down, checked against each order that it may have.

    See Note [Newest first].
    """

    def __init__(self, orders: Iterable[DateOrder], rows: Iterable[Any] = ()) -> None:
        self._orders = [Order(dates) for dates in orders]
        self._bounds: tuple[datetime | None, datetime | None] | None = None
        for row in rows:
            self.check(row)

    def check(self, row: Any) -> None:
        """Checks the next row down."""
        self._bounds = None
        for order in self._orders:
            order.check(row)

    @property
    def possible(self) -> Sequence[Order]:
        """The orders that no row contradicts."""
        return [order for order in self._orders if order.is_possible]

    def are_past(self, moment: datetime) -> bool:
        """True when every row below is older than `moment`."""
        _, oldest = self._bounds or self._find_bounds()
        return oldest is not None and oldest < moment

    def began_after(self, moment: datetime) -> bool:
        """True when every row above is newer than `moment`."""
        newest, _ = self._bounds or self._find_bounds()
        return newest is not None and moment < newest

    def _find_bounds(self) -> tuple[datetime | None, datetime | None]:
        """The dates that all rows above, and all rows below, are beyond; None for no such date."""
        newest = [order.newest for order in self.possible]
        oldest = [order.oldest if order.descends else None for order in self.possible]
        self._bounds = (None, None)
        if self._is_newest_first:
            self._bounds = _known(min, newest), _known(max, oldest)
        return self._bounds

    @property
    def _is_newest_first(self) -> bool:
        """False also where a list that runs oldest first seems to descend by chance.

        Its real order was then seen to end later than it began.
        """
        ends = ((order.newest, order.oldest) for order in self._orders)
        return bool(self.possible) and not any(
            newest and oldest and newest < oldest for newest, oldest in ends
        )


def _known(extreme: Callable[..., datetime], dates: Sequence[datetime | None]) -> datetime | None:
    """The extreme of the dates; None where one of them is None."""
    return None if None in dates else extreme(dates)


class RowRun:
    """Consecutive pages of one list. See Note [Without a gap].

    `above` and `below` are upstream's links beside the run, `size_above` and `size_below` the sizes
    of the pages that gave them.
    """

    def __init__(self, page: Page[Any]) -> None:
        self.pages = {page.request.page}
        self.rows: list[Any] = list(page.rows)
        self.is_from_top = page.request.page == FIRST_PAGE
        self.above, self.below = page.previous, page.next
        self.size_above = self.size_below = page.request.page_size

    def add(self, page: Page[Any]) -> bool:
        """Adds a page that continues the run down or up; returns False for any other page."""
        page_ref, size = page.request.page, page.request.page_size
        if page_ref == self.below and (size == self.size_below or self.names_last_row):
            self.rows += page.rows
            self.below, self.size_below = page.next, size
        elif page_ref == self.above and (size == self.size_above or self.names_first_row):
            if page_ref.token is None:
                return False
            self.rows = [*page.rows, *self.rows]
            self.above, self.size_above = page.previous, size
        else:
            return False
        self.pages.add(page_ref)
        return True

    @property
    def names_last_row(self) -> bool:
        """True when the link below names the last row."""
        return bool(self.rows) and _is_token(self.below, PageRef.after(self.rows[-1].sid))

    @property
    def names_first_row(self) -> bool:
        """True when the link above names the first row."""
        return bool(self.rows) and _is_token(self.above, PageRef.before(self.rows[0].sid))

    def unique_rows(self) -> Iterable[Any]:
        """Each row once, at its first place."""
        rows: dict[str, Any] = {}
        for row in self.rows:
            rows.setdefault(row.sid, row)
        return rows.values()


def _is_token(link: PageRef | None, named: PageRef) -> bool:
    return link is not None and link.token == named.token


class ContiguousRun(RowRun):
    """A part of the list of all calls that was read without a gap. See Note [Children]."""

    def __init__(self, page: Page[CallResource]) -> None:
        super().__init__(page)
        self._index: ChildIndex | None = None

    def add(self, page: Page[CallResource]) -> bool:
        """As RowRun.add."""
        self._index = None
        return super().add(page)

    def has(self, sid: str) -> bool:
        """True when this run holds the call."""
        return sid in self._child_index().sids

    def is_past(self, created: datetime | None) -> bool:
        """True when no child of a call that was created at `created` stands below."""
        is_older = created is not None and self._child_index().orders.are_past(created)
        return is_older or self.below is None

    def began_after(self, until: datetime | None) -> bool:
        """True when no child that was dialed by `until` (None: at any time) stands above."""
        is_newer = until is not None and self._child_index().orders.began_after(until)
        return is_newer or self.is_from_top

    def children(
        self, sid: str, created: datetime | None, until: datetime | None
    ) -> Sequence[CallResource] | None:
        """Every child of a call that was created at `created`, in the list's order.

        `until` is the latest time when a child was dialed (None: any time). Returns None where this
        run does not prove that the children are complete.
        """
        index = self._child_index()
        if sid not in index.sids or not index.is_readable or not index.orders.possible:
            return None
        if not self.is_past(created) or not self.began_after(until):
            return None
        return index.children.get(sid, ())

    def newest_and_oldest(self) -> tuple[datetime | None, datetime | None]:
        """The dates of the first and the last row."""
        order = next(iter(self._child_index().orders.possible), None)
        return (order.newest, order.oldest) if order else (None, None)

    def _child_index(self) -> "ChildIndex":
        if self._index is None:
            self._index = ChildIndex(self.unique_rows())
        return self._index


class ChildIndex:
    """Calls in the list's order, and the children of each parent."""

    def __init__(self, rows: Iterable[CallResource]) -> None:
        self.sids: set[str] = set()
        self.children: dict[str, list[CallResource]] = {}
        self.orders = Orders(CALLS.orders)
        self.is_readable = True
        for row in rows:
            self.sids.add(row.sid)
            self.orders.check(row)
            try:
                if row.parent_call_sid is not None:
                    self.children.setdefault(row.parent_call_sid, []).append(row)
            except UpstreamInvalid:  # its parent may be any call
                self.is_readable = False


class CoveringList:
    """One covering list of whole days. See Note [Covered]."""

    def __init__(self, request: ListRequest[Any]) -> None:
        self._request = request.list
        self._days = request.days or ALL_DAYS
        self._run: RowRun | None = None
        self._orders: Orders | None = None
        self._rows: dict[str | None, list[Any]] = {}
        self._by_sid: dict[str, Any] = {}
        self._is_readable = True

    @property
    def is_open(self) -> bool:
        """True when the list has no upper bound: it shows all rows that exist when it is read."""
        return self._days.lt is None

    def add(self, page: Page[Any]) -> None:
        """Adds a page of this list; ignores pages of other lists."""
        if page.request.list != self._request:
            return
        if self._run is None:
            is_new = page.request.page == FIRST_PAGE
            self._run = RowRun(page) if is_new else None
        else:
            is_new = self._run.add(page)
        self._orders = None
        for row in page.rows if is_new else ():
            if row.sid not in self._by_sid:
                self._by_sid[row.sid] = row
                self._add_row(row)

    def holds(self, window: DateWindow) -> bool:
        """True when every row of the window was read, because the whole list was."""
        if self._run is None or self._run.below is not None or not self._is_readable:
            return False
        gte, lt = self._days.gte, self._days.lt
        if lt is None:
            return gte is None or gte <= window.since
        return not window.is_open and (gte is None or gte <= window.since) and window.until < lt

    def covers(self, day: date, since: datetime) -> bool:
        """True when every row of this day that is dated `since` or later was read."""
        if self._run is None or not self._is_readable or not self._holds(day):
            return False
        if self._run.below is None:
            return True
        if self._orders is None:
            self._orders = Orders(self._request.resource.orders, self._by_sid.values())
        return self._orders.are_past(since)

    def _holds(self, day: date) -> bool:
        gte, lt = self._days.gte, self._days.lt
        return (gte is None or gte.date() <= day) and (lt is None or day < lt.date())

    def rows_of(self, owner: str) -> Sequence[Any]:
        """The rows of a call, in the list's order."""
        return self._rows.get(owner, ())

    def _add_row(self, row: Any) -> None:
        try:
            owner = getattr(row, self._request.resource.owner)
        except UpstreamInvalid:
            self._is_readable = False
            return
        self._rows.setdefault(owner, []).append(row)
