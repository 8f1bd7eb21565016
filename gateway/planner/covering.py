"""Covering lists: which whole days to read for the keys of one edge, where that is cheaper.

This module must not know how a page is sent, nor what the rows of a call are.

Note [One list first]. A list that may fit into one page (Note [Reach] in costs) is read as one list
for all keys, in a page as large as the keys are worth: rows that upstream does not have cost
nothing. Where its page is known to fall short, the keys are divided into clusters of neighbouring
days. Each cluster is read as parallel lists in pages of the expected size. Its oldest keys are left
out where reading down to them does not pay.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from gateway.planner.costs import MAX_PAGE_SIZE, Costs, page_size
from gateway.planner.operation_cache import OperationCache
from gateway.planner.scan import Key, Scan, ScanDown
from gateway.upstream.date_ranges import ONE_DAY, DateTimeRange, midnight
from gateway.upstream.requests import ListRequest

__all__ = ["covering"]

# A first page must reach a key's beginning (Note [Allowance] in scan). A list is tried if that is
# expected within this many pages: a probe in vain is one request, no probe is one for each key.
DEPTH_TOLERANCE = 1.25
# The oldest keys of a cluster are left out in this many steps.
DROP_STEPS = 16


@dataclass(frozen=True)
class Choice:
    """Keys, the lists that cover them, and the expected rows of these lists together."""

    keys: Sequence[Key]
    lists: Sequence[ListRequest[Any]]
    rows: float


def covering(
    account_list: ListRequest[Any],
    keys: Sequence[Key],
    known: OperationCache,
    costs: Costs,
    concurrency: int,
    batch_size: int,
) -> Scan | None:
    """The scan of covering lists for the keys of one edge for which it is cheaper than per key."""
    planner = CoveringPlanner(account_list, known, costs, concurrency, batch_size)
    choices = list(planner.choices([key for key in keys if _can_be_covered(account_list, key)]))
    chosen = [key for choice in choices for key in choice.keys]
    lists = [request for choice in choices for request in choice.lists]
    if not chosen:
        return None
    for request in lists:
        known.begin_covering(request)
    since = min(window.since for _, window in chosen)
    return Scan(
        [key for key, _ in chosen],
        lists,
        known,
        costs.pages(sum(choice.rows for choice in choices), len(lists)),
        ScanDown(costs, since, concurrency, known.density),
    )


def _can_be_covered(account_list: ListRequest[Any], key: Key) -> bool:
    """False for a live call where a list by days does not show live rows."""
    return account_list.resource.day_filter_keeps_live or not key[1].is_open


class CoveringPlanner:
    """Chooses the lists of one edge. `batch_size` is how many keys share the connections."""

    def __init__(
        self,
        account_list: ListRequest[Any],
        known: OperationCache,
        costs: Costs,
        concurrency: int,
        batch_size: int,
    ) -> None:
        self._account_list = account_list
        self._kind = account_list.kind
        self._known = known
        self._costs = costs
        self._concurrency = concurrency
        self._batch_size = batch_size

    def choices(self, keys: Sequence[Key]) -> Iterator[Choice]:
        """The lists to read. See Note [One list first]."""
        one_list = self._one_list(keys)
        if one_list is not None:
            yield one_list
            return
        for cluster in _clusters(keys):
            choice = self._one_list(cluster) or self._parallel_lists(cluster)
            if choice is not None:
                yield choice

    def _one_list(self, keys: Sequence[Key]) -> Choice | None:
        """One list for all keys, where it may fit into one page."""
        if len(keys) < 2:
            return None
        since, last = _span(keys, self._known.now)
        rows = min(self._expected_rows(since.date(), last, since), MAX_PAGE_SIZE)
        affordable = self._costs.affordable_rows(
            self._kind, len(keys), self._batch_size, self._concurrency
        )
        if self._exceeds_page(since.date(), last) or rows > affordable:
            return None
        size = max(page_size(rows, rows), min(int(affordable), MAX_PAGE_SIZE))
        return Choice(keys, [self._list(since.date(), last, size)], rows)

    def _parallel_lists(self, cluster: Sequence[Key]) -> Choice | None:
        """Lists of as many days as fit into a page, for as many of the newest keys as pay."""
        newest_first = sorted(cluster, key=lambda key: key[1].since, reverse=True)
        for size in range(len(cluster), 1, -max(1, len(cluster) // DROP_STEPS)):
            keys = newest_first[:size]
            lists = self._lists(keys)
            total = sum(rows for _, rows in lists)
            if self._is_in_reach(keys, lists[0][0]) and self._costs.is_cheaper(
                self._kind, total, len(lists), len(keys), self._batch_size, self._concurrency
            ):
                return Choice(keys, [request for request, _ in lists], total)
        return None

    def _lists(self, keys: Sequence[Key]) -> list[tuple[ListRequest[Any], float]]:
        """Lists of the keys' days, newest first, each with its expected rows."""
        since, last = _span(keys, self._known.now)
        depth = self._depth(keys, last)
        lists: list[tuple[ListRequest[Any], float]] = []
        end = last
        while end >= since.date():
            start, rows = end, self._expected_rows(end, end, since)
            while start > since.date():
                more = self._expected_rows(start - ONE_DAY, end, since)
                if more > MAX_PAGE_SIZE:
                    break
                start, rows = start - ONE_DAY, more
            lists.append((self._list(start, end, page_size(rows, depth)), rows))
            end = start - ONE_DAY
        return lists

    def _is_in_reach(self, keys: Sequence[Key], first: ListRequest[Any]) -> bool:
        """True when one page is expected to come down to the beginning of the newest key."""
        newest = max(window.since for _, window in keys)
        reach = self._costs.reach(first)
        if reach is not None and newest <= reach:
            return False
        _, last = _span(keys, self._known.now)
        return self._depth(keys, last) <= MAX_PAGE_SIZE * DEPTH_TOLERANCE

    def _exceeds_page(self, first: date, last: date) -> bool:
        """True when a page of these days is known to end above their beginning."""
        reach = self._costs.reach(self._list(first, last, MAX_PAGE_SIZE))
        return reach is not None and reach >= midnight(first)

    def _depth(self, keys: Sequence[Key], last: date) -> float:
        """The expected rows above the newest key's beginning, where a first key can be certain."""
        newest = max(window.since for _, window in keys)
        return self._expected_rows(newest.date(), last, newest)

    def _list(self, first: date, last: date, size: int) -> ListRequest[Any]:
        """The list of these days; open-ended if it includes today, so that it shows live calls."""
        is_open = last >= self._known.now.date()
        days = DateTimeRange.days(first, None if is_open else last)
        return self._account_list.within(days, size)

    def _expected_rows(self, first: date, last: date, since: datetime) -> float:
        """The expected rows of these days, neither in the future nor before `since`."""
        start = max(midnight(first), since)
        stop = max(start, min(midnight(last) + ONE_DAY, self._known.now))
        return self._costs.expected_rows(self._kind, self._known.density.portion(start, stop))


def _span(keys: Sequence[Key], now: datetime) -> tuple[datetime, date]:
    """The beginning of the first window and the last day of all windows, at most today."""
    since = min(window.since for _, window in keys)
    last = max(window.last for _, window in keys)
    return since, max(min(last, now.date()), since.date())


def _clusters(keys: Sequence[Key]) -> list[list[Key]]:
    """Groups keys whose windows touch or lie on neighbouring days, newest first."""
    clusters: list[list[Key]] = []
    for key in sorted(keys, key=lambda key: key[1].until, reverse=True):
        if clusters and key[1].last >= min(window.first for _, window in clusters[-1]) - ONE_DAY:
            clusters[-1].append(key)
        else:
            clusters.append([key])
    return clusters
