"""The rows that one operation has read, and the answers that follow from them.

This module must not know what a request costs, nor the clock: `now` comes in as a value.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from gateway.errors import UpstreamInvalid
from gateway.planner.density import Density
from gateway.planner.evidence import ContiguousRun, CoveringList
from gateway.planner.windows import DateWindow, edge_of, lifetime_of, window_in, without_days
from gateway.upstream.calls import (
    ALL_CALLS,
    CALLS,
    FINAL,
    CallDirection,
    CallResource,
    CallStatus,
    FetchCall,
    ListCalls,
)
from gateway.upstream.date_ranges import ONE_DAY, midnight
from gateway.upstream.descriptors import ResourceDescriptor
from gateway.upstream.requests import FIRST_PAGE, FetchRequest, ListRequest, Page, PageRef
from gateway.upstream.resources import Resource

__all__ = ["KnownAnswer", "OperationCache", "Request", "ran_no_twiml"]

Request = FetchRequest[Any] | ListRequest[Any]

NEVER_ANSWERED = FINAL - {CallStatus.COMPLETED}
OUTBOUND = {CallDirection.OUTBOUND_API, CallDirection.OUTBOUND_DIAL}


class KnownAnswer(NamedTuple):
    """A row (or None for 404) or a page."""

    value: Any


class OperationCache:
    """The rows of one operation that began at `now` (UTC).

    Many operations never need what they have read, so answers are taken in when something is asked.
    """

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._new: list[Resource | Page[Any] | None] = []
        self._density = Density(now)
        self._calls: dict[str, CallResource] = {}
        self._lifetimes: dict[str, DateWindow | None] = {}
        self._windows: dict[str, dict[str, DateWindow | None]] = {}
        self._first_pages: dict[str | None, dict[ListRequest[Any], Page[Any]]] = {}
        self._runs: list[ContiguousRun] = []
        self._coverings: dict[ListRequest[Any], list[CoveringList]] = {}

    def record(self, answer: Resource | Page[Any] | None) -> None:
        """Stores a row or a page that upstream sent."""
        self._new.append(answer)

    @property
    def density(self) -> Density:
        """The known calls by date."""
        self._take_in()
        return self._density

    def begin_covering(self, request: ListRequest[Any]) -> None:
        """Makes the pages of this covering list count as evidence from now on."""
        self._take_in()
        self._coverings.setdefault(without_days(request), []).append(CoveringList(request))

    def answer(self, request: Request) -> KnownAnswer | None:
        """The answer to a request if it is known, else None."""
        if self._new:
            self._take_in()
        if isinstance(request, ListRequest):
            if not request.is_first_page:
                return None
            return self._first_page(request) or self._children(request) or self._covered(request)
        row = self._calls.get(request.sid) if isinstance(request, FetchCall) else None
        return KnownAnswer(row) if row is not None else None

    def list_and_window(self, request: Request) -> tuple[ListRequest[Any], DateWindow] | None:
        """The account list and the window of an edge's rows; None where a scan is not right."""
        self._take_in()
        edge = edge_of(request)
        if edge is None:
            return None
        owner, account_list = edge
        window = self._window(owner, account_list.resource)
        return (account_list, window) if window else None

    def call(self, sid: str) -> CallResource | None:
        """The call with this SID if it is known."""
        self._take_in()
        return self._calls.get(sid)

    def run_with(self, sid: str) -> ContiguousRun | None:
        """The run of the list of all calls that holds this call."""
        self._take_in()
        return next((run for run in self._runs if run.has(sid)), None)

    def run_at(self, page: PageRef) -> ContiguousRun | None:
        """The run of the list of all calls that holds this page."""
        self._take_in()
        return next((run for run in self._runs if page in run.pages), None)

    def call_before(self, created: datetime) -> CallResource | None:
        """The newest known call that is strictly older."""
        self._take_in()
        dates = ((_created(call), sid) for sid, call in self._calls.items())
        older = [(date, sid) for date, sid in dates if date is not None and date < created]
        return self._calls[max(older)[1]] if older else None

    def _take_in(self) -> None:
        new, self._new = self._new, []
        for answer in new:
            if isinstance(answer, CallResource):
                self._add_call(answer)
            elif isinstance(answer, Page):
                self._add_page(answer)

    def _window(self, sid: str, resource: ResourceDescriptor[Any]) -> DateWindow | None:
        windows = self._windows.setdefault(resource.name, {})
        if sid not in windows:
            if sid not in self._lifetimes:
                call = self._calls.get(sid)
                self._lifetimes[sid] = lifetime_of(call, self.now) if call else None
            lifetime = self._lifetimes[sid]
            windows[sid] = window_in(lifetime, resource) if lifetime else None
        return windows[sid]

    def _add_call(self, call: CallResource) -> None:
        self._calls[call.sid] = call
        for known in (self._lifetimes, *self._windows.values()):
            known.pop(call.sid, None)
        self._density.add(call)

    def _add_page(self, page: Page[Any]) -> None:
        for row in page.rows:
            if isinstance(row, CallResource):
                self._add_call(row)
        self._density.add_page(page)
        if page.left_out:  # the missing row may belong to any call
            return
        if page.request.page == FIRST_PAGE:
            of_owner = self._first_pages.setdefault(page.request.owner, {})
            of_owner[page.request.list] = page
        if page.request.list == ALL_CALLS:
            self._add_to_runs(page)
        for coverings in self._coverings.values():
            for covering in coverings:
                covering.add(page)

    def _add_to_runs(self, page: Page[CallResource]) -> None:
        if page.request.page == FIRST_PAGE:  # read again: this page is newer
            self._runs = [run for run in self._runs if not run.is_from_top]
        continued = [run for run in self._runs if run.add(page)]
        if not continued:
            self._runs.append(ContiguousRun(page))

    def _first_page(self, request: ListRequest[Any]) -> KnownAnswer | None:
        of_owner = self._first_pages.get(request.owner)
        page = of_owner.get(request.list) if of_owner else None
        if page and (page.next is None or page.request.page_size >= request.page_size):
            return KnownAnswer(page)
        return None

    def _children(self, request: ListRequest[Any]) -> KnownAnswer | None:
        if not isinstance(request, ListCalls) or request.parent_call_sid is None:
            return None
        parent = self._calls.get(request.parent_call_sid)
        if parent is not None and ran_no_twiml(parent):
            return KnownAnswer(Page(request, ()))
        if parent is None:
            return None
        window = self._window(parent.sid, CALLS)
        until = window.until if window and not window.is_open else None
        for run in self._runs:
            children = run.children(parent.sid, _created(parent), until)
            if children is not None:
                return _filtered_page(request, children)
        return None

    def _covered(self, request: ListRequest[Any]) -> KnownAnswer | None:
        """See Note [Covered] in evidence."""
        if not self._coverings or request.edge is None:
            return None
        owner, account_list = request.edge
        coverings = self._coverings.get(account_list)
        window = self._window(owner, account_list.resource) if coverings else None
        if coverings is None or window is None:
            return None
        if window.is_open and not account_list.resource.day_filter_keeps_live:
            return None
        for covering in coverings:
            if covering.holds(window):
                return _filtered_page(request, covering.rows_of(owner))
        covering_of_day = [_covering(coverings, window, day) for day in _days(window)]
        lists = {id(covering): covering for covering in covering_of_day if covering}
        rows_of_lists = [rows for covering in lists.values() if (rows := covering.rows_of(owner))]
        if None in covering_of_day or len(rows_of_lists) > 1:
            return None
        rows = rows_of_lists[0] if rows_of_lists else ()
        return _filtered_page(request, rows)


def _filtered_page(request: ListRequest[Any], rows: Sequence[Any]) -> KnownAnswer | None:
    """The page of the call's rows that match; None where one leaves that open: upstream knows."""
    if rows and request.has_filter:
        verdicts = [request.is_match(row) for row in rows]
        if None in verdicts:
            return None
        rows = [row for row, is_match in zip(rows, verdicts, strict=True) if is_match]
    return KnownAnswer(Page(request, tuple(rows)))


def _days(window: DateWindow) -> list[date]:
    return [window.first + ONE_DAY * n for n in range((window.last - window.first).days + 1)]


def _covering(
    coverings: "list[CoveringList]", window: DateWindow, day: date
) -> "CoveringList | None":
    """A list that certainly holds the rows of this day of the window.

    On the last day of a call that may get more rows, only an open-ended list: it shows all of them.
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


def ran_no_twiml(call: CallResource) -> bool:
    """True for an outbound call that was never answered: it ran no TwiML, so it has no children.

    A call that lasted some time was answered, whatever its status says.
    """
    try:
        is_unanswered = call.status in NEVER_ANSWERED
        return is_unanswered and call.direction in OUTBOUND and not call.duration
    except UpstreamInvalid:
        return False
