"""Evidence: lists as they were read, and what they prove about the rows of one call.

This module must not know what an operation asks, what a request costs, nor the clock.

Note [Newest first]. Lists run newest first and a child is created after its parent, so in the list
of all calls every child of a call stands above it. Read without a gap from its top down to a call,
that list holds all of the call's children; read without a gap from rows dated after the end of its
window down to the call, it holds them, too, because a child is dialed while its parent lives (with
the slack of Note [Slack] in windows). A list of all calls also shows those that were never dialed,
which a range of start times does not. The order is what was seen, not what Twilio promises (FACTS
section 5): it is checked row by row, and one row out of order makes the list no evidence for
anything; nor is a list that goes on and was not yet seen to descend. What is watched is
date_created: a call starts some seconds after it is created, and lists are not in the order of
starts.

Note [Covered]. A covering list of whole days holds a call's rows for certain when every day of the
call's window was read to its end, or was seen to descend past the beginning of the window. Rows
that lie in two covering lists are left to upstream: how it orders them was not seen.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from gateway.errors import UpstreamInvalid
from gateway.planner.windows import DAYS, Relation
from gateway.upstream.requests import TOP, ListRequest, Page, PageRef, midnight
from gateway.upstream.resources import CallResource

__all__ = ["Covering", "Stretch"]


class Stretch:
    """A part of the list of all calls that was read without a gap. See Note [Newest first].

    `above` is upstream's link to the page before it. A page that is named by its number only
    continues the part where its size is the same.
    """

    def __init__(self, page: Page[CallResource]) -> None:
        self.is_from_top = page.request.page == TOP
        self.above = page.previous
        self._below = page.next
        self._size = page.request.page_size
        self._rows = list(page.rows)
        self._family: Family | None = None

    def add(self, page: Page[CallResource]) -> bool:
        """Takes a page in if it continues the part, downwards or upwards; False if it does not."""
        place = page.request.page
        if place.token is None and page.request.page_size != self._size:
            return False
        if place == self._below:
            self._rows += page.rows
            self._below = page.next
        elif place == self.above:
            self._rows = [*page.rows, *self._rows]
            self.above, self.is_from_top = page.previous, place == TOP
        else:
            return False
        self._family = None
        return True

    def has(self, sid: str) -> bool:
        """True when the call was read."""
        return sid in self._told().places

    def children(self, sid: str, until: datetime | None) -> Sequence[CallResource] | None:
        """Every child of a call that was dialed by `until` (None: whenever), in the list's order.

        None where this part of the list does not prove it.
        """
        family = self._told()
        if not family.in_order or sid not in family.places:
            return None
        is_whole = self.is_from_top and (family.descends or self._below is None)
        if is_whole or (until and family.newest and until < family.newest):
            return family.children.get(sid, ())
        return None

    def _told(self) -> "Family":
        if self._family is None:
            self._family = Family(self._rows)
        return self._family


class Family:
    """Calls in the list's order, with their children; `newest` is the first row's date."""

    def __init__(self, rows: Sequence[CallResource]) -> None:
        self.places: set[str] = set()
        self.children: dict[str, list[CallResource]] = {}
        self.newest: datetime | None = None
        self.descends = False
        self._oldest: datetime | None = None
        self.in_order = True
        try:
            for row in rows:
                self.in_order &= self._add(row)
        except UpstreamInvalid:
            self.in_order = False

    def _add(self, row: CallResource) -> bool:
        """False where the row stands above one that should precede it."""
        if row.sid in self.places:
            return True
        is_below_parent = row.parent_call_sid in self.places
        self.places.add(row.sid)
        if row.parent_call_sid is not None:
            self.children.setdefault(row.parent_call_sid, []).append(row)
        return self._descends(row.date_created) and not is_below_parent

    def _descends(self, moment: datetime | None) -> bool:
        if moment is None:
            return True
        is_older = self._oldest is None or moment <= self._oldest
        self.descends |= self._oldest is not None and moment < self._oldest
        self.newest, self._oldest = self.newest or moment, moment
        return is_older


class InOrder:
    """A list as far as it was read from its top without a gap, watched for its order."""

    def __init__(self, date: str) -> None:
        self._date = date
        self._sids: set[str] = set()
        self._continues_at: PageRef | None = TOP
        self.in_order = True
        self.descends = False
        self.oldest: datetime | None = None

    @property
    def is_complete(self) -> bool:
        """True when the list was read to its end."""
        return self._continues_at is None

    def new_rows(self, page: Page[Any]) -> Sequence[Any]:
        """The rows that a page adds; none unless it continues the list."""
        if page.request.page != self._continues_at:
            return ()
        self._continues_at = page.next
        rows = {row.sid: row for row in page.rows if row.sid not in self._sids}
        self._sids.update(rows)
        for row in rows.values():
            self._watch(row)
        return list(rows.values())

    def _watch(self, row: Any) -> None:
        try:
            moment: datetime | None = getattr(row, self._date)
        except UpstreamInvalid:
            self.in_order = False
            return
        if moment and self.oldest and moment != self.oldest:
            self.descends = True
            self.in_order = self.in_order and moment < self.oldest
        self.oldest = moment or self.oldest


class Covering:
    """One covering list of whole days. See Note [Covered]."""

    def __init__(self, relation: Relation, request: ListRequest[Any]) -> None:
        self._relation = relation
        self._request = request.list
        self._days = getattr(request, DAYS[type(request)])
        self._list = InOrder("date_created")
        self._rows: dict[str | None, list[Any]] = {}
        self._usable = True

    def add(self, page: Page[Any]) -> None:
        """Takes a page of this list in."""
        if page.request.list == self._request:
            for row in self._list.new_rows(page):
                self._add_row(row)

    def covers(self, day: date, since: datetime) -> bool:
        """True when every row of this day that is dated `since` or later is here."""
        if not self._usable or not self._days.holds(midnight(day)):
            return False
        oldest = self._list.oldest
        return self._list.is_complete or bool(
            self._list.in_order and self._list.descends and oldest is not None and oldest < since
        )

    def rows_of(self, owner: str) -> Sequence[Any]:
        """The rows of a call, in the list's order."""
        return self._rows.get(owner, ())

    def _add_row(self, row: Any) -> None:
        try:
            owner = getattr(row, self._relation.owner)
        except UpstreamInvalid:
            self._usable = False
            return
        self._rows.setdefault(owner, []).append(row)
