"""`gateway query`: runs one operation in process and prints the response.

This module must not know how an operation is run.
"""

import argparse
import asyncio
import shutil
import sys
from typing import Any

import msgspec

from gateway.cli.options import Commands
from gateway.cli.waterfall import waterfall
from gateway.settings import Settings, SettingsError
from gateway.telemetry.logs import configure_logging
from gateway.telemetry.upstream_trace import Explain

__all__ = ["add_command"]


def add_command(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser("query", help="run one operation in process, print its response")
    parser.set_defaults(run=_query)
    parser.add_argument(
        "document", help="the GraphQL document, or - to read it from standard input"
    )
    parser.add_argument("--variables", default="{}", metavar="JSON", help="variables as JSON")
    parser.add_argument(
        "--operation", metavar="NAME", help="which operation of the document to run"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--explain",
        action="store_true",
        help="also draw the upstream requests, on standard error",
    )
    mode.add_argument(
        "--plan",
        action="store_true",
        help="only draw the planned upstream requests; sends one request at most",
    )


def _query(options: argparse.Namespace, settings: Settings) -> int:
    configure_logging(settings.server.log_level)
    document = sys.stdin.read() if options.document == "-" else options.document
    try:
        variables = msgspec.json.decode(options.variables, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise SettingsError(f"--variables: is not a JSON object: {error}") from None
    answer = asyncio.run(
        _answer(settings, document, variables, options.operation, _explain(options))
    )
    upstream = answer.pop("extensions", {}).get("upstream")
    if upstream:
        # A plan replaces the response; an explanation accompanies it.
        stream = sys.stdout if options.plan else sys.stderr
        width = shutil.get_terminal_size().columns
        print(waterfall(upstream, width, stream.isatty(), fold=options.plan), file=stream)
        if options.plan:
            return 0
    print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    return 1 if "errors" in answer else 0


def _explain(options: argparse.Namespace) -> Explain:
    if options.plan:
        return Explain.PLAN
    return Explain.REQUESTS if options.explain else Explain.NOTHING


async def _answer(
    settings: Settings,
    document: str,
    variables: dict[str, Any],
    operation: str | None,
    explain: Explain,
) -> dict[str, Any]:
    from gateway.server import OperationOptions, open_gateway  # no other command loads both

    async with open_gateway(settings) as gateway:
        return await gateway.execute_as_operator(
            document, variables, operation, OperationOptions(explain=explain)
        )
