"""Pure, no I/O: a batch of requests → the cheapest REST requests, and the rows back to their keys.

Two ways so far (PLANNER.md): *known*, answered from rows that this operation has read already, and
*per key*, one request for each key. *Scan*, one covering list for many keys, will be a third here.
This module must not know the clock, HTTP or GraphQL: values in, values out.

Note [Newest first]. Lists run newest first and a child is created after its parent, so a list of
all calls, read from the top without a gap, holds every child of each of its rows above that row.
The order is what was seen, not what Twilio promises (FACTS section 5): it is checked row by row,
and one row out of order makes the list no evidence for anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from gateway.errors import UpstreamInvalid
from gateway.upstream.requests import (
    TOP,
    FetchCall,
    FetchRequest,
    ListCalls,
    ListRequest,
    Page,
    PageRef,
)
from gateway.upstream.resources import CallDirection, CallResource, CallStatus, Resource

__all__ = ["Answer", "Known", "Request", "Step", "Way", "plan"]

Request = FetchRequest[Any] | ListRequest[Any]

ALL_CALLS = ListCalls().list
NEVER_ANSWERED = {
    CallStatus.BUSY,
    CallStatus.CANCELED,
    CallStatus.FAILED,
    CallStatus.NO_ANSWER,
}
OUTBOUND = {CallDirection.OUTBOUND_API, CallDirection.OUTBOUND_DIAL}


class Way(StrEnum):
    """How a request comes by its answer."""

    KNOWN = "known"
    PER_KEY = "per-key"


@dataclass(frozen=True, slots=True)
class Answer:
    """A row (or None for 404) or a page."""

    value: Any


@dataclass(frozen=True, slots=True)
class Step:
    """One REST request to send, and the requests that its answer serves."""

    way: Way
    request: Request
    serves: tuple[Request, ...]


def plan(requests: Iterable[Request]) -> Sequence[Step]:
    """The REST requests to send for a batch of requests that are not known.

    First pages of one list that differ in size only are one request, of the largest size.
    """
    together: dict[Request, list[Request]] = {}
    for request in requests:
        together.setdefault(_shared_key(request), []).append(request)
    return [Step(Way.PER_KEY, max(same, key=_page_size), tuple(same)) for same in together.values()]


def _shared_key(request: Request) -> Request:
    if isinstance(request, ListRequest) and request.page == TOP:
        return request.list
    return request


def _page_size(request: Request) -> int:
    return request.page_size if isinstance(request, ListRequest) else 1


class Known:
    """What one operation has read so far, and what follows from it without asking."""

    def __init__(self) -> None:
        self._calls: dict[str, CallResource] = {}
        self._first_pages: dict[ListRequest[Any], Page[Any]] = {}
        self._newest = NewestCalls()

    def note(self, answer: Resource | Page[Any] | None) -> None:
        """Remembers an answer of upstream's."""
        if isinstance(answer, CallResource):
            self._calls[answer.sid] = answer
        elif isinstance(answer, Page):
            self._note_page(answer)

    def answer(self, request: Request) -> Answer | None:
        """The answer to a request where it is known, else None."""
        if isinstance(request, FetchCall):
            row = self._calls.get(request.sid)
            return Answer(row) if row is not None else None
        if isinstance(request, ListRequest) and request.page == TOP:
            return self._first_page(request)
        return None

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

    def _first_page(self, request: ListRequest[Any]) -> Answer | None:
        page = self._first_pages.get(request.list)
        if page and (page.next is None or page.request.page_size >= request.page_size):
            return Answer(page)
        if isinstance(request, ListCalls) and request.parent_call_sid is not None:
            return self._children(request, request.parent_call_sid)
        return None

    def _children(self, request: ListCalls, parent_sid: str) -> Answer | None:
        parent = self._calls.get(parent_sid)
        if parent is not None and _ran_no_twiml(parent):
            return Answer(Page(request, ()))
        children = self._newest.children(parent_sid)
        if children is None:
            return None
        return Answer(Page(request, tuple(row for row in children if request.matches(row))))


def _ran_no_twiml(call: CallResource) -> bool:
    """An outbound call that was never answered ran no TwiML, so it has no children."""
    try:
        return call.direction in OUTBOUND and call.status in NEVER_ANSWERED
    except UpstreamInvalid:
        return False


class NewestCalls:
    """The list of all calls as far as it was read from the top without a gap.

    See Note [Newest first].
    """

    def __init__(self) -> None:
        self._sids: set[str] = set()
        self._children: dict[str, list[CallResource]] = {}
        self._continues_at: PageRef | None = TOP
        self._in_order = True
        self._oldest: datetime | None = None

    def add(self, page: Page[CallResource]) -> None:
        """Takes a page in if it continues the list; any other page is no part of it."""
        if page.request.page == self._continues_at:
            for row in page.rows:
                self._add_row(row)
            self._continues_at = page.next

    def children(self, sid: str) -> Sequence[CallResource] | None:
        """Every child of a call; None when that call is not here, or the order cannot be used."""
        if not self._in_order or sid not in self._sids:
            return None
        return self._children.get(sid, ())

    def _add_row(self, row: CallResource) -> None:
        if row.sid in self._sids:
            return
        try:
            created, parent_sid = row.date_created, row.parent_call_sid
        except UpstreamInvalid:
            self._in_order = False
            return
        if created and self._oldest and created > self._oldest:
            self._in_order = False
        if parent_sid in self._sids:
            self._in_order = False  # a child below its parent
        self._oldest = created or self._oldest
        self._sids.add(row.sid)
        if parent_sid is not None:
            self._children.setdefault(parent_sid, []).append(row)
