"""Plans the REST requests for a batch of requests; pure, no I/O.

Three strategies: *known* answers a request from rows that this operation has read, *scan* reads one
covering list for many keys of an edge, *per key* sends one request for each key. Correctness comes
before cost: a scan is planned only where `windows` says that it is right, and answers only keys
that `operation_cache` calls certain (docs/design/planner.md). This module must not know the clock,
HTTP or GraphQL: values in, values out.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.planner.costs import Costs, Estimate
from gateway.planner.covering import covering
from gateway.planner.operation_cache import KnownAnswer, OperationCache, Request
from gateway.planner.scan import Key, Scan
from gateway.planner.upward import upward
from gateway.upstream.calls import CALLS
from gateway.upstream.requests import FIRST_PAGE, ListRequest

__all__ = [
    "Costs",
    "Estimate",
    "KnownAnswer",
    "OperationCache",
    "Policy",
    "Request",
    "Scan",
    "Send",
    "Strategy",
    "plan",
]


class Strategy(StrEnum):
    """How a request gets its answer."""

    KNOWN = "known"
    SCAN = "scan"
    PER_KEY = "per-key"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the planner may do. `concurrency` is how many requests may run at once.

    Without `read_upward`, childCalls are read from covering lists or per key (`gateway verify`).
    """

    adaptive: bool = True
    scan_child_calls: bool = False
    read_upward: bool = True
    concurrency: int = 16


PlanScan = Callable[[ListRequest[Any], list[Key], OperationCache, Costs, Policy, int], Scan | None]


@dataclass(frozen=True, slots=True)
class Send:
    """One REST request, and the requests that its response answers."""

    request: Request
    serves: tuple[Request, ...]
    predicted: Estimate


def plan(
    requests: Iterable[Request], known: OperationCache, costs: Costs, policy: Policy
) -> Sequence[Send | Scan]:
    """The REST requests and scans for a batch of requests that are not known."""
    batch = list(requests)
    if not policy.adaptive:
        return per_key(batch, costs, policy)
    scans: list[Scan] = []
    scanned: set[Request] = set()
    for account_list, keys in _scannable_edges(batch, known):
        for plan_scan in _scan_planners(account_list, policy):
            scan = plan_scan(account_list, keys, known, costs, policy, len(batch))
            if scan is not None:
                scans.append(scan)
                scanned.update(scan.keys)
                keys = [key for key in keys if key[0] not in scanned]
    rest = batch if not scanned else [key for key in batch if key not in scanned]
    return [*scans, *per_key(rest, costs, policy)]


def _scan_planners(account_list: ListRequest[Any], policy: Policy) -> Sequence[PlanScan]:
    """The ways to scan an edge, in order of preference."""
    if account_list.resource is not CALLS:
        return (_plan_covering,)
    upward = (_plan_upward,) if policy.read_upward else ()
    return (*upward, _plan_covering) if policy.scan_child_calls else upward


def _plan_upward(
    _account_list: ListRequest[Any],
    keys: list[Key],
    known: OperationCache,
    costs: Costs,
    policy: Policy,
    batch_size: int,
) -> Scan | None:
    return upward(keys, known, costs, policy.concurrency, batch_size)


def _plan_covering(
    account_list: ListRequest[Any],
    keys: list[Key],
    known: OperationCache,
    costs: Costs,
    policy: Policy,
    batch_size: int,
) -> Scan | None:
    return covering(account_list, keys, known, costs, policy.concurrency, batch_size)


def per_key(requests: Iterable[Request], costs: Costs, policy: Policy) -> list[Send]:
    """One request for each key.

    First pages of one list that differ only in size become one request of the largest size.
    """
    groups: dict[Request, list[Request]] = {}
    for request in requests:
        groups.setdefault(_group_key(request), []).append(request)
    return [
        Send(
            max(group, key=_page_size),
            tuple(group),
            costs.per_key(group[0].kind, 1, policy.concurrency),
        )
        for group in groups.values()
    ]


def _group_key(request: Request) -> Request:
    if isinstance(request, ListRequest) and request.page == FIRST_PAGE:
        return request.list
    return request


def _page_size(request: Request) -> int:
    return request.page_size if isinstance(request, ListRequest) else 1


def _scannable_edges(
    requests: Iterable[Request], known: OperationCache
) -> Iterable[tuple[ListRequest[Any], list[Key]]]:
    """Groups the keys that a scan would be right for by the account list that holds their rows."""
    edges: dict[ListRequest[Any], list[Key]] = {}
    for request in requests:
        scannable = known.list_and_window(request)
        if scannable is not None:
            account_list, window = scannable
            edges.setdefault(account_list, []).append((request, window))
    return edges.items()
