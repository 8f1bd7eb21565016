"""`gateway serve`, the default command: serves until it is stopped.

This module must not know how the gateway is started.
"""

import argparse

from gateway.cli.options import Commands, add_setting
from gateway.settings import Settings

__all__ = ["add_command"]


def add_command(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser("serve", help="serve until a signal ends it (the default command)")
    parser.set_defaults(run=_serve)
    for setting, meaning in (
        ("GATEWAY_HOST", "address to listen on"),
        ("GATEWAY_PORT", "port to listen on, 0 for a free one"),
        ("GATEWAY_WORKERS", "processes that serve"),
    ):
        add_setting(parser, setting, meaning)


def _serve(_options: argparse.Namespace, settings: Settings) -> int:
    from gateway.cli.startup import serve  # no other command loads the server

    return serve(settings)
