"""Reads a sample of the account's calls in two ways, planned and per key, and reports differences.

The planner's answers rest on assumptions about Twilio's lists (its Notes say which), and only the
account can show whether its lists meet them. So the edges of its newest calls are compared, and
each assumption is tested on their rows. This module must not know how a request is sent, nor
GraphQL.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.cli.verify.assumptions import Assumption, Seen, trusts
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
# How many of the rows that break an assumption are named.
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Report:
    """The result: how many calls were compared, each edge, and each tested assumption."""

    calls: int
    edges: tuple[ComparedEdge, ...]
    trusts: tuple[Assumption, ...] = ()

    @property
    def is_equal(self) -> bool:
        """True when no edge differs, and no assumption that answers rest on is broken."""
        is_sound = all(trust.holds or trust.costs_only for trust in self.trusts)
        return is_sound and not any(edge.differences for edge in self.edges)


async def verify(
    client: UpstreamClient, sample: int, concurrency: int, progress: Progress
) -> Report:
    """Compares the edges of the account's newest calls. Raises UpstreamError where reading fails.

    `progress` is called with the number of comparisons done and their total.
    """
    calls, edges = 0, {check.name: ComparedEdge(check.name) for check in CHECKS}
    seen, began = Seen(), datetime.now(UTC)
    async for page, rows in _newest(client, sample):
        seen.calls += rows
        operation = ComparedOperation(client, page, concurrency, seen.record)
        for number, check in enumerate(CHECKS, start=1):
            edges[check.name] += await operation.compare(check, rows)
            progress(calls * len(CHECKS) + len(rows) * number, sample * len(CHECKS))
        calls += len(rows)
    tested = await trusts(client, seen, began)
    if calls < sample:
        progress(calls * len(CHECKS), calls * len(CHECKS))
    return Report(calls, tuple(edges.values()), tuple(tested))


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
        f"{report.calls} calls compared, by edge, with the requests of each way:",
        _line("edge", "keys", "per key", "planned", "of them lists", "differences"),
        *(_line(e.name, e.keys, e.per_key, e.planned, e.pages, len(e.differences)) for e in edges),
    ]
    for edge in edges:
        lines += [f"{edge.name} of {_describe(difference)}" for difference in edge.differences]
    trusts = ["", "What the planner takes for granted (docs/design/planner.md):"]
    trusts += [_trust(trust) for trust in report.trusts]
    return "\n".join([*lines, *(trusts if report.trusts else ()), "", _advice(report)])


def _trust(trust: Assumption) -> str:
    if not trust.rows:
        verdict = "not seen in the sample"
    elif trust.holds:
        verdict = f"holds, {trust.rows} rows"
    else:
        kind = "broken (this costs requests, no answer)" if trust.costs_only else "BROKEN"
        shown = ", ".join(trust.broken[:SHOWN]) + (", …" if trust.broken[SHOWN:] else "")
        verdict = f"{kind}, {len(trust.broken)} of {trust.rows} rows: {shown}"
    return f"- {trust.name}: {verdict} ({trust.how})"


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
    if any(not (trust.holds or trust.costs_only) for trust in report.trusts):
        return "The account breaks an assumption of the planner: set GATEWAY_PLANNER=per-key."
    if by_scan.differences:
        return "childCalls differ when scanned: leave GATEWAY_SCAN_CHILD_CALLS off."
    if not by_scan.pages:
        return "No scan of childCalls was worth its cost: leave GATEWAY_SCAN_CHILD_CALLS off."
    return "No difference in this sample: GATEWAY_SCAN_CHILD_CALLS may be on for this account."
