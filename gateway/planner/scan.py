"""One scan: covering lists read for many keys of one edge, as a machine without I/O.

Whoever executes it sends what `send` gives and hands the pages to `take`; keys that become certain
come out at once, and what is left in the end is asked per key. This module must not know how a page
is sent.

Note [Allowance]. A scan may send a page only while it has covered at least as many keys as it has
sent pages. So an edge never costs more than one request for each key and one probe, however wrong
the prediction was: every page past the probe is paid for by a key that needs no request of its own.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from gateway.errors import UpstreamInvalid
from gateway.planner.costs import MAX_PAGE_SIZE, Costs, Estimate
from gateway.planner.density import Density
from gateway.planner.operation_cache import KnownAnswer, OperationCache, Request
from gateway.planner.windows import DateWindow
from gateway.upstream.requests import ListRequest, Page, PageRef

__all__ = ["Answers", "Key", "PageStrategy", "Scan", "ScanDown"]

Key = tuple[Request, DateWindow]
Answers = Mapping[Request, KnownAnswer]


class PageStrategy(Protocol):
    """Where a scan goes on after a page."""

    def sent(self) -> None:
        """A page is being read."""

    def following(
        self, page: Page[Any], answers: Answers, left: Sequence[Request]
    ) -> ListRequest[Any] | None:
        """The page to read after this one, which made these keys certain; None to stop."""


class Scan:
    """The keys of one edge and the lists that may answer them.

    `lists` are read in their order, side by side as far as the allowance goes, and on from each
    page as the course says. `predicted` is what the scan should cost.
    """

    def __init__(
        self,
        keys: Sequence[Request],
        lists: Sequence[ListRequest[Any]],
        known: OperationCache,
        predicted: Estimate,
        strategy: PageStrategy,
    ) -> None:
        self.keys = tuple(keys)
        self.predicted = predicted
        self.left = dict.fromkeys(keys)
        self._known = known
        self._strategy = strategy
        self._waiting = deque(lists)
        self._sent: set[ListRequest[Any]] = set()

    def send(self) -> list[ListRequest[Any]]:
        """The requests that may be sent now. See Note [Allowance]."""
        allowed: list[ListRequest[Any]] = []
        while self._waiting and self.left and len(self._sent) <= len(self.keys) - len(self.left):
            request = self._waiting.popleft()
            if request not in self._sent:
                self._sent.add(request)
                self._strategy.sent()
                allowed.append(request)
        return allowed

    def take(self, page: Page[Any]) -> dict[Request, KnownAnswer]:
        """Takes in a page that the known rows hold already; gives the keys that are certain now."""
        answers = {key: answer for key in self.left if (answer := self._known.answer(key))}
        for key in answers:
            del self.left[key]
        following = self._strategy.following(page, answers, tuple(self.left))
        if following is not None:
            self._waiting.appendleft(following)
        return answers


class ScanDown:
    """Reading on down a covering list, to the beginning of the windows, while it pays."""

    def __init__(self, costs: Costs, since: datetime, concurrency: int, density: Density) -> None:
        self._costs = costs
        self._since = since
        self._concurrency = concurrency
        self._density = density

    def sent(self) -> None:
        """Nothing is learned from that."""

    def following(
        self, page: Page[Any], answers: Answers, left: Sequence[Request]
    ) -> ListRequest[Any] | None:
        """The next page, where the pages down to `since` cost less than the keys that are left."""
        kind = page.request.kind
        if answers:
            found = sum(len(answer.value.rows) for answer in answers.values())
            self._costs.note_rows(kind, len(answers), found)
        if page.next is None or page.left_out or not left:
            return None
        try:
            oldest = getattr(page.rows[-1], page.request.resource.day_filter) if page.rows else None
        except UpstreamInvalid:
            oldest = None
        if oldest is None:
            return None
        rows = self._costs.expected(kind, self._density.of(self._since, oldest))
        if not self._costs.is_cheaper(kind, rows, 1, len(left), len(left), self._concurrency):
            return None
        names_last_row = page.next.token == PageRef.after(page.rows[-1].sid).token
        return page.request.at(page.next, MAX_PAGE_SIZE if names_last_row else None)
