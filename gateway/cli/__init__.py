"""The command line: one module for each command; without a command the gateway serves.

A command reads arguments, prints and exits; it must not decide how a query is answered. Exit codes:
0 done; 1 a response with errors, a difference that verify found, a document to correct, or a
gateway that did not respond to healthcheck; 2 wrong arguments or settings, a port in use, an
account or a store that could not be read, or a running gateway that does not answer.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.cli import (
    check_command,
    documents_command,
    healthcheck_command,
    query_command,
    sandbox_command,
    schema_command,
    serve_command,
    tail_command,
    token_command,
    trigger_command,
    verify_command,
)
from gateway.cli.options import Commands, option_of
from gateway.settings import Settings, SettingsError, unknown_settings

__all__ = ["main"]

DESCRIPTION = """\
A GraphQL gateway over Twilio's Calls resource. Without a command it serves:
`gateway --port 8080` is the same as `gateway serve --port 8080`."""
GROUPS = {
    "run the gateway": (serve_command, check_command, healthcheck_command, token_command),
    "ask it from the shell": (query_command, tail_command, schema_command, documents_command),
    "test without risk": (sandbox_command, trigger_command, verify_command),
}
EPILOG = """\
`gateway COMMAND --help` shows the options of a command.

Settings come from the environment: TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN
(or TWILIO_API_KEY and TWILIO_API_SECRET) connect the gateway to Twilio; without
them an embedded sandbox with example calls answers. docs/settings.md lists all."""
OF_ALL_COMMANDS = {"-h", "--help", "--version"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    parser = _parser()
    _complete(parser)
    options = parser.parse_args(_with_command(sys.argv[1:] if arguments is None else arguments))
    typed = {name: text for name, text in vars(options).items() if name.isupper() and text}
    for line in unknown_settings(os.environ):
        print(f"gateway: warning: {line}", file=sys.stderr)
    try:
        settings = Settings.from_environment(os.environ, typed)
        code: int = options.run(options, settings)
        return code
    except SettingsError as error:
        print(f"gateway: {_as_typed(str(error), typed)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _with_command(arguments: Sequence[str]) -> Sequence[str]:
    """The arguments, with the default command where they begin with no command."""
    first = next(iter(arguments), "--")
    is_default = first.startswith("-") and first not in OF_ALL_COMMANDS
    return ["serve", *arguments] if is_default else arguments


def _as_typed(message: str, typed: Iterable[str]) -> str:
    """The message with the options that were typed in place of the variables they override."""
    for name in typed:
        message = re.sub(rf"\b{name}\b", option_of(name), message)
    return message


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway",
        usage="gateway [COMMAND] [options]",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    subparsers = parser.add_subparsers(
        prog="gateway", metavar="COMMAND", required=True, help=argparse.SUPPRESS
    )
    groups = [Commands(heading, subparsers) for heading in GROUPS]
    for group, commands in zip(groups, GROUPS.values(), strict=True):
        for command in commands:
            command.add_command(group)
    parser.epilog = "\n\n".join([*map(str, groups), EPILOG])
    return parser


class _Version(argparse.Action):
    """Prints the version, which is read only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version  # no command needs it

        print(f"gateway {version('twilio-calls-gateway')}")
        parser.exit()


def _complete(parser: argparse.ArgumentParser) -> None:
    """Answers a shell that asks how the words so far may go on, if the extra is installed."""
    if "_ARGCOMPLETE" in os.environ:
        try:
            import argcomplete  # only a shell's question needs it
        except ImportError:
            return
        argcomplete.autocomplete(parser)
