"""What one operation has read so far, and what follows from it without asking.

This module must not know what a request costs, nor the clock: `now` comes in as a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from gateway.planner.evidence import Covering, Stretch
from gateway.planner.windows import CHILD_CALLS, Relation, Window, relation_of, window_of
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
from gateway.upstream.resources import FINAL, CallDirection, CallResource, CallStatus, Resource

__all__ = ["Answer", "Known", "Request"]

Request = FetchRequest[Any] | ListRequest[Any]

ALL_CALLS = ListCalls().list
NEVER_ANSWERED = FINAL - {CallStatus.COMPLETED}
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
        self._stretches: list[Stretch] = []
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

    def call(self, sid: str) -> CallResource | None:
        """A call that was read."""
        return self._calls.get(sid)

    def above(self, sid: str) -> PageRef | None:
        """Upstream's own link to what stands above the part of the list of all calls with a call.

        None where the call was not read in that list.
        """
        parts = (part for part in self._stretches if part.has(sid))
        return next((part.above for part in parts if part.above), None)

    def _note_page(self, page: Page[Any]) -> None:
        for row in page.rows:
            if isinstance(row, CallResource):
                self._calls[row.sid] = row
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
            self._stretches.append(Stretch(page))

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
        window = window_of(parent, CHILD_CALLS, self.now) if parent is not None else None
        until = window.until if window else None
        for part in self._stretches:
            children = part.children(request.parent_call_sid, until)
            if children is not None:
                return _sifted(request, children)
        return None

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
        return _sifted(request, rows)


def _sifted(request: ListRequest[Any], rows: Sequence[Any]) -> Answer | None:
    """The page of those that are wanted; None where one does not say: upstream knows."""
    verdicts = [request.verdict(row) for row in rows]
    if None in verdicts:
        return None
    wanted = tuple(row for row, verdict in zip(rows, verdicts, strict=True) if verdict)
    return Answer(Page(request, wanted))


def _days(window: Window) -> list[date]:
    return [window.first + ONE_DAY * n for n in range((window.last - window.first).days + 1)]


def _covering(coverings: "list[Covering]", window: Window, day: date) -> "Covering | None":
    """A list that certainly holds the rows of this day of the window."""
    since = max(window.since, midnight(day))
    return next((covering for covering in coverings if covering.covers(day, since)), None)


def _ran_no_twiml(call: CallResource) -> bool:
    """An outbound call that was never answered ran no TwiML, so it has no children."""
    return call.direction in OUTBOUND and call.status in NEVER_ANSWERED
