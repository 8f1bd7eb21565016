"""`gateway tail`: follows the calls of a running gateway, one line for each event.

This module must not know how calls are followed.
"""

import argparse

from gateway.cli.options import Commands, add_gateway
from gateway.settings import Settings

__all__ = ["add_command"]


def add_command(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser("tail", help="follow the calls of a running gateway live")
    parser.set_defaults(run=_tail)
    add_gateway(parser)
    parser.add_argument("--to", help="only calls to this number, SIP address or client:name")
    parser.add_argument("--from", dest="from_", metavar="FROM", help="only calls from it")
    parser.add_argument(
        "--status",
        action="append",
        help="only when a call enters this status, such as busy; may be repeated",
    )
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="text: time (UTC), status, previous status, SID, direction, seconds, from, to; "
        "json: an object on each line",
    )


def _tail(options: argparse.Namespace, _settings: Settings) -> int:
    from gateway.cli.tail import run  # no other command loads it

    return run(options)
