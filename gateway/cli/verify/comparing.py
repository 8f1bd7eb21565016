"""Reads each edge of a page of calls in two ways: planned, and with one request for each key.

Both use PlanExecutor and OperationCache, as an operation does, each with its own policy. This
module must not know how a request is sent, nor GraphQL.

Note [What changes meanwhile]. A live call gets legs, recordings and notifications while it is being
compared. So a difference at a call that is not settled counts only if it is still there after the
page and both answers were read again.

Note [Tried where right]. The costs learn nothing here but the form of upstream's links. With the
prior estimates, the planner tries a scan wherever it is right and would pay in an account of usual
size. So two runs send the same requests, and a scan is also compared if this account would plan it
only with shorter lists. For the upward strategy, the costs learn that the top of the list is far
away; otherwise the planner would read the list from its top.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.loaders.plan_executor import PlanExecutor
from gateway.planner import Costs, OperationCache, Policy, Request, Strategy
from gateway.telemetry.upstream_trace import UpstreamTrace
from gateway.upstream.calls import CALLS, CallResource, FetchCall, ListCalls
from gateway.upstream.catalog import RESOURCES
from gateway.upstream.client import UpstreamClient
from gateway.upstream.descriptors import ResourceDescriptor
from gateway.upstream.recordings import ListRecordings
from gateway.upstream.requests import Page

__all__ = ["BATCH", "BY_SCAN", "CHECKS", "ComparedEdge", "ComparedOperation", "Difference"]

Keys = Mapping[Request, str]
BATCH = 50
EDGE_PAGE = 1000
COMPARISON_TIMEOUT = 3600.0
CHILD_CALLS, UPWARD, BY_SCAN = "childCalls", "childCalls upward", "childCalls by scan"


@dataclass(frozen=True, slots=True)
class Difference:
    """How the planned answer for a call differs from the per-key one; all SIDs."""

    call: str
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    out_of_order: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ComparedEdge:
    """The comparison of one edge: its keys, and the number of requests per key and planned.

    `pages` is how many of the planned requests read a covering list.
    """

    name: str
    keys: int = 0
    per_key: int = 0
    planned: int = 0
    pages: int = 0
    differences: tuple[Difference, ...] = ()

    def __add__(self, other: "ComparedEdge") -> "ComparedEdge":
        return ComparedEdge(
            self.name,
            self.keys + other.keys,
            self.per_key + other.per_key,
            self.planned + other.planned,
            self.pages + other.pages,
            self.differences + other.differences,
        )


@dataclass(frozen=True)
class EdgeComparison:
    """How one edge is compared: its keys, and which strategies may answer childCalls.

    With `as_page` the operation has read the calls as a page of the whole list; otherwise one by
    one, as from a filtered list, which shows nothing of their children. With `is_far` the top of
    the list counts as too far away.
    """

    name: str
    keys: Callable[[CallResource], Iterable[Request]]
    scan_child_calls: bool = False
    read_upward: bool = True
    as_page: bool = True
    is_far: bool = False


def _parent(call: CallResource) -> Iterable[Request]:
    return [FetchCall(sid=call.parent_call_sid)] if call.parent_call_sid else []


def _rows_of(resource: ResourceDescriptor[Any]) -> Callable[[CallResource], Iterable[Request]]:
    """The edge from a call to its rows of this resource."""
    return lambda call: [resource.list_of(call.sid).within(None, EDGE_PAGE)]


_children = _rows_of(CALLS)
CHECKS = (
    EdgeComparison("parentCall", _parent),
    EdgeComparison(CHILD_CALLS, _children),
    EdgeComparison(UPWARD, _children, as_page=False, is_far=True),
    EdgeComparison(BY_SCAN, _children, scan_child_calls=True, read_upward=False, as_page=False),
    *(EdgeComparison(each.name, _rows_of(each)) for each in RESOURCES if each is not CALLS),
)


class ComparedOperation:
    """Compares the edges of one page of calls, as an operation that has read this page.

    `record` is called with each call and each of its per-key answers.
    """

    def __init__(
        self,
        client: UpstreamClient,
        page: Page[CallResource],
        concurrency: int,
        record: Callable[[str, Any], None],
    ) -> None:
        self._client = client
        self._record = record
        self._page = page
        self._now = datetime.now(UTC)
        self._concurrency = concurrency

    async def compare(self, check: EdgeComparison, rows: Sequence[CallResource]) -> ComparedEdge:
        """Compares one edge of these calls."""
        keys = {key: row.sid for row in rows for key in check.keys(row)}
        planned, per_key = _trace(), _trace()
        differences = await self._differences(check, keys, planned, per_key)
        live = {key: keys[key] for key in differences if self._is_live(keys[key])}
        if live:
            confirmed = await self._compare_again(check, live)
            settled = {key: one for key, one in differences.items() if key not in live}
            differences = settled | confirmed
        return ComparedEdge(
            check.name,
            keys=len(keys),
            per_key=len(per_key.records),
            planned=len(planned.records),
            pages=sum(record.strategy == Strategy.SCAN for record in planned.records),
            differences=tuple(differences.values()),
        )

    async def _compare_again(self, check: EdgeComparison, keys: Keys) -> dict[Request, Difference]:
        """See Note [What changes meanwhile]."""
        page = await self._client.page(self._page.request)
        again = ComparedOperation(self._client, page, self._concurrency, self._record)
        return await again._differences(check, keys, _trace(), _trace())

    async def _differences(
        self, check: EdgeComparison, keys: Keys, planned: UpstreamTrace, per_key: UpstreamTrace
    ) -> dict[Request, Difference]:
        policy = Policy(
            scan_child_calls=check.scan_child_calls,
            read_upward=check.read_upward,
            concurrency=self._concurrency,
        )
        ours = await self._answers(check, keys, planned, policy)
        plain = await self._answers(check, keys, per_key, Policy(adaptive=False))
        for key, call in keys.items():
            self._record(call, plain[key])
        compared = ((key, _difference(call, ours[key], plain[key])) for key, call in keys.items())
        return {key: difference for key, difference in compared if difference}

    async def _answers(
        self, check: EdgeComparison, keys: Keys, trace: UpstreamTrace, policy: Policy
    ) -> Mapping[Request, Any]:
        costs = Costs()  # see Note [Tried where right]
        costs.learn_links(self._page)
        if check.is_far:
            costs.learn_reach(ListCalls(), self._now)
        deadline = asyncio.get_running_loop().time() + COMPARISON_TIMEOUT
        executor = PlanExecutor(
            self._client,
            self._cache(as_page=check.as_page),
            costs,
            policy,
            trace,
            deadline,
            budget=2 * len(keys) + 1,
        )
        known = {key: executor.known_answer(key) for key in keys}
        answers = {key: answer.value for key, answer in known.items() if answer}
        await executor.execute([key for key in keys if key not in answers], answers.__setitem__)
        return answers

    def _cache(self, *, as_page: bool) -> OperationCache:
        known = OperationCache(self._now)
        for answer in [self._page] if as_page else self._page.rows:
            known.record(answer)
        return known

    def _is_live(self, call: str) -> bool:
        """True for a call that is not settled, judged by its row."""
        scannable = self._cache(as_page=False).list_and_window(ListRecordings(call_sid=call))
        return scannable is None or scannable[1].is_open


def _trace() -> UpstreamTrace:
    return UpstreamTrace(asyncio.get_running_loop().time)


def _difference(call: str, planned: Any, per_key: Any) -> Difference | None:
    """The difference, or None. Of a list with more pages, only the first page is compared."""
    ours, plain = _sids(planned), _sids(per_key)
    if isinstance(per_key, Page) and per_key.next is not None:
        ours = ours[: len(plain)]
    if ours == plain:
        return None
    common = [sid for sid in plain if sid in ours]
    moved = [sid for sid, other in zip(_only(ours, common), common, strict=True) if sid != other]
    return Difference(
        call,
        missing=tuple(sid for sid in plain if sid not in ours),
        extra=tuple(sid for sid in ours if sid not in plain),
        out_of_order=tuple(moved),
    )


def _only(sids: Sequence[str], included: Sequence[str]) -> Sequence[str]:
    return [sid for sid in sids if sid in included]


def _sids(answer: Any) -> Sequence[str]:
    """The SIDs of an answer, each once. Raises the answer if it is an error."""
    if isinstance(answer, Exception):
        raise answer
    rows = answer.rows if isinstance(answer, Page) else [answer] if answer is not None else []
    return list(dict.fromkeys(row.sid for row in rows))
