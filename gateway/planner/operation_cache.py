"""What one operation has read so far, and what follows from it without asking.

This module must not know what a request costs, nor the clock: `now` comes in as a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from gateway.errors import UpstreamInvalid
from gateway.planner.density import Density
from gateway.planner.evidence import ContiguousRun, CoveringList
from gateway.planner.windows import DateWindow, edge_of, window_of, without_days
from gateway.upstream.calls import (
    CALLS,
    FINAL,
    CallDirection,
    CallResource,
    CallStatus,
    FetchCall,
    ListCalls,
)
from gateway.upstream.date_ranges import ONE_DAY, midnight
from gateway.upstream.requests import TOP, FetchRequest, ListRequest, Page, PageRef
from gateway.upstream.resources import Resource

__all__ = ["KnownAnswer", "OperationCache", "Request", "has_run_no_twiml"]

Request = FetchRequest[Any] | ListRequest[Any]

ALL_CALLS = ListCalls().list
NEVER_ANSWERED = FINAL - {CallStatus.COMPLETED}
OUTBOUND = {CallDirection.OUTBOUND_API, CallDirection.OUTBOUND_DIAL}


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """A row (or None for 404) or a page."""

    value: Any


class OperationCache:
    """The rows of one operation, begun at `now` (UTC)."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.density = Density(now)
        self._calls: dict[str, CallResource] = {}
        self._first_pages: dict[ListRequest[Any], Page[Any]] = {}
        self._stretches: list[ContiguousRun] = []
        self._coverings: dict[ListRequest[Any], list[CoveringList]] = {}

    def note(self, answer: Resource | Page[Any] | None) -> None:
        """Remembers an answer of upstream's."""
        if isinstance(answer, CallResource):
            self._note_call(answer)
        elif isinstance(answer, Page):
            self._note_page(answer)

    def begin_covering(self, request: ListRequest[Any]) -> None:
        """From now on the pages of this covering list count as evidence."""
        self._coverings.setdefault(without_days(request), []).append(CoveringList(request))

    def answer(self, request: Request) -> KnownAnswer | None:
        """The answer to a request where it is known, else None."""
        if isinstance(request, FetchCall):
            row = self._calls.get(request.sid)
            return KnownAnswer(row) if row is not None else None
        if isinstance(request, ListRequest) and request.page == TOP:
            return self._first_page(request) or self._children(request) or self._covered(request)
        return None

    def window(self, request: Request) -> tuple[ListRequest[Any], DateWindow] | None:
        """In which account's list an edge's rows are, and where; None where a scan is not right."""
        edge = edge_of(request)
        if edge is None:
            return None
        owner, account_list = edge
        call = self._calls.get(owner)
        window = window_of(call, account_list.resource, self.now) if call else None
        return (account_list, window) if window else None

    def part_with(self, sid: str) -> ContiguousRun | None:
        """The part of the list of all calls in which a call was read."""
        return next((part for part in self._stretches if part.has(sid)), None)

    def part_at(self, page: PageRef) -> ContiguousRun | None:
        """The part of the list of all calls that this page belongs to."""
        return next((part for part in self._stretches if page in part.pages), None)

    def call_before(self, created: datetime) -> CallResource | None:
        """The newest call that was read and is strictly older."""
        dates = ((_created(call), sid) for sid, call in self._calls.items())
        older = [(date, sid) for date, sid in dates if date is not None and date < created]
        return self._calls[max(older)[1]] if older else None

    def _note_call(self, call: CallResource) -> None:
        self._calls[call.sid] = call
        self.density.note(call)

    def _note_page(self, page: Page[Any]) -> None:
        for row in page.rows:
            if isinstance(row, CallResource):
                self._note_call(row)
        self.density.note_page(page)
        if page.left_out:  # what is missing may be anybody's
            return
        if page.request.page == TOP:
            self._first_pages[page.request.list] = page
        if page.request.list == ALL_CALLS:
            self._note_stretch(page)
        for coverings in self._coverings.values():
            for covering in coverings:
                covering.add(page)

    def _note_stretch(self, page: Page[CallResource]) -> None:
        if page.request.page == TOP:  # read again: what is newest is on this page
            self._stretches = [part for part in self._stretches if not part.is_from_top]
        continued = [part for part in self._stretches if part.add(page)]
        if not continued:
            self._stretches.append(ContiguousRun(page))

    def _first_page(self, request: ListRequest[Any]) -> KnownAnswer | None:
        page = self._first_pages.get(request.list)
        if page and (page.next is None or page.request.page_size >= request.page_size):
            return KnownAnswer(page)
        return None

    def _children(self, request: ListRequest[Any]) -> KnownAnswer | None:
        if not isinstance(request, ListCalls) or request.parent_call_sid is None:
            return None
        parent = self._calls.get(request.parent_call_sid)
        if parent is not None and has_run_no_twiml(parent):
            return KnownAnswer(Page(request, ()))
        if parent is None:
            return None
        window = window_of(parent, CALLS, self.now)
        until = window.until if window and not window.is_open else None
        for part in self._stretches:
            children = part.children(parent.sid, _created(parent), until)
            if children is not None:
                return _sifted(request, children)
        return None

    def _covered(self, request: ListRequest[Any]) -> KnownAnswer | None:
        """See Note [Covered] in evidence."""
        edge = edge_of(request)
        coverings = self._coverings.get(edge[1]) if edge else None
        scannable = self.window(request) if coverings else None
        if edge is None or coverings is None or scannable is None:
            return None
        account_list, window = scannable
        if window.is_open and not account_list.resource.days_show_live:
            return None
        needed = [_covering(coverings, window, day) for day in _days(window)]
        lists = {id(covering): covering for covering in needed if covering}
        found = [rows for covering in lists.values() if (rows := covering.rows_of(edge[0]))]
        if None in needed or len(found) > 1:
            return None
        rows = found[0] if found else ()
        return _sifted(request, rows)


def _sifted(request: ListRequest[Any], rows: Sequence[Any]) -> KnownAnswer | None:
    """The page of those that are wanted; None where one does not say: upstream knows."""
    verdicts = [request.verdict(row) for row in rows]
    if None in verdicts:
        return None
    wanted = tuple(row for row, verdict in zip(rows, verdicts, strict=True) if verdict)
    return KnownAnswer(Page(request, wanted))


def _days(window: DateWindow) -> list[date]:
    return [window.first + ONE_DAY * n for n in range((window.last - window.first).days + 1)]


def _covering(
    coverings: "list[CoveringList]", window: DateWindow, day: date
) -> "CoveringList | None":
    """A list that certainly holds the rows of this day of the window.

    On the last day of a call that may get more, one without an end: it shows all that there is.
    """
    since = max(window.since, midnight(day))
    must_be_open = window.is_open and day == window.last
    lists = (it for it in coverings if it.is_open or not must_be_open)
    return next((covering for covering in lists if covering.covers(day, since)), None)


def _created(call: CallResource) -> datetime | None:
    try:
        return call.date_created
    except UpstreamInvalid:
        return None


def has_run_no_twiml(call: CallResource) -> bool:
    """An outbound call that was never answered ran no TwiML, so it has no children.

    One that lasted some time was answered, whatever its status says.
    """
    try:
        is_outbound = call.direction in OUTBOUND
        return is_outbound and call.status in NEVER_ANSWERED and not call.duration
    except UpstreamInvalid:
        return False
