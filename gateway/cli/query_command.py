"""`gateway query`: runs one operation in process and prints the response.

This module must not know how an operation is run.
"""

import argparse
import asyncio
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway.cli.options import Commands
from gateway.cli.paging import PagingError, all_pages
from gateway.cli.table import printable, tables
from gateway.cli.waterfall import waterfall
from gateway.settings import Settings, SettingsError
from gateway.telemetry.logs import configure_logging
from gateway.telemetry.upstream_trace import Explain

__all__ = ["add_command", "take_upstream"]


ALL_NEEDS = "--all: the operation must be a query that declares $after: String"


def add_command(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser("query", help="run one operation in process, print its response")
    parser.set_defaults(run=_query)
    parser.add_argument(
        "document",
        nargs="?",
        default="-",
        help="the GraphQL document or the name of its file; standard input if - or left out",
    )
    parser.add_argument(
        "-v",
        dest="texts",
        type=_name_and_text,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable, read as the type that the operation declares; JSON where that is a "
        "number, a boolean, a list or an input object",
    )
    parser.add_argument("--variables", default="{}", metavar="JSON", help="variables as JSON")
    parser.add_argument(
        "--operation", metavar="NAME", help="which operation of the document to run"
    )
    parser.add_argument(
        "--format",
        choices=("json", "table"),
        default="json",
        help="json: the response; table: its rows, with its errors and warnings on standard error",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--all",
        action="store_true",
        help="read all pages of the root connection as one response; it takes `after: $after` and "
        "reads `pageInfo { hasNextPage endCursor }`",
    )
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


def _name_and_text(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name, value


def _query(options: argparse.Namespace, settings: Settings) -> int:
    configure_logging(settings.server.log_level)
    document = _document(options.document)
    variables = _variables(options, document, settings)
    try:
        answer = asyncio.run(_answer(options, settings, document, variables))
    except PagingError as error:
        raise SettingsError(f"--all: {error}") from None
    upstream = take_upstream(answer)
    if upstream:
        # A plan replaces the response; an explanation accompanies it.
        stream = sys.stdout if options.plan else sys.stderr
        width = shutil.get_terminal_size().columns
        print(waterfall(upstream, width, stream.isatty(), fold=options.plan), file=stream)
        if options.plan:
            return 0
    if options.format == "table":
        _print_tables(answer)
    else:
        print(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    return 1 if "errors" in answer else 0


def _print_tables(answer: Mapping[str, Any]) -> None:
    if answer.get("data"):
        print(tables(answer["data"]))
    warnings = answer.get("extensions", {}).get("warnings", ())
    for kind, problems in (("error", answer.get("errors", ())), ("warning", warnings)):
        for problem in problems:
            path = ".".join(map(str, problem.get("path") or ()))
            print(printable(f"{kind}: {path and path + ': '}{problem['message']}"), file=sys.stderr)


def take_upstream(answer: dict[str, Any]) -> Any:
    """Removes the upstream requests from a response, and returns them; what else it says stays."""
    extensions = answer.pop("extensions", {})
    upstream = extensions.pop("upstream", None)
    if extensions:
        answer["extensions"] = extensions
    return upstream


def _document(argument: str) -> str:
    """The text of the document. Every document has a brace; what has none names a file."""
    if argument == "-":
        return sys.stdin.read()
    if "{" in argument:
        return argument
    try:
        return Path(argument).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"document: the file cannot be read: {error.strerror}") from None
    except ValueError:
        raise SettingsError("document: the file is not text in UTF-8") from None


def _variables(options: argparse.Namespace, document: str, settings: Settings) -> dict[str, Any]:
    """Those of --variables, then those of -v. Raises SettingsError."""
    from gateway.schema.declaration import Declaration  # no other command needs it

    try:
        variables = msgspec.json.decode(options.variables, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise SettingsError(f"--variables: is not a JSON object: {error}") from None
    declaration = Declaration.of(document, options.operation, settings.documents)
    if declaration is None:  # the response says why
        return {**variables, **dict(options.texts)}
    if options.all and not (declaration.is_query and declaration.declares("after")):
        raise SettingsError(ALL_NEEDS)
    for name, text in options.texts:
        if not declaration.declares(name):
            raise SettingsError(f"-v {name}: the operation declares no such variable")
        try:
            variables[name] = declaration.read(name, text)
        except ValueError as error:
            raise SettingsError(f"-v {name}: {error}") from None
    return variables


def _explain(options: argparse.Namespace) -> Explain:
    if options.plan:
        return Explain.PLAN
    return Explain.REQUESTS if options.explain else Explain.NOTHING


async def _answer(
    options: argparse.Namespace, settings: Settings, document: str, variables: dict[str, Any]
) -> dict[str, Any]:
    from gateway.server import OperationOptions, open_gateway  # no other command loads both

    wanted = OperationOptions(explain=_explain(options))
    async with open_gateway(settings) as gateway:

        async def run(given: Mapping[str, Any]) -> dict[str, Any]:
            return await gateway.execute_as_operator(document, given, options.operation, wanted)

        return await (all_pages(run, variables) if options.all else run(variables))
