"""Pure, no I/O: a batch of requests → the cheapest REST requests, and the rows back to their keys.

Three ways (PLANNER.md): *known*, answered from rows that this operation has read already; *scan*,
one covering list for the keys of an edge; *per key*, one request for each. Correctness before
thrift: a scan is planned only where `windows` says that it is right, and answers only what
`operation_cache` calls certain. This module must not know the clock, HTTP or GraphQL: values in,
values out.
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
from gateway.upstream.requests import TOP, ListRequest

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


PlanScan = Callable[[ListRequest[Any], list[Key], OperationCache, Costs, Policy, int], Scan | None]


@dataclass(frozen=True, slots=True)
class Send:
    """One REST request to send, and the requests that its answer serves."""

    request: Request
    serves: tuple[Request, ...]
    predicted: Estimate


def plan(
    requests: Iterable[Request], known: OperationCache, costs: Costs, policy: Policy
) -> Sequence[Send | Scan]:
    """The REST requests to send for a batch of requests that are not known."""
    asked = list(requests)
    if not policy.adaptive:
        return per_key(asked, costs, policy)
    scans: list[Scan] = []
    scanned: set[Request] = set()
    for account_list, keys in _edges(asked, known):
        for way in _ways(account_list, policy):
            left = [key for key in keys if key[0] not in scanned]
            scan = way(account_list, left, known, costs, policy, len(asked))
            if scan is not None:
                scans.append(scan)
                scanned.update(scan.keys)
    return [*scans, *per_key([key for key in asked if key not in scanned], costs, policy)]


def _ways(account_list: ListRequest[Any], policy: Policy) -> Sequence[PlanScan]:
    """How the keys of an edge may be read together, the first choice first."""
    if account_list.resource is not CALLS:
        return (_scan,)
    upward = (_upward,) if policy.read_upward else ()
    return (*upward, _scan) if policy.scan_child_calls else upward


def _upward(
    _account_list: ListRequest[Any],
    keys: list[Key],
    known: OperationCache,
    costs: Costs,
    policy: Policy,
    asked: int,
) -> Scan | None:
    return upward(keys, known, costs, policy.concurrency, asked)


def _scan(
    account_list: ListRequest[Any],
    keys: list[Key],
    known: OperationCache,
    costs: Costs,
    policy: Policy,
    asked: int,
) -> Scan | None:
    return covering(account_list, keys, known, costs, policy.concurrency, asked)


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


def _edges(
    requests: Iterable[Request], known: OperationCache
) -> Iterable[tuple[ListRequest[Any], list[Key]]]:
    """The keys that a scan would be right for, by the account's list that holds their rows."""
    edges: dict[ListRequest[Any], list[Key]] = {}
    for request in requests:
        scannable = known.window(request)
        if scannable is not None:
            account_list, window = scannable
            edges.setdefault(account_list, []).append((request, window))
    return edges.items()
