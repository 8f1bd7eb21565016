"""One scan: covering lists read for many keys of one edge, as a state machine without I/O.

The executor sends the requests of `next_requests` and passes each page to `receive`, which returns
the keys that are now certain. It requests the remaining keys per key. This module must not know how
a page is sent.

Note [Allowance]. A scan may send a page only while it has answered at least as many keys as it has
sent pages. So an edge never costs more than one request for each key and one probe, however wrong
the prediction was: each page past the probe is paid for by a key that needs no request of its own.
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
    """Decides which page a scan reads next."""

    def on_sent(self) -> None:
        """Called for each page that the scan sends."""

    def next_request(
        self, page: Page[Any], answers: Answers, remaining: Sequence[Request]
    ) -> ListRequest[Any] | None:
        """The page to read after this one, which gave these answers; None to stop."""


class Scan:
    """The keys of one edge and the lists that may answer them.

    The scan reads `lists` in order, in parallel as far as the allowance permits. `strategy` chooses
    what follows each page. `predicted` is what the scan should cost.
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
        self.remaining = dict.fromkeys(keys)
        self._known = known
        self._strategy = strategy
        self._queue = deque(lists)
        self._sent: set[ListRequest[Any]] = set()

    def next_requests(self) -> list[ListRequest[Any]]:
        """The requests that may be sent now. See Note [Allowance]."""
        allowed: list[ListRequest[Any]] = []
        answered = len(self.keys) - len(self.remaining)
        while self._queue and self.remaining and len(self._sent) <= answered:
            request = self._queue.popleft()
            if request not in self._sent:
                self._sent.add(request)
                self._strategy.on_sent()
                allowed.append(request)
        return allowed

    def receive(self, page: Page[Any]) -> dict[Request, KnownAnswer]:
        """Takes a page that the cache holds already; returns the answers that are now certain."""
        answers = {key: answer for key in self.remaining if (answer := self._known.answer(key))}
        for key in answers:
            del self.remaining[key]
        next_request = self._strategy.next_request(page, answers, tuple(self.remaining))
        if next_request is not None:
            self._queue.appendleft(next_request)
        return answers


class ScanDown:
    """Reads on down a covering list to the beginning of the windows, while it pays."""

    def __init__(self, costs: Costs, since: datetime, concurrency: int, density: Density) -> None:
        self._costs = costs
        self._since = since
        self._concurrency = concurrency
        self._density = density

    def on_sent(self) -> None:
        """Learns nothing."""

    def next_request(
        self, page: Page[Any], answers: Answers, remaining: Sequence[Request]
    ) -> ListRequest[Any] | None:
        """The next page, if the pages down to `since` cost less than the remaining keys."""
        kind = page.request.kind
        if answers:
            found = sum(len(answer.value.rows) for answer in answers.values())
            self._costs.learn_rows_per_call(kind, len(answers), found)
        if page.next is None or page.left_out or not remaining:
            return None
        try:
            oldest = getattr(page.rows[-1], page.request.resource.day_filter) if page.rows else None
        except UpstreamInvalid:
            oldest = None
        if oldest is None:
            return None
        rows = self._costs.expected_rows(kind, self._density.portion(self._since, oldest))
        keys = len(remaining)
        if not self._costs.is_cheaper(kind, rows, 1, keys, keys, self._concurrency):
            return None
        names_last_row = page.next.token == PageRef.after(page.rows[-1].sid).token
        return page.request.at(page.next, MAX_PAGE_SIZE if names_last_row else None)
