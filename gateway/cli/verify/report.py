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
    """The result: how many calls were compared, each edge, and each tested assumption."""

    calls: int
    edges: tuple[ComparedEdge, ...]
    assumptions: tuple[Assumption, ...] = ()
    scans_child_calls: bool = False
    """Whether GATEWAY_SCAN_CHILD_CALLS is on, so that answers depend on the scan."""

    @property
    def is_equal(self) -> bool:
        """True when no edge differs, and no assumption that answers depend on is broken.

        A scan of childCalls that is off is reported, not counted.
        """
        is_sound = all(assumption.holds or assumption.costs_only for assumption in self.assumptions)
        counted = [e for e in self.edges if self.scans_child_calls or e.name != BY_SCAN]
        return is_sound and not any(edge.differences for edge in counted)


async def verify(
    client: UpstreamClient,
    sample: int,
    concurrency: int,
    progress: Progress,
    *,
    scans_child_calls: bool = False,
) -> Report:
    """Compares the edges of the account's newest calls. Raises UpstreamError if a read fails.

    `progress` is called with the number of comparisons done and their total.
    """
    calls, edges = 0, {check.name: ComparedEdge(check.name) for check in CHECKS}
    read, began = Sample(), datetime.now(UTC)
    async for page, rows in _newest(client, sample):
        read.calls += rows
        operation = ComparedOperation(client, page, concurrency, read.record)
        for number, check in enumerate(CHECKS, start=1):
            edges[check.name] += await operation.compare(check, rows)
            progress(calls * len(CHECKS) + len(rows) * number, sample * len(CHECKS))
        calls += len(rows)
    tested = await check_assumptions(client, read, began)
    if calls < sample:
        progress(calls * len(CHECKS), calls * len(CHECKS))
    return Report(calls, tuple(edges.values()), tuple(tested), scans_child_calls)


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
        lines += [f"{edge.name} of {_describe(difference)}" for difference in edge.differences]
    tested = ["", "The planner's assumptions (docs/design/planner.md):"]
    tested += [_assumption(assumption) for assumption in report.assumptions]
    return "\n".join([*lines, *(tested if report.assumptions else ()), "", _advice(report)])


def _assumption(assumption: Assumption) -> str:
    if not assumption.rows:
        verdict = "not seen in the sample"
    elif assumption.holds:
        verdict = f"holds, {assumption.rows} rows"
    else:
        kind = "broken (this costs requests, no answer)" if assumption.costs_only else "BROKEN"
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
    """How to set GATEWAY_SCAN_CHILD_CALLS and GATEWAY_PLANNER for this account."""
    by_scan = next(edge for edge in report.edges if edge.name == BY_SCAN)
    if any(edge.differences for edge in report.edges if edge is not by_scan):
        return "Planned answers differ with the default settings: set GATEWAY_PLANNER=per-key."
    if any(not (assumption.holds or assumption.costs_only) for assumption in report.assumptions):
        return "The account breaks an assumption of the planner: set GATEWAY_PLANNER=per-key."
    if by_scan.differences and report.scans_child_calls:
        return "childCalls differ when scanned: set GATEWAY_SCAN_CHILD_CALLS=off."
    if by_scan.differences:
        return (
            "childCalls differ when scanned: leave GATEWAY_SCAN_CHILD_CALLS off. "
            "It is off now, so no answer is wrong."
        )
    if not by_scan.pages:
        return "No scan of childCalls was worth its cost: leave GATEWAY_SCAN_CHILD_CALLS off."
    return "No difference in this sample: GATEWAY_SCAN_CHILD_CALLS may be on for this account."
