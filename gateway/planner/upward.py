"""Reads the list of all calls from a batch of calls on: it shows the children of all calls.

Calls that were not read from the list's top (a client has scrolled, or filters) have no list of
their children that is right: a range of start times lacks the calls that were never dialed. The
list of all calls lacks none. The children of a batch stand just above its calls, or beside them in
the same second. This module must not know how a page is sent.

Note [Start page]. Where the list's top is near, the scan starts there. Where the operation has read
the batch's oldest call in the list of all calls, upstream's own links lead on: upward, or downward
where only rows strictly older than the last calls are lacking. Where it has read the call
elsewhere, the planner makes a token: PB and a call's SID, the form that docs/twilio.md#5-lists
shows. It takes a call that is known to be older, if there is one, so that the page also shows what
stands below the batch. Upstream's contract calls tokens opaque, so the planner makes one only where
this account's links were seen to have that form. A token only guesses where to look: the page
proves what it proves by its rows alone (Note [Newest first] in evidence), whatever upstream made of
the token. A guess in vain costs one request. After MAX_UNPROVED_PAGES in a row no more are made.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.planner.costs import MAX_PAGE_SIZE, Costs
from gateway.planner.evidence import ContiguousRun
from gateway.planner.operation_cache import OperationCache, Request
from gateway.planner.scan import Answers, Key, Scan
from gateway.planner.windows import EARLY, DateWindow
from gateway.upstream.calls import CALLS, CallResource, ListCalls
from gateway.upstream.requests import ListRequest, Page, PageRef

__all__ = ["upward"]

KIND = CALLS.name
# A page has room for a quarter more rows than expected.
SIZE_MARGIN = 1.25
MAX_EXPECTED_ROWS = MAX_PAGE_SIZE / SIZE_MARGIN
# A page from the top that does not come down to the calls is read in vain: it has twice the room.
TOP_MARGIN = 2


@dataclass(frozen=True)
class StartPage:
    """A first page, the keys whose children it shows, and the expected rows down to their calls.

    `extra_rows` are further costs, in rows that would take as long. `may_fit` means that `rows` is
    a guess: nothing is known to be too far away (Note [Reach] in costs).
    """

    request: ListCalls
    keys: Sequence[Key]
    rows: float
    extra_rows: float = 0.0
    may_fit: bool = False

    @property
    def cost(self) -> float:
        """The cost by which start pages are compared, in rows."""
        return self.rows + self.extra_rows


def upward(
    keys: Sequence[Key], known: OperationCache, costs: Costs, concurrency: int, batch_size: int
) -> Scan | None:
    """The scan that shows the children of these calls, where it is predicted to be cheaper.

    There must be at least one key.
    """
    planner = UpwardPlanner(known, costs, concurrency, batch_size)
    starts = list(planner.starts(keys))
    if not starts:
        return None
    chosen = [key for start in starts for key in start.keys]
    return Scan(
        [key for key, _ in chosen],
        [start.request for start in starts],
        known,
        costs.pages(sum(start.rows for start in starts), len(starts)),
        ScanUp(costs, known, dict(chosen), concurrency),
    )


class UpwardPlanner:
    """Chooses the start pages. `batch_size` is how many keys share the connections."""

    def __init__(
        self, known: OperationCache, costs: Costs, concurrency: int, batch_size: int
    ) -> None:
        self._known = known
        self._costs = costs
        self._concurrency = concurrency
        self._batch_size = batch_size

    def starts(self, keys: Sequence[Key]) -> Iterator[StartPage]:
        """One page for all keys, if one may do; else one for each cluster for which it pays."""
        oldest_first = sorted(keys, key=lambda key: key[1].since)
        one_page = self._cheapest(oldest_first)
        if one_page is not None:
            yield one_page
            return
        for cluster in self._clusters(oldest_first):
            start = self._cheapest(cluster)
            if start is not None:
                yield start

    def _cheapest(self, cluster: Sequence[Key]) -> StartPage | None:
        starts = [start for start in self._candidates(cluster) if self._is_worthwhile(start)]
        return min(starts, key=lambda start: start.cost, default=None)

    def _is_worthwhile(self, start: StartPage) -> bool:
        keys, costs = len(start.keys), self._costs
        if start.may_fit:
            affordable = costs.affordable_rows(KIND, keys, self._batch_size, self._concurrency)
            return keys > 1 and start.rows <= affordable
        return start.rows <= MAX_EXPECTED_ROWS and costs.is_cheaper(
            KIND, start.rows, 1, keys, self._batch_size, self._concurrency
        )

    def _clusters(self, oldest_first: Iterable[Key]) -> Iterable[list[Key]]:
        """Groups keys whose windows fit into one page, without keys whose window is too long."""
        clusters: list[list[Key]] = []
        for key in oldest_first:
            since = clusters[-1][0][1].since if clusters else None
            if since is not None and self._expected_rows(since, key[1].until) <= MAX_EXPECTED_ROWS:
                clusters[-1].append(key)
            elif since is None or self._expected_rows(since, key[1].since) > MAX_EXPECTED_ROWS:
                clusters.append([key])
        return clusters

    def _candidates(self, cluster: Sequence[Key]) -> Iterator[StartPage]:
        """The pages that may show the children of a cluster. See Note [Start page]."""
        run = self._known.run_with(_parent_sid(cluster[0][0]))
        if run is not None and run.is_from_top:
            if run.below is not None:
                yield StartPage(_page_at_link(run, run.below, 0), cluster, 0)
            return
        yield from self._from_top(cluster)
        settled = [key for key in cluster if not key[1].is_open]
        if run is not None and run.above is not None:
            yield from self._from_link_above(run, run.above, settled)
        elif run is None and len(settled) > 1 and self._costs.can_make_token:
            yield self._from_made_token(settled)

    def _from_top(self, cluster: Sequence[Key]) -> Iterator[StartPage]:
        """The list's top, where it is near or may be."""
        since = cluster[0][1].since
        rows = TOP_MARGIN * self._expected_rows(since, self._known.now)
        reach = self._costs.reach(ListCalls())
        if reach is None:
            affordable = self._costs.affordable_rows(
                KIND, len(cluster), self._batch_size, self._concurrency
            )
            size = max(_page_size(rows), min(int(affordable), MAX_PAGE_SIZE))
            yield StartPage(
                ListCalls(page_size=size), cluster, min(rows, MAX_EXPECTED_ROWS), may_fit=True
            )
        elif reach < since:
            yield StartPage(ListCalls(page_size=_page_size(rows)), cluster, rows)

    def _from_link_above(
        self, run: ContiguousRun, above: PageRef, keys: Sequence[Key]
    ) -> Iterator[StartPage]:
        """Upstream's link above a run, for the keys below which the run is complete.

        The other keys also need the page below. A single one is not worth that: its own request is
        as fast.
        """
        closed = [key for key in keys if run.is_past(_created(key[1]))]
        others = [key for key in keys if key not in closed]
        if closed:
            rows = self._expected_rows_of(keys)
            chosen = [*closed, *others] if len(others) > 1 else closed
            yield StartPage(_page_at_link(run, above, rows), chosen, rows, self._risk_rows(keys))

    def _from_made_token(self, keys: Sequence[Key]) -> StartPage:
        """A made token: of a call known to be older, or of the oldest, which its page then lacks.

        Calls created in the same second as the oldest are left out: they may have children below.
        """
        oldest, window = keys[0]
        created = _created(window)
        newer = [key for key in keys if _created(key[1]) > created]
        rows, token = self._expected_rows_of(keys), _parent_sid(oldest)
        older = self._known.call_before(created)
        if older is not None and older.date_created is not None:
            rows += self._expected_rows(older.date_created, created)
            token = older.sid
        request = ListCalls(page=PageRef.before(token), page_size=_page_size(rows))
        return StartPage(request, newer, rows, self._costs.rows_per_request + self._risk_rows(keys))

    def _risk_rows(self, keys: Sequence[Key]) -> float:
        """What it costs if nothing stands above that is newer than the last end, in rows."""
        until = max(window.until for _, window in keys)
        is_sure = self._costs.reach(ListCalls()) or self._known.density.has_after(until)
        return 0.0 if is_sure else self._costs.rows_per_request

    def _expected_rows_of(self, cluster: Sequence[Key]) -> float:
        """The expected rows from the oldest call to the last end: as usual, or as in the batch."""
        first, last = cluster[0][1].since, cluster[-1][1].since
        until = max(window.until for _, window in cluster)
        span = until - first - EARLY
        here = len(cluster) * (span / (last - first)) if last > first else 0.0
        return max(self._expected_rows(first + EARLY, until), here)

    def _expected_rows(self, since: datetime, until: datetime) -> float:
        return self._costs.expected_rows(KIND, self._known.density.portion(since, until))


