"""Reads a sample of the account's calls in two ways, planned and per key, and reports differences.

The planner's answers depend on assumptions about Twilio's lists (see docs/design/planner.md). Only
the account can show whether its lists meet them. So this module compares the edges of the newest
calls and tests each assumption on their rows. It must not know how a request is sent, nor GraphQL.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.cli.verify.assumptions import Assumption, Sample, check_assumptions
from gateway.cli.verify.comparing import (
    BATCH,
    BY_SCAN,
    CHECKS,
    ComparedEdge,
    ComparedOperation,
    Difference,
)
from gateway.planner import Policy
from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.client import UpstreamClient
from gateway.upstream.pages import Budget, PageWalk
from gateway.upstream.requests import Page

__all__ = ["Assumption", "Difference", "Report", "render", "verify"]

Progress = Callable[[int, int], None]
# How many of the SIDs that contradict an assumption are printed.
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Report:
    """The result: how many calls were compared, each edge, and each tested assumption.

    `policy` is that of operations. What it leaves off is reported, not counted.
    """

    calls: int
    edges: tuple[ComparedEdge, ...]
    assumptions: tuple[Assumption, ...]
    policy: Policy

    @property
    def is_equal(self) -> bool:
        """True when no edge that counts differs, and no assumption that counts is broken."""
        differ = any(edge.differences for edge in self.edges if self.counts_edge(edge))
        return not differ and all(each.holds for each in self.assumptions if self.counts(each))

    def counts_edge(self, edge: ComparedEdge) -> bool:
        """True if operations read an edge in this way."""
        return self.policy.adaptive and (self.policy.scan_child_calls or edge.name != BY_SCAN)

    def counts(self, assumption: Assumption) -> bool:
        """True if answers of operations depend on this assumption."""
        is_used = self.policy.adaptive or not assumption.planner_only
        return is_used and not assumption.costs_only


async def verify(
    client: UpstreamClient,
    sample: int,
    policy: Policy,
    progress: Progress,
) -> Report:
    """Compares the edges of the account's newest calls. Raises UpstreamError if a read fails.

    `policy` is that of operations; it decides what counts, and how many requests run at once.
    `progress` is called with the number of comparisons done and their total.
    """
    calls, edges = 0, {check.name: ComparedEdge(check.name) for check in CHECKS}
    read, began = Sample(), datetime.now(UTC)
    async for page, rows in _newest(client, sample):
        read.calls += rows
        operation = ComparedOperation(client, page, policy.concurrency, read.record)
        for number, check in enumerate(CHECKS, start=1):
            edges[check.name] += await operation.compare(check, rows)
            progress(calls * len(CHECKS) + len(rows) * number, sample * len(CHECKS))
        calls += len(rows)
    tested = await check_assumptions(client, read, began)
    if calls < sample:
        progress(calls * len(CHECKS), calls * len(CHECKS))
    return Report(calls, tuple(edges.values()), tuple(tested), policy)


async def _newest(
    client: UpstreamClient, sample: int
) -> AsyncIterator[tuple[Page[CallResource], Sequence[CallResource]]]:
    """The newest calls, a page at a time, each with its rows that belong to the sample."""
    pages = 2 * (sample // BATCH + 1)
    start = ListCalls(page_size=min(BATCH, sample))
    walk = PageWalk(client.page, start, Budget(pages, pages * BATCH), page_size=BATCH)
    while sample > 0 and (page := await walk.next_page()) is not None:
        yield page, page.rows[:sample]
        sample -= len(page.rows)


def render(report: Report) -> str:
    """The report as text: a table, the differences, the assumptions, and the settings to use."""
    edges = report.edges
    lines = [
        f"{report.calls} calls compared, by edge, with the number of requests per key and planned:",
        _line("edge", "keys", "per key", "planned", "of them scans", "differences"),
        *(_line(e.name, e.keys, e.per_key, e.planned, e.pages, len(e.differences)) for e in edges),
    ]
    for edge in edges:
        off = "" if report.counts_edge(edge) else " (not counted, since this way is off)"
        lines += [f"{edge.name} of {_describe(difference)}{off}" for difference in edge.differences]
    tested = ["", "The planner's assumptions (docs/design/planner.md):"]
    tested += [_assumption(each, report) for each in report.assumptions]
    return "\n".join([*lines, *(tested if report.assumptions else ()), "", _advice(report)])


def _assumption(assumption: Assumption, report: Report) -> str:
    if not assumption.rows:
        verdict = "not seen in the sample"
    elif assumption.holds:
        verdict = f"holds, {assumption.rows} rows"
    else:
        harmless = (
            "costs requests, no answer" if assumption.costs_only else "counts only if planned"
        )
        kind = "BROKEN" if report.counts(assumption) else f"broken (this {harmless})"
        shown = ", ".join(assumption.broken[:SHOWN]) + (", …" if assumption.broken[SHOWN:] else "")
        verdict = f"{kind}, {len(assumption.broken)} of {assumption.rows} rows: {shown}"
    return f"- {assumption.name}: {verdict} ({assumption.how})"


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
    """How to set GATEWAY_PLANNER and GATEWAY_SCAN_CHILD_CALLS for this account."""
    by_scan = next(edge for edge in report.edges if edge.name == BY_SCAN)
    differ = any(edge.differences for edge in report.edges if edge is not by_scan)
    broken = [each for each in report.assumptions if not (each.holds or each.costs_only)]
    if not report.policy.adaptive and any(report.counts(each) for each in broken):
        return "The account breaks an assumption that GATEWAY_PLANNER=per-key depends on, too."
    if differ or broken:
        what = (
            "Planned answers differ"
            if differ
            else "The account breaks an assumption of the planner"
        )
        if report.policy.adaptive:
            return f"{what}: set GATEWAY_PLANNER=per-key."
        return f"{what}: leave GATEWAY_PLANNER=per-key, which avoids this."
    if by_scan.differences and report.counts_edge(by_scan):
        return "childCalls differ when scanned: set GATEWAY_SCAN_CHILD_CALLS=off."
    if by_scan.differences:
        return (
            "childCalls differ when scanned: leave GATEWAY_SCAN_CHILD_CALLS off. "
            "No scan is used now, so no answer is wrong."
        )
    if not by_scan.pages:
        return "No scan of childCalls was worth its cost: leave GATEWAY_SCAN_CHILD_CALLS off."
    return "No difference in this sample: GATEWAY_SCAN_CHILD_CALLS may be on for this account."
