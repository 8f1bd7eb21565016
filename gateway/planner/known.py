"""What one operation has read so far, and what follows from it without asking.

This module must not know what a request costs, nor the clock: `now` comes in as a value.

Note [Newest first]. Lists run newest first and a child is created after its parent, so a list of
all calls, read from the top without a gap, holds every child of each of its rows above that row.
The order is what was seen, not what Twilio promises (FACTS section 5): it is checked row by row,
and one row out of order makes the list no evidence for anything. What is watched is date_created:
a call starts some seconds after it is created, and lists are not in the order of starts.

Note [Covered]. A covering list of whole days holds a call's rows for certain when every day of the
call's window was read to its end, or was seen to descend past the beginning of the window. Rows
that lie in two covering lists are left to upstream: how it orders them was not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from gateway.errors import UpstreamInvalid
from gateway.planner.windows import DAYS, Relation, Window, relation_of, window_of
from gateway.upstream.requests import (
    ONE_DAY,
    TOP,
    FetchCall,
    FetchRequest,
    ListCalls,
    ListRequest,
    Page,
    PageRef,
    midnight,
)
from gateway.upstream.resources import CallDirection, CallResource, CallStatus, Resource

__all__ = ["Answer", "Known", "Request"]

Request = FetchRequest[Any] | ListRequest[Any]

ALL_CALLS = ListCalls().list
NEVER_ANSWERED = {
    CallStatus.BUSY,
    CallStatus.CANCELED,
    CallStatus.FAILED,
    CallStatus.NO_ANSWER,
}
OUTBOUND = {CallDirection.OUTBOUND_API, CallDirection.OUTBOUND_DIAL}


@dataclass(frozen=True, slots=True)
class Answer:
    """A row (or None for 404) or a page."""

    value: Any


class Known:
    """The rows of one operation, begun at `now` (UTC)."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._calls: dict[str, CallResource] = {}
        self._first_pages: dict[ListRequest[Any], Page[Any]] = {}
        self._newest = NewestCalls()
        self._coverings: dict[ListRequest[Any], list[Covering]] = {}

    def note(self, answer: Resource | Page[Any] | None) -> None:
        """Remembers an answer of upstream's."""
        if isinstance(answer, CallResource):
            self._calls[answer.sid] = answer
        elif isinstance(answer, Page):
            self._note_page(answer)

    def begin_covering(self, relation: Relation, request: ListRequest[Any]) -> None:
        """From now on the pages of this covering list count as evidence for the relation."""
        self._coverings.setdefault(relation.covering, []).append(Covering(relation, request))

    def answer(self, request: Request) -> Answer | None:
        """The answer to a request where it is known, else None."""
        if isinstance(request, FetchCall):
            row = self._calls.get(request.sid)
            return Answer(row) if row is not None else None
        if isinstance(request, ListRequest) and request.page == TOP:
            return self._first_page(request) or self._children(request) or self._covered(request)
        return None

    def window(self, request: Request) -> tuple[Relation, Window] | None:
        """How an edge could be scanned, and where; None where a scan would not be right."""
        edge = relation_of(request)
        call = self._calls.get(edge[0]) if edge else None
        if edge is None or call is None:
            return None
        window = window_of(call, edge[1], self.now)
        return (edge[1], window) if window else None

    def _note_page(self, page: Page[Any]) -> None:
        for row in page.rows:
            if isinstance(row, CallResource):
                self._calls[row.sid] = row
        if page.request.page == TOP:
            self._first_pages[page.request.list] = page
        if page.request.list == ALL_CALLS:
            if page.request.page == TOP:
                self._newest = NewestCalls()
            self._newest.add(page)
        for coverings in self._coverings.values():
            for covering in coverings:
                covering.add(page)

    def _first_page(self, request: ListRequest[Any]) -> Answer | None:
        page = self._first_pages.get(request.list)
        if page and (page.next is None or page.request.page_size >= request.page_size):
            return Answer(page)
        return None

    def _children(self, request: ListRequest[Any]) -> Answer | None:
        if not isinstance(request, ListCalls) or request.parent_call_sid is None:
            return None
        parent = self._calls.get(request.parent_call_sid)
        if parent is not None and _ran_no_twiml(parent):
            return Answer(Page(request, ()))
        children = self._newest.children(request.parent_call_sid)
        if children is None:
            return None
        return Answer(Page(request, tuple(row for row in children if request.matches(row))))

    def _covered(self, request: ListRequest[Any]) -> Answer | None:
        """See Note [Covered]."""
        edge = relation_of(request)
        coverings = self._coverings.get(edge[1].covering) if edge else None
        scannable = self.window(request) if coverings else None
        if edge is None or coverings is None or scannable is None:
            return None
        window = scannable[1]
        needed = [_covering(coverings, window, day) for day in _days(window)]
        lists = {id(covering): covering for covering in needed if covering}
        found = [rows for covering in lists.values() if (rows := covering.rows_of(edge[0]))]
        if None in needed or len(found) > 1:
            return None
        rows = found[0] if found else ()
        return Answer(Page(request, tuple(row for row in rows if request.matches(row))))


def _days(window: Window) -> list[date]:
    return [window.first + ONE_DAY * n for n in range((window.last - window.first).days + 1)]


def _covering(coverings: "list[Covering]", window: Window, day: date) -> "Covering | None":
    """A list that certainly holds the rows of this day of the window."""
    since = max(window.since, midnight(day))
    return next((covering for covering in coverings if covering.covers(day, since)), None)


def _ran_no_twiml(call: CallResource) -> bool:
    """An outbound call that was never answered ran no TwiML, so it has no children."""
    try:
        return call.direction in OUTBOUND and call.status in NEVER_ANSWERED
    except UpstreamInvalid:
        return False


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

    def has(self, sid: str) -> bool:
        """True when the row was read."""
        return sid in self._sids

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


class NewestCalls:
    """The list of all calls. See Note [Newest first]."""

    def __init__(self) -> None:
        self._list = InOrder("date_created")
        self._children: dict[str, list[CallResource]] = {}
        self._above: set[str] = set()
        self._usable = True

    def add(self, page: Page[CallResource]) -> None:
        """Takes a page in if it continues the list; any other page is no part of it."""
        for row in self._list.new_rows(page):
            self._add_row(row)

    def children(self, sid: str) -> Sequence[CallResource] | None:
        """Every child of a call; None when that call is not here, or the order cannot be used."""
        if not self._usable or not self._list.in_order or not self._list.has(sid):
            return None
        return self._children.get(sid, ())

    def _add_row(self, row: CallResource) -> None:
        try:
            parent_sid = row.parent_call_sid
        except UpstreamInvalid:
            self._usable = False
            return
        if parent_sid in self._above:
            self._usable = False  # a child below its parent
        self._above.add(row.sid)
        if parent_sid is not None:
            self._children.setdefault(parent_sid, []).append(row)


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
