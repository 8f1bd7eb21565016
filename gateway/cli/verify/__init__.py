"""What `gateway verify` does: it compares planned answers with those of one request for each key.

This module must not know how a request is sent, nor GraphQL.
"""

import argparse
import asyncio
import sys
from dataclasses import replace

from gateway.cli.verify.report import Report, render, verify
from gateway.errors import BudgetExceeded, UpstreamError
from gateway.planner import Policy
from gateway.server import open_gateway
from gateway.settings import PlannerMode, Settings, Switch
from gateway.telemetry.logs import configure_logging

__all__ = ["run"]

BAR = 30
"""Characters of the progress bar."""


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Prints the report; the exit code."""
    configure_logging(settings.server.log_level)
    try:
        report = asyncio.run(_verified(settings, options.sample))
    except (UpstreamError, BudgetExceeded) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 2
    print(render(report))
    return 0 if report.is_equal else 1


async def _verified(settings: Settings, sample: int) -> Report:
    # What another gateway has read, a scan would not read.
    alone = replace(settings, upstream=replace(settings.upstream, cache_store_url=None))
    async with open_gateway(alone) as gateway:
        policy = Policy(
            adaptive=settings.operation.planner is PlannerMode.ADAPTIVE,
            scan_child_calls=settings.operation.scan_child_calls is Switch.ON,
            concurrency=gateway.client.concurrency,
        )
        return await verify(gateway.client, sample, policy, _show_progress)


def _show_progress(done: int, total: int) -> None:
    """A bar on a terminal, else a line for each step; on standard error."""
    if not sys.stderr.isatty():
        print(f"{done} of {total} compared", file=sys.stderr)
        return
    filled = BAR * done // max(total, 1)
    bar = "\u2588" * filled + "\u2591" * (BAR - filled)
    end = "\n" if done == total else ""
    print(f"\r{bar} {done} of {total} compared", end=end, file=sys.stderr, flush=True)
