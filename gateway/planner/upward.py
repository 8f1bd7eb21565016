"""The list of all calls, read on from where calls stand: it shows the children of any calls.

childCalls of calls that were not read from the list's top (a client has scrolled, or filters) have
no list of their own that is right: a range of start times lacks the calls that were never dialed.
The list of all calls lacks none, and the children of a batch stand just above its calls, or beside
them in the same second. This module must not know how a page is sent.

Note [Upward]. Where the list's top is near, it is read from there. Where the operation has read the
batch's oldest call in the list of all calls, upstream's own links lead on from there: upward, or
downward where only rows strictly older than the last calls are lacking. Where it has read the call
elsewhere, the token is made: PB and a call's SID, the form that FACTS section 5 shows; of a call
that is known to be older, if there is one, so that the page also shows what stands below the batch.
Upstream's contract calls tokens opaque, so one is made only where this account's links were seen to
have that form, and it is no more than a guess where to look: what the page proves, it proves by its
rows alone (Note [Newest first] in evidence), whatever upstream made of the token. A guess in vain
costs one request, and after MAX_UNPROVED of them in a row no more are made.
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
# A page has room for a quarter more rows than are expected.
ROOM = 1.25
LARGEST = MAX_PAGE_SIZE / ROOM
# From the top a page that does not come down to the calls was read in vain: it has twice the room.
DEPTH = 2


@dataclass(frozen=True)
class Start:
    """A page to begin with, whose children it shows, and the expected rows down to their calls.

    `besides` is what it takes besides, in rows that would take as long. `may_fit` tells that the
    rows are a mere guess: nothing is known to be too far away (Note [Reach] in costs).
    """

    list: ListCalls
    keys: Sequence[Key]
    rows: float
    besides: float = 0.0
    may_fit: bool = False

    @property
    def cost(self) -> float:
        """What to choose by."""
        return self.rows + self.besides


def upward(
    keys: Sequence[Key], known: OperationCache, costs: Costs, concurrency: int, asked: int
) -> Scan | None:
    """The pages that show the children of these calls, where they are predicted to be cheaper.

    There is at least one key.
    """
    planner = UpwardPlanner(known, costs, concurrency, asked)
    starts = list(planner.starts(keys))
    if not starts:
        return None
    chosen = [key for start in starts for key in start.keys]
    return Scan(
        [key for key, _ in chosen],
        [start.list for start in starts],
        known,
        costs.pages(sum(start.rows for start in starts), len(starts)),
        ScanUp(costs, known, dict(chosen), concurrency),
    )


class UpwardPlanner:
    """Chooses where to begin. `asked` is how many keys wait for the same connections."""

    def __init__(self, known: OperationCache, costs: Costs, concurrency: int, asked: int) -> None:
        self._known = known
        self._costs = costs
        self._concurrency = concurrency
        self._asked = asked

    def starts(self, keys: Sequence[Key]) -> Iterator[Start]:
        """One page for all keys, if one may do; else one for each cluster for which it pays."""
        oldest_first = sorted(keys, key=lambda key: key[1].since)
        whole = self._cheapest(oldest_first)
        if whole is not None:
            yield whole
            return
        for cluster in self._clusters(oldest_first):
            start = self._cheapest(cluster)
            if start is not None:
                yield start

    def _cheapest(self, cluster: Sequence[Key]) -> Start | None:
        starts = [start for start in self._possible(cluster) if self._pays(start)]
        return min(starts, key=lambda start: start.cost, default=None)

    def _pays(self, start: Start) -> bool:
        keys, costs = len(start.keys), self._costs
        if start.may_fit:
            room = costs.room(KIND, keys, self._asked, self._concurrency)
            return keys > 1 and start.rows <= room
        return start.rows <= LARGEST and costs.is_cheaper(
            KIND, start.rows, 1, keys, self._asked, self._concurrency
        )

    def _clusters(self, oldest_first: Iterable[Key]) -> Iterable[list[Key]]:
        """Keys whose windows lie within one page; one whose window is too long is in none."""
        clusters: list[list[Key]] = []
        for key in oldest_first:
            since = clusters[-1][0][1].since if clusters else None
            if since is not None and self._expected(since, key[1].until) <= LARGEST:
                clusters[-1].append(key)
            elif since is None or self._expected(since, key[1].since) > LARGEST:
                clusters.append([key])
        return clusters

    def _possible(self, cluster: Sequence[Key]) -> Iterator[Start]:
        """Where the children of a cluster can be read. See Note [Upward]."""
        part = self._known.part_with(_owner(cluster[0][0]))
        if part is not None and part.is_from_top:
            if part.below is not None:
                yield Start(_beside(part, part.below, 0), cluster, 0)
            return
        yield from self._top(cluster)
        settled = [key for key in cluster if not key[1].is_open]
        if part is not None and part.above is not None:
            yield from self._above(part, part.above, settled)
        elif part is None and len(settled) > 1 and self._costs.can_guess:
            yield self._guess(settled)

    def _top(self, cluster: Sequence[Key]) -> Iterator[Start]:
        """The list's top, where it is near, or may be."""
        since = cluster[0][1].since
        rows = DEPTH * self._expected(since, self._known.now)
        reach = self._costs.reach(ListCalls())
        if reach is None:
            room = self._costs.room(KIND, len(cluster), self._asked, self._concurrency)
            size = max(_page_size(rows), min(int(room), MAX_PAGE_SIZE))
            yield Start(ListCalls(page_size=size), cluster, min(rows, LARGEST), may_fit=True)
        elif reach < since:
            yield Start(ListCalls(page_size=_page_size(rows)), cluster, rows)

    def _above(self, part: ContiguousRun, above: PageRef, keys: Sequence[Key]) -> Iterator[Start]:
        """Upstream's link from the part that has the calls: it shows those whose end is there.

        The others need the page below, too: one alone is asked for as fast.
        """
        closed = [key for key in keys if part.is_past(_created(key[1]))]
        others = [key for key in keys if key not in closed]
        if closed:
            rows = self._rows(keys)
            chosen = [*closed, *others] if len(others) > 1 else closed
            yield Start(_beside(part, above, rows), chosen, rows, self._risk(keys))

    def _guess(self, keys: Sequence[Key]) -> Start:
        """A made token: of a call known to be older, or of the oldest, which its page then lacks.

        Calls of the same second as the oldest may have children below.
        """
        oldest, window = keys[0]
        created = _created(window)
        newer = [key for key in keys if _created(key[1]) > created]
        rows, token = self._rows(keys), _owner(oldest)
        older = self._known.call_before(created)
        if older is not None and older.date_created is not None:
            rows += self._expected(older.date_created, created)
            token = older.sid
        request = ListCalls(page=PageRef.before(token), page_size=_page_size(rows))
        return Start(request, newer, rows, self._costs.request_rows + self._risk(keys))

    def _risk(self, keys: Sequence[Key]) -> float:
        """What it costs that perhaps nothing stands above that is newer than the last end."""
        until = max(window.until for _, window in keys)
        is_sure = self._costs.reach(ListCalls()) or self._known.density.has_after(until)
        return 0.0 if is_sure else self._costs.request_rows

    def _rows(self, cluster: Sequence[Key]) -> float:
        """The expected rows from the oldest call to the last end: as dense as usual, or as here."""
        first, last = cluster[0][1].since, cluster[-1][1].since
        until = max(window.until for _, window in cluster)
        span = until - first - EARLY
        here = len(cluster) * (span / (last - first)) if last > first else 0.0
        return max(self._expected(first + EARLY, until), here)

    def _expected(self, since: datetime, until: datetime) -> float:
        return self._costs.expected(KIND, self._known.density.of(since, until))


