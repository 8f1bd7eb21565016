"""Covering lists: which whole days are read for the keys of one edge, where that is cheaper.

This module must not know how a page is sent, nor what the rows of a call are.

Note [One list first]. A list that may fit into one page (Note [Reach] in costs) is read as one, for
all keys at once, and in a page as large as the keys are worth: what upstream does not have costs
nothing. Only where a page of it is known to fall short are the keys divided into clusters of
neighbouring days, each with lists side by side, in pages of the size that is expected, and the
oldest keys are left out where it does not pay to read down to them.
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

# The first page has to come to a key's beginning: see Note [Allowance] in scan. A probe in vain is
# one request; a scan that is not tried is one for each key.
BENEFIT_OF_DOUBT = 1.25
# In so many steps the oldest keys of a cluster are left out.
STEPS = 16


@dataclass(frozen=True)
class Choice:
    """Keys, the lists that cover them, and how many rows these are expected to have in all."""

    keys: Sequence[Key]
    lists: Sequence[ListRequest[Any]]
    rows: float


def covering(
    account_list: ListRequest[Any],
    keys: Sequence[Key],
    known: OperationCache,
    costs: Costs,
    concurrency: int,
    asked: int,
) -> Scan | None:
    """The covering lists of one edge for those keys for which they are cheaper than per key."""
    planner = CoveringPlanner(account_list, known, costs, concurrency, asked)
    choices = list(planner.choices([key for key in keys if _is_right(account_list, key)]))
    chosen = [key for choice in choices for key in choice.keys]
    lists = [part for choice in choices for part in choice.lists]
    if not chosen:
        return None
    for part in lists:
        known.begin_covering(part)
    since = min(window.since for _, window in chosen)
    return Scan(
        [key for key, _ in chosen],
        lists,
        known,
        costs.pages(sum(choice.rows for choice in choices), len(lists)),
        ScanDown(costs, since, concurrency, known.density),
    )


def _is_right(account_list: ListRequest[Any], key: Key) -> bool:
    return account_list.resource.days_show_live or not key[1].is_open


class CoveringPlanner:
    """Chooses the lists of one edge. `asked` is how many keys wait for the same connections."""

    def __init__(
        self,
        account_list: ListRequest[Any],
        known: OperationCache,
        costs: Costs,
        concurrency: int,
        asked: int,
    ) -> None:
        self._account_list = account_list
        self._kind = account_list.kind
        self._known = known
        self._costs = costs
        self._concurrency = concurrency
        self._asked = asked

    def choices(self, keys: Sequence[Key]) -> Iterator[Choice]:
        """What to read. See Note [One list first]."""
        whole = self._as_one(keys)
        if whole is not None:
            yield whole
            return
        for cluster in _clusters(keys):
            choice = self._as_one(cluster) or self._side_by_side(cluster)
            if choice is not None:
                yield choice

    def _as_one(self, keys: Sequence[Key]) -> Choice | None:
        """One list, where it may fit into one page."""
        if len(keys) < 2:
            return None
        since, last = _ends(keys, self._known.now)
        rows = min(self._rows(since.date(), last, since), MAX_PAGE_SIZE)
        room = self._costs.room(self._kind, len(keys), self._asked, self._concurrency)
        if self._is_long(since.date(), last) or rows > room:
            return None
        size = max(page_size(rows, rows), min(int(room), MAX_PAGE_SIZE))
        return Choice(keys, [self._list(since.date(), last, size)], rows)

    def _side_by_side(self, cluster: Sequence[Key]) -> Choice | None:
        """Lists of as many days as fit a page, for as many of the newest keys as pays."""
        newest_first = sorted(cluster, key=lambda key: key[1].since, reverse=True)
        for size in range(len(cluster), 1, -max(1, len(cluster) // STEPS)):
            keys = newest_first[:size]
            parts = self._lists(keys)
            total = sum(rows for _, rows in parts)
            if self._is_in_reach(keys, parts[0][0]) and self._costs.is_cheaper(
                self._kind, total, len(parts), len(keys), self._asked, self._concurrency
            ):
                return Choice(keys, [part for part, _ in parts], total)
        return None

    def _lists(self, keys: Sequence[Key]) -> list[tuple[ListRequest[Any], float]]:
        """The days of the keys, newest first, and the expected rows of each list."""
        since, last = _ends(keys, self._known.now)
        depth = self._depth(keys, last)
        lists: list[tuple[ListRequest[Any], float]] = []
        end = last
        while end >= since.date():
            start, rows = end, self._rows(end, end, since)
            while start > since.date():
                more = self._rows(start - ONE_DAY, end, since)
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
        _, last = _ends(keys, self._known.now)
        return self._depth(keys, last) <= MAX_PAGE_SIZE * BENEFIT_OF_DOUBT

    def _is_long(self, first: date, last: date) -> bool:
        """True when a page of these days was seen to fall short of their beginning."""
        reach = self._costs.reach(self._list(first, last, MAX_PAGE_SIZE))
        return reach is not None and reach >= midnight(first)

    def _depth(self, keys: Sequence[Key], last: date) -> float:
        """The expected rows above the first that can make a key certain: its beginning."""
        newest = max(window.since for _, window in keys)
        return self._rows(newest.date(), last, newest)

    def _list(self, first: date, last: date, size: int) -> ListRequest[Any]:
        """Without an end where it comes to today: it shows live calls, too."""
        is_open = last >= self._known.now.date()
        days = DateTimeRange.days(first, None if is_open else last)
        return self._account_list.within(days, size)

    def _rows(self, first: date, last: date, since: datetime) -> float:
        """The expected rows of these days: not of the future, nor before the windows."""
        start = max(midnight(first), since)
        stop = max(start, min(midnight(last) + ONE_DAY, self._known.now))
        return self._costs.expected(self._kind, self._known.density.of(start, stop))


def _ends(keys: Sequence[Key], now: datetime) -> tuple[datetime, date]:
    """The beginning of the first window, and the day of the last one's end, at most today."""
    since = min(window.since for _, window in keys)
    last = max(window.last for _, window in keys)
    return since, max(min(last, now.date()), since.date())


def _clusters(keys: Sequence[Key]) -> list[list[Key]]:
    """Keys whose windows touch, newest first."""
    clusters: list[list[Key]] = []
    for key in sorted(keys, key=lambda key: key[1].until, reverse=True):
        if clusters and key[1].last >= min(window.first for _, window in clusters[-1]) - ONE_DAY:
            clusters[-1].append(key)
        else:
            clusters.append([key])
    return clusters
