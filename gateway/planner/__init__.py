"""Pure, no I/O: a batch of requests → the cheapest REST requests, and the rows back to their keys.

Three ways (PLANNER.md): *known*, answered from rows that this operation has read already; *scan*,
one covering list for the keys of an edge; *per key*, one request for each. Correctness before
thrift: a scan is planned only where `windows` says that it is right, and answers only what `known`
calls certain. This module must not know the clock, HTTP or GraphQL: values in, values out.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from gateway.planner.costs import MAX_PAGE_SIZE, Costs, Estimate, page_size
from gateway.planner.known import Answer, Known, Request
from gateway.planner.scan import Descent, Key, Scan
from gateway.planner.upward import upward
from gateway.planner.windows import CHILD_CALLS, Relation
from gateway.upstream.requests import ONE_DAY, TOP, ListRequest, midnight

__all__ = [
    "Answer",
    "Costs",
    "Estimate",
    "Known",
    "Policy",
    "Request",
    "Scan",
    "Send",
    "Way",
    "plan",
]

# The first page has to come to a key's beginning: see Note [Allowance] in scan. A probe in vain is
# one request; a scan that is not tried is one for each key.
BENEFIT_OF_DOUBT = 1.25


class Way(StrEnum):
    """How a request comes by its answer."""

    KNOWN = "known"
    SCAN = "scan"
    PER_KEY = "per-key"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed. `concurrency` is how many requests may run at once.

    Without `read_upward` childCalls are read by covering lists only, or per key (`gateway verify`).
    """

    adaptive: bool = True
    scan_child_calls: bool = False
    read_upward: bool = True
    concurrency: int = 16


PlanScan = Callable[[Relation, list[Key], Known, Costs, Policy, int], Scan | None]


@dataclass(frozen=True, slots=True)
class Send:
    """One REST request to send, and the requests that its answer serves."""

    request: Request
    serves: tuple[Request, ...]
    predicted: Estimate


def plan(
    requests: Iterable[Request], known: Known, costs: Costs, policy: Policy
) -> Sequence[Send | Scan]:
    """The REST requests to send for a batch of requests that are not known."""
    asked = list(requests)
    if not policy.adaptive:
        return per_key(asked, costs, policy)
    scans: list[Scan] = []
    scanned: set[Request] = set()
    for relation, keys in _edges(asked, known):
        for way in _ways(relation, policy):
            left = [key for key in keys if key[0] not in scanned]
            scan = way(relation, left, known, costs, policy, len(asked))
            if scan is not None:
                scans.append(scan)
                scanned.update(scan.keys)
    return [*scans, *per_key([key for key in asked if key not in scanned], costs, policy)]


def _ways(relation: Relation, policy: Policy) -> Sequence[PlanScan]:
    """How the keys of an edge may be read together, the first choice first."""
    if relation != CHILD_CALLS:
        return (_scan,)
    upward = (_upward,) if policy.read_upward else ()
    return (*upward, _scan) if policy.scan_child_calls else upward


def _upward(
    _relation: Relation, keys: list[Key], known: Known, costs: Costs, policy: Policy, asked: int
) -> Scan | None:
    return upward(keys, known, costs, policy.concurrency, asked)


def per_key(requests: Iterable[Request], costs: Costs, policy: Policy) -> list[Send]:
    """One request for each; first pages of one list that differ in size only are the largest."""
    together: dict[Request, list[Request]] = {}
    for request in requests:
        together.setdefault(_shared_key(request), []).append(request)
    return [
        Send(
            max(same, key=_page_size),
            tuple(same),
            costs.per_key(same[0].kind, 1, policy.concurrency),
        )
        for same in together.values()
    ]


def _shared_key(request: Request) -> Request:
    if isinstance(request, ListRequest) and request.page == TOP:
        return request.list
    return request


def _page_size(request: Request) -> int:
    return request.page_size if isinstance(request, ListRequest) else 1


def _edges(requests: Iterable[Request], known: Known) -> Iterable[tuple[Relation, list[Key]]]:
    """The keys that a scan would be right for, by edge."""
    edges: dict[Relation, list[Key]] = {}
    for request in requests:
        scannable = known.window(request)
        if scannable is not None:
            relation, window = scannable
            edges.setdefault(relation, []).append((request, window))
    return edges.items()


def _scan(
    relation: Relation, keys: list[Key], known: Known, costs: Costs, policy: Policy, asked: int
) -> Scan | None:
    """The covering lists of one edge, where they are predicted to be cheaper than per key."""
    kind = relation.covering.kind
    chosen: list[Key] = []
    lists: list[ListRequest[Any]] = []
    rows = 0.0
    for cluster in _clusters(keys):
        parts = _lists(relation, cluster, known.now, costs)
        total = sum(expected for _, expected in parts)
        depth = _depth(relation, cluster, known.now, costs)
        is_in_reach = depth <= MAX_PAGE_SIZE * BENEFIT_OF_DOUBT
        if is_in_reach and costs.is_cheaper(
            kind, total, len(parts), len(cluster), asked, policy.concurrency
        ):
            chosen += cluster
            lists += [part for part, _ in parts]
            rows += total
    if not chosen:
        return None
    for part in lists:
        known.begin_covering(relation, part)
    since = min(window.since for _, window in chosen)
    return Scan(
        [key for key, _ in chosen],
        lists,
        known,
        costs.pages(rows, len(lists)),
        Descent(costs, relation, since, policy.concurrency),
    )


def _depth(relation: Relation, cluster: list[Key], now: datetime, costs: Costs) -> float:
    """The expected rows above the first that can make a key certain: its window's beginning."""
    newest = max(window.since for _, window in cluster)
    last = max(window.last for _, window in cluster)
    return costs.rows(relation.covering.kind, _span(newest.date(), last, newest, now))


def _clusters(keys: list[Key]) -> list[list[Key]]:
    """Keys whose windows touch, newest first."""
    clusters: list[list[Key]] = []
    for key in sorted(keys, key=lambda key: key[1].until, reverse=True):
        if clusters and key[1].last >= min(window.first for _, window in clusters[-1]) - ONE_DAY:
            clusters[-1].append(key)
        else:
            clusters.append([key])
    return clusters


def _lists(
    relation: Relation, cluster: list[Key], now: datetime, costs: Costs
) -> list[tuple[ListRequest[Any], float]]:
    """The covering lists of a cluster and their expected rows: the days that fit a page in one."""
    since = min(window.since for _, window in cluster)
    last = max(window.last for _, window in cluster)
    kind = relation.covering.kind
    lists: list[tuple[ListRequest[Any], float]] = []
    depth = _depth(relation, cluster, now, costs)
    end = last
    while end >= since.date():
        start = end
        rows = costs.rows(kind, _span(start, end, since, now))
        while start > since.date():
            more = costs.rows(kind, _span(start - ONE_DAY, end, since, now))
            if more > MAX_PAGE_SIZE:
                break
            start, rows = start - ONE_DAY, more
        lists.append((relation.within(start, end, page_size(rows, depth)), rows))
        end = start - ONE_DAY
    return lists


def _span(first: date, last: date, since: datetime, now: datetime) -> timedelta:
    """How much of these days has to be read: not the future, nor what lies before the windows."""
    start = max(midnight(first), since)
    stop = min(midnight(last) + ONE_DAY, now)
    return max(stop - start, timedelta(0))
