"""One scan: covering lists read for many keys of one edge, as a machine without I/O.

Whoever executes it sends what `send` gives and hands the pages to `take`; keys that become certain
come out at once, and what is left in the end is asked per key. This module must not know how a page
is sent.

Note [Allowance]. A scan may send a page only while it has covered at least as many keys as it has
sent pages. So an edge never costs more than one request for each key and one probe, however wrong
the prediction was: every page past the probe is paid for by a key that needs no request of its own.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from gateway.errors import UpstreamInvalid
from gateway.planner.costs import MAX_PAGE_SIZE, Costs, Estimate
from gateway.planner.known import Answer, Known, Request
from gateway.planner.windows import Relation
from gateway.upstream.requests import ListRequest, Page

__all__ = ["Scan"]


class Scan:
    """The keys of one edge and the covering lists that may answer them.

    `lists` are read in their order, side by side as far as the allowance goes. `predicted` is what
    the scan should cost.
    """

    def __init__(
        self,
        relation: Relation,
        keys: Sequence[Request],
        lists: Sequence[ListRequest[Any]],
        known: Known,
        predicted: Estimate,
        worth: "Worth",
    ) -> None:
        self.relation = relation
        self.keys = tuple(keys)
        self.predicted = predicted
        self.left = dict.fromkeys(keys)
        self._known = known
        self._worth = worth
        self._waiting = deque(lists)
        self._sent: set[ListRequest[Any]] = set()
        for request in lists:
            known.begin_covering(relation, request)

    def send(self) -> list[ListRequest[Any]]:
        """The requests that may be sent now. See Note [Allowance]."""
        allowed: list[ListRequest[Any]] = []
        while self._waiting and self.left and len(self._sent) <= len(self.keys) - len(self.left):
            request = self._waiting.popleft()
            if request not in self._sent:
                self._sent.add(request)
                allowed.append(request)
        return allowed

    def take(self, page: Page[Any]) -> dict[Request, Answer]:
        """Takes in a page that the known rows hold already; gives the keys that are certain now."""
        answers = {key: answer for key in self.left if (answer := self._known.answer(key))}
        for key in answers:
            del self.left[key]
        if page.next is not None and self.left and self._worth.going_on(page, len(self.left)):
            self._waiting.appendleft(page.request.at(page.next, MAX_PAGE_SIZE))
        return answers


class Worth:
    """Whether reading on, down to `since`, is still the cheaper way."""

    def __init__(self, costs: Costs, relation: Relation, since: datetime, concurrency: int) -> None:
        self._costs = costs
        self._relation = relation
        self._since = since
        self._concurrency = concurrency

    def going_on(self, page: Page[Any], keys: int) -> bool:
        """True when the pages down to the beginning of the windows cost less than the keys left."""
        kind = page.request.kind
        try:
            oldest = getattr(page.rows[-1], self._relation.date) if page.rows else None
        except UpstreamInvalid:
            oldest = None
        if oldest is None:
            return False
        rows = self._costs.rows(kind, max(oldest - self._since, timedelta(0)))
        pages = self._costs.pages(rows)
        per_key = self._costs.per_key(kind, keys, self._concurrency)
        return pages.requests < keys and pages.seconds <= per_key.seconds * 1.1
