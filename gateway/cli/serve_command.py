"""`gateway`: serves until it is stopped.

This module must not know how the gateway is started.
"""

import argparse

from gateway.cli.options import add_setting
from gateway.settings import Settings

__all__ = ["add_options"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the default command."""
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
