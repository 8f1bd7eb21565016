"""What requests cost and how dense an account's lists are: priors, then what was learned.

Moving averages over every page that passes, a handful of numbers for an account. Being wrong costs
time, never an answer, and no more requests than a scan's allowance. This module must not know what
a decision is for, nor the clock: seconds come in as values.

Note [Reach]. How dense a day is cannot be told from a busy minute of another. What can be told is a
fact: the largest page of a list, read from its top, came down to this moment and no further. Until
that was seen of a list, it is taken to fit into one page: a try in vain is one request, and a list
that is not tried is one request for each call.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from gateway.errors import UpstreamInvalid
from gateway.planner.density import Portion
from gateway.planner.windows import edge_of, is_by_days_only, without_days
from gateway.upstream.calls import CALLS
from gateway.upstream.catalog import RESOURCES
from gateway.upstream.date_ranges import ONE_DAY
from gateway.upstream.requests import TOP, ListRequest, Page, PageRef

__all__ = ["Costs", "Estimate"]

MAX_PAGE_SIZE = 1000
SMALL_PAGE = 60
# An edge's page counts 1 against this.
WEIGHT = 50
# A scan may be predicted to take this much longer than asking per key: it spares upstream.
TOLERANCE = 1.1
# Seconds that a page may take longer for each request that it spares, where the list may fit it.
WORTH = 0.005
# Of how many lists it is remembered how far a page of them reaches.
LISTS = 1000
MAX_UNPROVED = 8
# How many rows a prior density is worth (a first page outweighs it), and how many days a learned
# one remembers.
PRIOR_ROWS, MEMORY_DAYS = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a way is predicted to cost: REST requests, and seconds until its last answer."""

    requests: int
    seconds: float


