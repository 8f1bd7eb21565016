"""Asks a sample of the account's own calls both ways: planned, and one request for each key.

The planner's answers are right for lists as they were seen (its Notes say how); whether an
account's lists are like that, only the account can tell. So each edge goes the operation's own way,
Executor and Known, once with each policy. This module must not know how a request is sent, nor
GraphQL.

Note [What changes meanwhile]. A live call gets legs, recordings and notifications while it is being
compared. So a difference at a call that is not over and settled counts only if it is still there
when its page and both answers are read again.

Note [Tried where right]. But for the form of upstream's links nothing is learned here: with the
priors a scan is tried wherever it is right and an account of usual size would win by it. So two
runs ask the same, and a scan is compared that this account will only meet when its lists are
shorter.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.executor import Executor
from gateway.journal import Journal
from gateway.planner import Costs, Known, Policy, Request, Way
from gateway.upstream.client import UpstreamClient
from gateway.upstream.pages import Budget, PageWalk
from gateway.upstream.requests import (
    FetchCall,
    ListCalls,
    ListNotifications,
    ListRecordings,
    Page,
)
from gateway.upstream.resources import CallResource

__all__ = ["Difference", "Edge", "Report", "render", "verify"]

Progress = Callable[[int, int], None]
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
class Edge:
    """One edge, compared. `pages` are those of the planned requests that read a covering list."""

    name: str
    keys: int = 0
    per_key: int = 0
    planned: int = 0
    pages: int = 0
    differences: tuple[Difference, ...] = ()

    def __add__(self, other: "Edge") -> "Edge":
        return Edge(
            self.name,
            self.keys + other.keys,
            self.per_key + other.per_key,
            self.planned + other.planned,
            self.pages + other.pages,
            self.differences + other.differences,
        )


@dataclass(frozen=True, slots=True)
class Report:
    """How many calls were compared, and each edge."""

    calls: int
    edges: tuple[Edge, ...]

    @property
    def is_equal(self) -> bool:
        """True when no edge has a difference."""
        return not any(edge.differences for edge in self.edges)


async def verify(
    client: UpstreamClient, sample: int, concurrency: int, progress: Progress
) -> Report:
    """Compares the edges of the account's newest calls. Raises UpstreamError where reading fails.

    `progress` is told how many of how many comparisons are done.
    """
    calls, edges = 0, {check.name: Edge(check.name) for check in CHECKS}
    async for page, rows in _newest(client, sample):
        operation = Operation(client, page, concurrency)
        for number, check in enumerate(CHECKS, start=1):
            edges[check.name] += await operation.compare(check, rows)
            progress(calls * len(CHECKS) + len(rows) * number, sample * len(CHECKS))
        calls += len(rows)
    if calls < sample:
        progress(calls * len(CHECKS), calls * len(CHECKS))
    return Report(calls, tuple(edges.values()))


async def _newest(
    client: UpstreamClient, sample: int
) -> AsyncIterator[tuple[Page[CallResource], Sequence[CallResource]]]:
    """The newest calls, a page at a time, and which of its rows belong to the sample."""
    pages = 2 * (sample // BATCH + 1)
    start = ListCalls(page_size=min(BATCH, sample))
    walk = PageWalk(client.page, start, Budget(pages, pages * BATCH), page_size=BATCH)
    while sample > 0 and (page := await walk.turn()) is not None:
        yield page, page.rows[:sample]
        sample -= len(page.rows)


@dataclass(frozen=True)
class Check:
    """One edge: which requests ask for it, and which lists may answer childCalls.

    With `as_page` the operation has read the calls as a page of the whole list, else one by one, as
    from a filtered list: then nothing is known of their children.
    """

    name: str
    keys: Callable[[CallResource], Iterable[Request]]
    scan_child_calls: bool = False
    read_upward: bool = True
    as_page: bool = True


def _parent(call: CallResource) -> Iterable[Request]:
    return [FetchCall(sid=call.parent_call_sid)] if call.parent_call_sid else []


def _children(call: CallResource) -> Iterable[Request]:
    return [ListCalls(parent_call_sid=call.sid, page_size=EDGE_PAGE)]


def _recordings(call: CallResource) -> Iterable[Request]:
    return [ListRecordings(call_sid=call.sid, page_size=EDGE_PAGE)]


def _notifications(call: CallResource) -> Iterable[Request]:
    return [ListNotifications(call_sid=call.sid, page_size=EDGE_PAGE)]


CHECKS = (
    Check("parentCall", _parent),
    Check(CHILD_CALLS, _children),
    Check(UPWARD, _children, as_page=False),
    Check(BY_SCAN, _children, scan_child_calls=True, read_upward=False, as_page=False),
    Check("recordings", _recordings),
    Check("notifications", _notifications),
)


class Operation:
    """The edges of one page of calls, asked as an operation would that has read this page."""

    def __init__(self, client: UpstreamClient, page: Page[CallResource], concurrency: int) -> None:
        self._client = client
        self._page = page
        self._now = datetime.now(UTC)
        self._concurrency = concurrency

    async def compare(self, check: Check, rows: Sequence[CallResource]) -> Edge:
        """One edge of these calls, both ways."""
        keys = {key: row.sid for row in rows for key in check.keys(row)}
        planned, per_key = _journal(), _journal()
        found = await self._differences(check, keys, planned, per_key)
        live = {key: keys[key] for key in found if self._is_live(keys[key])}
        if live:
            still = await self._once_more(check, live)
            found = {key: it for key, it in found.items() if key not in live} | still
        return Edge(
            check.name,
            keys=len(keys),
            per_key=len(per_key.entries),
            planned=len(planned.entries),
            pages=sum(entry.way == Way.SCAN for entry in planned.entries),
            differences=tuple(found.values()),
        )

    async def _once_more(self, check: Check, keys: Keys) -> dict[Request, Difference]:
        """See Note [What changes meanwhile]."""
        page = await self._client.page(self._page.request)
        again = Operation(self._client, page, self._concurrency)
        return await again._differences(check, keys, _journal(), _journal())

    async def _differences(
        self, check: Check, keys: Keys, planned: Journal, per_key: Journal
    ) -> dict[Request, Difference]:
        policy = Policy(
            scan_child_calls=check.scan_child_calls,
            read_upward=check.read_upward,
            concurrency=self._concurrency,
        )
        ours = await self._answers(check, keys, planned, policy)
        plain = await self._answers(check, keys, per_key, Policy(adaptive=False))
        compared = ((key, _difference(call, ours[key], plain[key])) for key, call in keys.items())
        return {key: difference for key, difference in compared if difference}

    async def _answers(
        self, check: Check, keys: Keys, journal: Journal, policy: Policy
    ) -> Mapping[Request, Any]:
        costs = Costs()  # see Note [Tried where right]
        costs.note_links(self._page)
        deadline = asyncio.get_running_loop().time() + PATIENCE
        executor = Executor(
            self._client,
            self._known(as_page=check.as_page),
            costs,
            policy,
            journal,
            deadline,
            budget=2 * len(keys) + 1,
        )
        known = {key: executor.known_answer(key) for key in keys}
        answers = {key: answer.value for key, answer in known.items() if answer}
        await executor.carry_out([key for key in keys if key not in answers], answers.__setitem__)
        return answers

    def _known(self, *, as_page: bool) -> Known:
        known = Known(self._now)
        for answer in [self._page] if as_page else self._page.rows:
            known.note(answer)
        return known

    def _is_live(self, call: str) -> bool:
        """True for a call that is not over and settled, as far as its row says."""
        scannable = self._known(as_page=False).window(ListRecordings(call_sid=call))
        return scannable is None or scannable[1].is_open


def _journal() -> Journal:
    return Journal(asyncio.get_running_loop().time)


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


def render(report: Report) -> str:
    """The report as text: a table, the differences, and what follows for the settings."""
    edges = report.edges
    lines = [
        f"{report.calls} calls compared, with so many requests:",
        _line("edge", "keys", "per key", "planned", "of them lists", "differences"),
        *(_line(e.name, e.keys, e.per_key, e.planned, e.pages, len(e.differences)) for e in edges),
    ]
    for edge in edges:
        lines += [f"{edge.name} of {_describe(difference)}" for difference in edge.differences]
    return "\n".join([*lines, "", _advice(report)])


def _line(name: str, *numbers: str | int) -> str:
    return f"{name:20}" + "".join(f"{number:>15}" for number in numbers)


def _describe(difference: Difference) -> str:
    parts = {
        "missing": difference.missing,
        "extra": difference.extra,
        "out of order": difference.out_of_order,
    }
    named = (f"{name} {', '.join(sids)}" for name, sids in parts.items() if sids)
    return f"{difference.call}: {'; '.join(named)}"


def _advice(report: Report) -> str:
    """What the comparison says of GATEWAY_SCAN_CHILD_CALLS and GATEWAY_PLANNER."""
    by_scan = next(edge for edge in report.edges if edge.name == BY_SCAN)
    if any(edge.differences for edge in report.edges if edge is not by_scan):
        return "The planned way differs with the default settings: set GATEWAY_PLANNER=per-key."
    if by_scan.differences:
        return "childCalls differ when scanned: leave GATEWAY_SCAN_CHILD_CALLS off."
    if not by_scan.pages:
        return "No scan of childCalls was worth its price: nothing speaks for switching it on."
    return "No difference in this sample: GATEWAY_SCAN_CHILD_CALLS may be on for this account."