def _owner(request: Request) -> str:
    assert isinstance(request, ListCalls)  # noqa: S101 (the edge is childCalls)
    assert request.parent_call_sid  # noqa: S101
    return request.parent_call_sid


def _created(window: DateWindow) -> datetime:
    return window.since + EARLY


def _page_size(rows: float) -> int:
    return min(MAX_PAGE_SIZE, max(50, int(rows * ROOM) + 10))


def _beside(part: ContiguousRun, link: PageRef, rows: float) -> ListCalls:
    """The page at a link of a part: of the size that is needed, where the link allows it."""
    named = part.names_last_row if link == part.below else part.names_first_row
    size = part.size_below if link == part.below else part.size_above
    return ListCalls(page=link, page_size=_page_size(rows) if named else size)


class ScanUp:
    """Whether to read on, up or down, to where the calls that are left lack something."""

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

    def sent(self) -> None:
        """A page is being read."""
        self._costs.guess()

    def following(
        self, page: Page[CallResource], answers: Answers, left: Sequence[Request]
    ) -> ListRequest[CallResource] | None:
        """The page above or below, where it pays for the keys that are left."""
        if answers:
            self._costs.proved()
        part = self._known.part_at(page.request.page)
        if part is None or not left:
            return None
        found = self._up(part, left) or self._down(part, left)
        if found is None:
            return None
        link, rows = found
        if not self._costs.is_cheaper(KIND, rows, 1, len(left), len(left), self._concurrency):
            return None
        return _beside(part, link, rows)

    def _up(self, part: ContiguousRun, left: Sequence[Request]) -> tuple[PageRef, float] | None:
        until = max(self._windows[key].until for key in left)
        newest, _ = part.ends()
        if part.began_after(until) or part.above is None or newest is None:
            return None
        return part.above, self._expected(newest, until)

    def _down(self, part: ContiguousRun, left: Sequence[Request]) -> tuple[PageRef, float] | None:
        since = min(_created(self._windows[key]) for key in left)
        _, oldest = part.ends()
        if part.is_past(since) or part.below is None or oldest is None:
            return None
        return part.below, self._expected(since, oldest)

    def _expected(self, since: datetime, until: datetime) -> float:
        return self._costs.expected(KIND, self._known.density.of(since, until))
