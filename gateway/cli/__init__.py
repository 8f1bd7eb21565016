"""The command line: one module for each command; without a command the gateway serves.

A command reads arguments, prints and exits; it must not decide how a query is answered. Exit codes:
0 done; 1 a response with errors, or a difference that verify found; 2 wrong arguments or settings,
a port in use, or an account that verify could not read.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from gateway.cli import (
    query_command,
    sandbox_command,
    schema_command,
    serve_command,
    token_command,
    verify_command,
)
from gateway.settings import Settings, SettingsError

__all__ = ["main"]

EPILOG = """\
Settings come from the environment: TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (or TWILIO_API_KEY
and TWILIO_API_SECRET) connect the gateway to Twilio; without them an embedded sandbox with example
calls answers. docs/settings.md lists every setting."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    flags = {name: value for name, value in vars(options).items() if name.isupper() and value}
    try:
        settings = Settings.from_environment({**os.environ, **flags})
        code: int = options.run(options, settings)
        return code
    except SettingsError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway",
        description="A GraphQL gateway over Twilio's Calls resource. Without a command it serves.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve_command.add_options(parser)
    commands = parser.add_subparsers(title="commands", metavar="")
    for command in (query_command, verify_command, token_command, schema_command, sandbox_command):
        command.add_command(commands)
    return parser
