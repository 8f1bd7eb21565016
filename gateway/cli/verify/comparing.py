"""Each edge of a page of calls, asked both ways: planned, and one request for each key.

Each edge goes the operation's own way, Executor and Known, once with each policy. This module must
not know how a request is sent, nor GraphQL.

Note [What changes meanwhile]. A live call gets legs, recordings and notifications while it is being
compared. So a difference at a call that is not over and settled counts only if it is still there
when its page and both answers are read again.

Note [Tried where right]. But for the form of upstream's links nothing is learned here: with the
priors a scan is tried wherever it is right and an account of usual size would win by it. So two
runs ask the same, and a scan is compared that this account will only meet when its lists are
shorter. Upward, the list's top is taken to be far away: else it would be read from there.
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
PATIENCE = 3600.0
CHILD_CALLS, UPWARD, BY_SCAN = "childCalls", "childCalls upward", "childCalls by scan"


@dataclass(frozen=True, slots=True)
class Difference:
    """What the planned answer has otherwise than the per-key one; all SIDs."""

    call: str
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    out_of_order: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ComparedEdge:
    """One edge, compared. `pages` are those of the planned requests that read a covering list."""

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
    """One edge: which requests ask for it, and which lists may answer childCalls.

    With `as_page` the operation has read the calls as a page of the whole list, else one by one, as
    from a filtered list: then nothing is known of their children. With `is_far` it is known that
    the list's top is too far away.
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
    """The edge that leads from a call to its rows of this resource."""
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
    """The edges of one page of calls, asked as an operation would that has read this page."""

    def __init__(
        self,
        client: UpstreamClient,
        page: Page[CallResource],
        concurrency: int,
        note: Callable[[str, Any], None],
    ) -> None:
        self._client = client
        self._note = note
        self._page = page
        self._now = datetime.now(UTC)
        self._concurrency = concurrency

    async def compare(self, check: EdgeComparison, rows: Sequence[CallResource]) -> ComparedEdge:
        """One edge of these calls, both ways."""
        keys = {key: row.sid for row in rows for key in check.keys(row)}
        planned, per_key = _trace(), _trace()
        found = await self._differences(check, keys, planned, per_key)
        live = {key: keys[key] for key in found if self._is_live(keys[key])}
        if live:
            still = await self._once_more(check, live)
            found = {key: it for key, it in found.items() if key not in live} | still
        return ComparedEdge(
            check.name,
            keys=len(keys),
            per_key=len(per_key.records),
            planned=len(planned.records),
            pages=sum(record.way == Strategy.SCAN for record in planned.records),
            differences=tuple(found.values()),
        )

    async def _once_more(self, check: EdgeComparison, keys: Keys) -> dict[Request, Difference]:
        """See Note [What changes meanwhile]."""
        page = await self._client.page(self._page.request)
        again = ComparedOperation(self._client, page, self._concurrency, self._note)
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
            self._note(call, plain[key])
        compared = ((key, _difference(call, ours[key], plain[key])) for key, call in keys.items())
        return {key: difference for key, difference in compared if difference}

    async def _answers(
        self, check: EdgeComparison, keys: Keys, trace: UpstreamTrace, policy: Policy
    ) -> Mapping[Request, Any]:
        costs = Costs()  # see Note [Tried where right]
        costs.note_links(self._page)
        if check.is_far:
            costs.note_reach(ListCalls(), self._now)
        deadline = asyncio.get_running_loop().time() + PATIENCE
        executor = PlanExecutor(
            self._client,
            self._known(as_page=check.as_page),
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

    def _known(self, *, as_page: bool) -> OperationCache:
        known = OperationCache(self._now)
        for answer in [self._page] if as_page else self._page.rows:
            known.note(answer)
        return known

    def _is_live(self, call: str) -> bool:
        """True for a call that is not over and settled, as far as its row says."""
        scannable = self._known(as_page=False).window(ListRecordings(call_sid=call))
        return scannable is None or scannable[1].is_open


def _trace() -> UpstreamTrace:
    return UpstreamTrace(asyncio.get_running_loop().time)


def _difference(call: str, planned: Any, per_key: Any) -> Difference | None:
    """What differs; of a list that goes on past its page, only that page is compared."""
    ours, plain = _sids(planned), _sids(per_key)
    if isinstance(per_key, Page) and per_key.next is not None:
        ours = ours[: len(plain)]
    if ours == plain:
        return None
    common = [sid for sid in plain if sid in ours]
    moved = [sid for sid, other in zip(_of(ours, common), common, strict=True) if sid != other]
    return Difference(
        call,
        missing=tuple(sid for sid in plain if sid not in ours),
        extra=tuple(sid for sid in ours if sid not in plain),
        out_of_order=tuple(moved),
    )


def _of(sids: Sequence[str], wanted: Sequence[str]) -> Sequence[str]:
    return [sid for sid in sids if sid in wanted]


def _sids(answer: Any) -> Sequence[str]:
    """The SIDs of an answer, each once. Raises it where it is an error."""
    if isinstance(answer, Exception):
        raise answer
    rows = answer.rows if isinstance(answer, Page) else [answer] if answer is not None else []
    return list(dict.fromkeys(row.sid for row in rows))
