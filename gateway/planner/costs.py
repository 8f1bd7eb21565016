"""What requests cost and how dense an account's lists are: priors, then learned values.

Moving averages over every page that is read: a handful of numbers for an account. A wrong estimate
costs time, never an answer, and no more requests than a scan's allowance. This module must not know
what a decision is for, nor the clock: seconds come in as values.

Note [Reach]. A busy minute of one day does not show how dense another day is. A list's reach is a
fact: its largest page, read from the top, came down to this moment and no further. A list without a
known reach is assumed to fit into one page: a wrong guess costs one request, and not trying costs
one request for each call.
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
from gateway.upstream.requests import FIRST_PAGE, ListRequest, Page, PageRef

__all__ = ["Costs", "Estimate"]

MAX_PAGE_SIZE = 1000
SMALL_PAGE = 60
# Weight of an edge's average so far; the page of one call has weight 1.
PRIOR_WEIGHT = 50
# A scan may take this many times as long as requests per key: it spares upstream.
TOLERANCE = 1.1
# Extra seconds that a page may take for each request it spares, if the list may fit into it.
SECONDS_PER_SPARED_REQUEST = 0.005
# The number of lists whose reach is stored.
MAX_LISTS = 1000
MAX_UNPROVED_PAGES = 8
# A prior density weighs as much as this many rows (a first page outweighs it). A learned density
# remembers this many days.
PRIOR_ROWS, MEMORY_DAYS = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """The predicted cost of a strategy: REST requests, and seconds until its last answer."""

    requests: int
    seconds: float


@dataclass
class Costs:
    """One account's numbers. The defaults are the priors; seconds and rows.

    A density is rows seen divided by days seen. So a page that spans a night counts for more than a
    busy minute, as it does in a prediction.
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
    _unproved_pages: int = 0

    @property
    def can_make_token(self) -> bool:
        """True when a page token may be made. See Note [Start page] in upward."""
        return self._tokens_name_rows and self._unproved_pages < MAX_UNPROVED_PAGES

    @property
    def rows_per_request(self) -> float:
        """The number of rows that take as long as a request."""
        return self.latency / max(self.per_row, 1e-6)

    def record_unproved_page(self) -> None:
        """Counts a page of an upward scan, which has proved nothing yet."""
        self._unproved_pages += 1

    def record_proved_page(self) -> None:
        """Resets that count: such a page made keys certain."""
        self._unproved_pages = 0

    def learn(self, page: Page[Any]) -> None:
        """Learns from a page: its time always, its rows where they show how dense a list is."""
        self._learn_time(page)
        self.learn_links(page)
        kind = page.request.kind
        if edge_of(page.request) is not None:
            self._update_average(self.rows_per_call, kind, float(page.rows_read), 1)
        elif is_by_days_only(page.request):
            self._learn_density(kind, len(page.rows) - 1, _days_spanned(page))
        self._learn_reach_from(page)

    def learn_rows_per_call(self, kind: str, keys: int, rows: int) -> None:
        """Learns an edge's rows per call from keys that have `rows` rows together."""
        self._update_average(self.rows_per_call, kind, rows / keys, keys)

    def learn_reach(self, request: ListRequest[Any], oldest: datetime) -> None:
        """Stores the reach of a list: its largest page comes down to `oldest` and no further."""
        self._reach.pop(_list_from_top(request), None)
        self._reach[_list_from_top(request)] = oldest
        if len(self._reach) > MAX_LISTS:
            del self._reach[next(iter(self._reach))]

    def learn_links(self, page: Page[Any]) -> None:
        """Learns whether upstream's links name the row that their page begins at."""
        token = page.next.token if page.next else None
        if token is not None and page.rows and len(page.rows) == page.rows_read:
            self._tokens_name_rows = token == PageRef.after(page.rows[-1].sid).token

    def rows_in_span(self, kind: str, span: timedelta) -> float:
        """The expected rows of a list in this span of time."""
        return self._per_day(kind) * (span / ONE_DAY)

    def expected_rows(self, kind: str, portion: Portion) -> float:
        """The expected rows of a list in a span of time of which this portion was read."""
        each = 1.0 if kind == CALLS.name else self.rows_per_call[kind]
        unread = max(self.rows_in_span(kind, portion.unread), portion.others * each)
        return portion.calls * each + unread

    def reach(self, request: ListRequest[Any]) -> datetime | None:
        """The moment down to which the list's largest page came. See Note [Reach]."""
        return self._reach.get(_list_from_top(request))

    def affordable_rows(self, kind: str, keys: int, batch_size: int, concurrency: int) -> float:
        """How many rows one page may read in place of one request for each key."""
        seconds = self.per_key(kind, max(keys, batch_size), concurrency).seconds * TOLERANCE
        seconds += (keys - 1) * SECONDS_PER_SPARED_REQUEST
        return (seconds - self.latency) / max(self.per_row, 1e-6)

    def per_key(self, kind: str, keys: int, concurrency: int) -> Estimate:
        """One request for each key, `concurrency` at a time."""
        rounds = -(-keys // concurrency)
        each = self.latency + self.rows_per_call[kind] * self.per_row
        return Estimate(keys, rounds * each)

    def pages(self, rows: float, parallel_lists: int = 1) -> Estimate:
        """Covering lists of `rows` rows together, read in the largest pages and in parallel."""
        pages = max(parallel_lists, -(-int(rows + 0.999) // MAX_PAGE_SIZE), 1)
        rounds = -(-pages // parallel_lists)
        return Estimate(pages, rounds * self.latency + rows / parallel_lists * self.per_row)

    def is_cheaper(
        self, kind: str, rows: float, lists: int, keys: int, batch_size: int, concurrency: int
    ) -> bool:
        """True when these rows take fewer requests than one for each key, and are not slower.

        `batch_size` is how many keys share the connections: those of this edge and of others.
        """
        scan = self.pages(rows, min(lists, concurrency))
        per_key_cost = self.per_key(kind, max(keys, batch_size), concurrency)
        return scan.requests < keys and scan.seconds <= per_key_cost.seconds * TOLERANCE

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

    def _learn_reach_from(self, page: Page[Any]) -> None:
        request = page.request
        is_largest = request.page_size >= MAX_PAGE_SIZE and request.page == FIRST_PAGE
        if not (is_largest and page.next and page.rows):
            return
        try:
            date = request.resource.day_filter if request.days else "date_created"
            oldest = getattr(page.rows[-1], date)
        except UpstreamInvalid:
            return
        if oldest is not None:
            self.learn_reach(request, oldest)

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
    def _update_average(averages: dict[str, float], kind: str, sample: float, weight: int) -> None:
        known = averages.get(kind)
        share = weight / (weight + PRIOR_WEIGHT)
        averages[kind] = sample if known is None else known + (sample - known) * share


def _list_from_top(request: ListRequest[Any]) -> Hashable:
    """Identifies a list by its top: equal for lists that differ only in how far down they go."""
    return without_days(request), request.days.lt if request.days else None


def _days_spanned(page: Page[Any]) -> float:
    """The days between a page's first and last row; 0 where a date is missing or unreadable."""
    try:
        dates = [row.date_created for row in (page.rows[0], page.rows[-1])] if page.rows else []
    except UpstreamInvalid:
        return 0.0
    return (dates[0] - dates[1]) / ONE_DAY if dates and None not in dates else 0.0


def page_size(rows: float, depth: float) -> int:
    """The page for this many expected rows, with room to spare; at most Twilio's 1000.

    `depth` of these rows lie above the first key. A page that does not come down to it is read in
    vain, so these rows get twice the room.
    """
    return min(MAX_PAGE_SIZE, max(50, int(max(rows * 1.5, min(rows, depth) * 2)) + 50))