@dataclass
class Costs:
    """One account's numbers. The defaults are the priors; seconds and rows.

    A density is rows seen by days seen: a page that spans a night counts for more than one of the
    busiest minutes, as it does in what is predicted from it.
    """

    latency: float = 0.15
    per_row: float = 0.0002
    rows_per_day: dict[str, float] = field(default_factory=lambda: {CALLS.name: 2000.0})
    rows_per_call: dict[str, float] = field(
        default_factory=lambda: {each.name: each.rows_per_call for each in RESOURCES}
    )

    _days_seen: dict[str, float] = field(default_factory=dict)
    _reach: dict[Hashable, datetime] = field(default_factory=dict)
    _tokens_name_rows: bool = False
    _unproved: int = 0

    @property
    def can_guess(self) -> bool:
        """True when a page token may be made. See Note [Upward] in upward."""
        return self._tokens_name_rows and self._unproved < MAX_UNPROVED

    @property
    def request_rows(self) -> float:
        """How many rows take as long as a request."""
        return self.latency / max(self.per_row, 1e-6)

    def guess(self) -> None:
        """A page is being read from the middle of a list; it is unproved as yet."""
        self._unproved += 1

    def proved(self) -> None:
        """Such a page showed what it was read for."""
        self._unproved = 0

    def note(self, page: Page[Any]) -> None:
        """Learns from a page: its time always, its rows where they say how dense a list is."""
        self._learn_time(page)
        self.note_links(page)
        kind = page.request.kind
        if edge_of(page.request) is not None:
            self._learn(self.rows_per_call, kind, float(page.rows_read), 1)
        elif is_by_days_only(page.request):
            self._learn_density(kind, len(page.rows) - 1, _days(page))
        self._learn_reach(page)

    def note_rows(self, kind: str, keys: int, rows: int) -> None:
        """Learns how many rows an edge has from those of so many keys."""
        self._learn(self.rows_per_call, kind, rows / keys, keys)

    def note_reach(self, request: ListRequest[Any], oldest: datetime) -> None:
        """The largest page of this list comes down to this moment, and no further."""
        self._reach.pop(_top_of(request), None)
        self._reach[_top_of(request)] = oldest
        if len(self._reach) > LISTS:
            del self._reach[next(iter(self._reach))]

    def note_links(self, page: Page[Any]) -> None:
        """Learns whether upstream's own links name the row that their page begins at."""
        token = page.next.token if page.next else None
        if token is not None and page.rows and len(page.rows) == page.rows_read:
            self._tokens_name_rows = token == PageRef.after(page.rows[-1].sid).token

    def rows(self, kind: str, span: timedelta) -> float:
        """How many rows of a list lie in this span of time."""
        return self._per_day(kind) * (span / ONE_DAY)

    def expected(self, kind: str, portion: Portion) -> float:
        """How many rows of a list to expect in a span of time of which this much was read."""
        each = 1.0 if kind == CALLS.name else self.rows_per_call[kind]
        unread = max(self.rows(kind, portion.unread), portion.others * each)
        return portion.calls * each + unread

    def reach(self, request: ListRequest[Any]) -> datetime | None:
        """The moment down to which the largest page of this list came. See Note [Reach]."""
        return self._reach.get(_top_of(request))

    def room(self, kind: str, keys: int, asked: int, concurrency: int) -> float:
        """How many rows of one page may be read instead of asking for so many keys."""
        alone = self.per_key(kind, max(keys, asked), concurrency).seconds * TOLERANCE
        spared = (keys - 1) * WORTH
        return (alone + spared - self.latency) / max(self.per_row, 1e-6)

    def per_key(self, kind: str, keys: int, concurrency: int) -> Estimate:
        """One request for each key, so many at a time."""
        rounds = -(-keys // concurrency)
        each = self.latency + self.rows_per_call[kind] * self.per_row
        return Estimate(keys, rounds * each)

    def pages(self, rows: float, side_by_side: int = 1) -> Estimate:
        """The rows of covering lists, read in the largest pages, so many lists side by side."""
        pages = max(side_by_side, -(-int(rows + 0.999) // MAX_PAGE_SIZE), 1)
        rounds = -(-pages // side_by_side)
        return Estimate(pages, rounds * self.latency + rows / side_by_side * self.per_row)

    def is_cheaper(
        self, kind: str, rows: float, lists: int, keys: int, asked: int, concurrency: int
    ) -> bool:
        """True when these rows are fewer requests than one for each key, and not slower.

        `asked` is how many keys wait for the same connections, of this edge and of others.
        """
        scan = self.pages(rows, min(lists, concurrency))
        alone = self.per_key(kind, max(keys, asked), concurrency)
        return scan.requests < keys and scan.seconds <= alone.seconds * TOLERANCE

    def _per_day(self, kind: str) -> float:
        per_day = self.rows_per_day.get(kind)
        if per_day is None:
            per_day = self.rows_per_day[CALLS.name] * self.rows_per_call[kind]
        return per_day

    def _learn_density(self, kind: str, rows: int, days: float) -> None:
        if days <= 0:
            return
        per_day = self._per_day(kind)
        seen = self._days_seen.get(kind, PRIOR_ROWS / max(per_day, 1.0))
        self.rows_per_day[kind] = (per_day * seen + rows) / (seen + days)
        self._days_seen[kind] = min(seen + days, MEMORY_DAYS)

    def _learn_reach(self, page: Page[Any]) -> None:
        request = page.request
        is_largest = request.page_size >= MAX_PAGE_SIZE and request.page == TOP
        if not (is_largest and page.next and page.rows):
            return
        try:
            date = request.resource.day_filter if request.days else "date_created"
            oldest = getattr(page.rows[-1], date)
        except UpstreamInvalid:
            return
        if oldest is not None:
            self.note_reach(request, oldest)

    def _learn_time(self, page: Page[Any]) -> None:
        if page.seconds <= 0:
            return
        if page.rows_read <= SMALL_PAGE:
            sample = max(page.seconds - page.rows_read * self.per_row, 0.0)
            self.latency += (sample - self.latency) / 8
        else:
            sample = max(page.seconds - self.latency, 0.0) / page.rows_read
            self.per_row += (sample - self.per_row) / 4

    @staticmethod
    def _learn(averages: dict[str, float], kind: str, sample: float, weight: int) -> None:
        known = averages.get(kind)
        share = weight / (weight + WEIGHT)
        averages[kind] = sample if known is None else known + (sample - known) * share


def _top_of(request: ListRequest[Any]) -> Hashable:
    """A list as seen from its top: the same however far down it goes."""
    return without_days(request), request.days.lt if request.days else None


def _days(page: Page[Any]) -> float:
    """The days between a page's first and last row; 0 where they cannot be told."""
    try:
        dates = [row.date_created for row in (page.rows[0], page.rows[-1])] if page.rows else []
    except UpstreamInvalid:
        return 0.0
    return (dates[0] - dates[1]) / ONE_DAY if dates and None not in dates else 0.0


def page_size(rows: float, depth: float) -> int:
    """The page that holds this many expected rows with room to spare, at most Twilio's 1000.

    Of these `depth` lie above the first key: short of that, the page would have been read in vain,
    so for them there is twice the room.
    """
    return min(MAX_PAGE_SIZE, max(50, int(max(rows * 1.5, min(rows, depth) * 2)) + 50))
