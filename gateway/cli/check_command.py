"""`gateway check`: says whether a gateway could start with these settings, and what they are.

This module must not know how they are checked.
"""

import argparse

from gateway.cli.options import Commands
from gateway.settings import Settings

__all__ = ["add_command"]


def add_command(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "check", help="print the settings without secrets; try credential and store"
    )
    parser.set_defaults(run=_check)
    parser.add_argument(
        "--offline", action="store_true", help="ask neither Twilio nor the shared store"
    )


def _check(options: argparse.Namespace, settings: Settings) -> int:
    from gateway.cli.check import run  # no other command loads it

    return run(settings, offline=options.offline)
