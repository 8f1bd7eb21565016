"""`gateway verify`: compares planned answers with those of one request for each key.

This module must not know how answers are compared.
"""

import argparse

from gateway.cli.options import Commands, positive
from gateway.settings import Settings

__all__ = ["add_command"]


def add_command(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "verify", help="read a sample of calls planned and per key; print any difference"
    )
    parser.set_defaults(run=_verify)
    parser.add_argument(
        "--sample",
        type=positive,
        default=200,
        metavar="N",
        help="how many of the newest calls (200)",
    )


def _verify(options: argparse.Namespace, settings: Settings) -> int:
    from gateway.cli.verify import run  # no other command loads it

    return run(options, settings)
