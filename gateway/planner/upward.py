"""The list of all calls, read upward from a call: it shows the children of calls in its middle.

childCalls of calls that were not read from the list's top (a client has scrolled, or filters) have
no list of their own that is right: a range of start times lacks the calls that were never dialed.
The list of all calls lacks none, and the children of a batch stand just above its calls. This
module must not know how a page is sent.

Note [Upward]. Where the list's top is near, it is read from there. Where the operation has read the
batch's oldest call in the list of all calls, upstream's own link leads upward from there. Where it
has read the call elsewhere, the token is made: PB and the call's SID, the form that FACTS section 5
shows. Upstream's contract calls tokens opaque, so one is made only where this account's links were
seen to have that form, and it is no more than a guess where to look: what the page proves, it
proves by its rows alone (Note [Newest first] in evidence), whatever upstream made of the token. A
guess in vain costs one request, and after MAX_UNPROVED of them in a row no more are made.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.errors import UpstreamInvalid
from gateway.planner.costs import MAX_PAGE_SIZE, Costs
from gateway.planner.known import Known, Request
from gateway.planner.scan import Key, Scan
from gateway.planner.windows import EARLY
from gateway.upstream.requests import TOP, ListCalls, ListRequest, Page, PageRef
from gateway.upstream.resources import CallResource

__all__ = ["upward"]

KIND = ListCalls.kind
# A page has room for a quarter more rows than are expected.
ROOM = 1.25
LARGEST = MAX_PAGE_SIZE / ROOM
# From the top a page that does not come down to the calls was read in vain: it has twice the room.
DEPTH = 2


@dataclass(frozen=True)
class Start:
    """A page to begin with, whose children it shows, and the expected rows down to their calls.

    `besides` is what it takes besides, in rows that would take as long.
    """

    page: PageRef
    keys: Sequence[Key]
    rows: float
    besides: float = 0.0

    @property
    def cost(self) -> float:
        """What to choose by."""
        return self.rows + self.besides

    @property
    def list(self) -> ListCalls:
        """The page as a request."""
        return ListCalls(page=self.page, page_size=_page_size(self.rows))


def upward(
    keys: Sequence[Key], known: Known, costs: Costs, concurrency: int, asked: int
) -> Scan | None:
    """The pages that show the children of these calls, where they are predicted to be cheaper."""
    starts: list[Start] = []
    for cluster in _clusters(keys, costs):
        start = min(_starts(cluster, known, costs), key=lambda start: start.cost, default=None)
        if start is not None and costs.is_cheaper(
            KIND, start.rows, 1, len(start.keys), asked, concurrency
        ):
            starts.append(start)
    if not starts:
        return None
    chosen = [key for start in starts for key in start.keys]
    return Scan(
        [key for key, _ in chosen],
        [start.list for start in starts],
        known,
        costs.pages(sum(start.rows for start in starts), len(starts)),
        Climb(costs, max(window.until for _, window in chosen), concurrency),
    )


def _clusters(keys: Iterable[Key], costs: Costs) -> Iterable[list[Key]]:
    """Keys whose windows lie within one page, oldest first; a window too long for it is in none."""
    clusters: list[list[Key]] = []
    for key in sorted(keys, key=lambda key: key[1].since):
        since = clusters[-1][0][1].since if clusters else None
        if since is not None and costs.rows(KIND, key[1].until - since) <= LARGEST:
            clusters[-1].append(key)
        elif since is None or costs.rows(KIND, key[1].since - since) > LARGEST:
            clusters.append([key])
    return clusters


def _starts(cluster: Sequence[Key], known: Known, costs: Costs) -> Iterator[Start]:
    """The list's top, where it is near; upstream's link, where there is one; or a made token.

    The page of a made token lacks the call that the token names.
    """
    oldest, window = cluster[0]
    assert isinstance(oldest, ListCalls)  # noqa: S101 (the edge is childCalls)
    assert oldest.parent_call_sid  # noqa: S101
    rows = _rows(cluster, costs)
    link = known.above(oldest.parent_call_sid)
    to_the_top = DEPTH * costs.rows(KIND, known.now - window.since)
    if to_the_top <= LARGEST:
        yield Start(TOP, cluster, to_the_top)
    if link is not None:
        yield Start(link, cluster, rows)
    elif costs.can_guess:
        made = PageRef.before(oldest.parent_call_sid)
        yield Start(made, cluster[1:], rows, besides=costs.request_rows)


def _rows(cluster: Sequence[Key], costs: Costs) -> float:
    """The expected rows from the oldest call to the last end: as dense as usual, or as here."""
    first, last = cluster[0][1].since, cluster[-1][1].since
    span = max(window.until for _, window in cluster) - first - EARLY
    here = len(cluster) * (span / (last - first)) if last > first else 0.0
    return max(costs.rows(KIND, span), here)


def _page_size(rows: float) -> int:
    return min(MAX_PAGE_SIZE, max(50, int(rows * ROOM) + 10))


class Climb:
    """Whether to read on upward: until past the windows, by upstream's links, while it pays."""

    def __init__(self, costs: Costs, until: datetime, concurrency: int) -> None:
        self._costs = costs
        self._until = until
        self._concurrency = concurrency

    def sent(self) -> None:
        """A page is being read."""
        self._costs.guess()

    def following(
        self, page: Page[Any], answered: int, left: Sequence[Request]
    ) -> ListRequest[Any] | None:
        """The page above, where it pays for the keys that are left."""
        if answered:
            self._costs.proved()
        if page.previous is None or not left:
            return None
        above = self._until - (_newest(page) or self._until)
        rows = self._costs.rows(KIND, max(above, timedelta(0)))
        if not self._costs.is_cheaper(KIND, rows, 1, len(left), len(left), self._concurrency):
            return None
        return page.request.at(page.previous, _page_size(rows))


def _newest(page: Page[CallResource]) -> datetime | None:
    try:
        return page.rows[0].date_created if page.rows else None
    except UpstreamInvalid:
        return None