def _parent_sid(request: Request) -> str:
    assert isinstance(request, ListCalls)  # noqa: S101 (the edge is childCalls)
    assert request.parent_call_sid  # noqa: S101
    return request.parent_call_sid


def _created(window: DateWindow) -> datetime:
    return window.since + EARLY


def _page_size(rows: float) -> int:
    return min(MAX_PAGE_SIZE, max(50, int(rows * SIZE_MARGIN) + 10))


def _page_at_link(run: ContiguousRun, link: PageRef, rows: float) -> ListCalls:
    """The page at a run's link, of the needed size where the link allows it."""
    named = run.names_last_row if link == run.below else run.names_first_row
    size = run.size_below if link == run.below else run.size_above
    return ListCalls(page=link, page_size=_page_size(rows) if named else size)


class ScanUp:
    """Reads on up or down to where the remaining calls lack rows, while it pays."""

    def __init__(
        self,
        costs: Costs,
        known: OperationCache,
        windows: dict[Request, DateWindow],
        concurrency: int,
    ) -> None:
        self._costs = costs
        self._known = known
        self._windows = windows
        self._concurrency = concurrency

    def on_sent(self) -> None:
        """Counts the page as unproved."""
        self._costs.record_unproved_page()

    def next_request(
        self, page: Page[CallResource], answers: Answers, remaining: Sequence[Request]
    ) -> ListRequest[CallResource] | None:
        """The page above or below, where it pays for the remaining keys."""
        if answers:
            self._costs.record_proved_page()
        run = self._known.run_at(page.request.page)
        if run is None or not remaining:
            return None
        next_page = self._page_above(run, remaining) or self._page_below(run, remaining)
        if next_page is None:
            return None
        (link, rows), keys = next_page, len(remaining)
        if not self._costs.is_cheaper(KIND, rows, 1, keys, keys, self._concurrency):
            return None
        return _page_at_link(run, link, rows)

    def _page_above(
        self, run: ContiguousRun, remaining: Sequence[Request]
    ) -> tuple[PageRef, float] | None:
        until = max(self._windows[key].until for key in remaining)
        newest, _ = run.newest_and_oldest()
        if run.began_after(until) or run.above is None or newest is None:
            return None
        return run.above, self._expected_rows(newest, until)

    def _page_below(
        self, run: ContiguousRun, remaining: Sequence[Request]
    ) -> tuple[PageRef, float] | None:
        since = min(_created(self._windows[key]) for key in remaining)
        _, oldest = run.newest_and_oldest()
        if run.is_past(since) or run.below is None or oldest is None:
            return None
        return run.below, self._expected_rows(since, oldest)

    def _expected_rows(self, since: datetime, until: datetime) -> float:
        return self._costs.expected_rows(KIND, self._known.density.portion(since, until))
