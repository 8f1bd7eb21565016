"""`gateway schema`: prints the schema (SDL)."""

import argparse

from gateway.cli.options import Commands
from gateway.settings import Settings

__all__ = ["add_command"]


def add_command(commands: Commands) -> None:
    """Adds the command."""
    commands.add_parser("schema", help="print the schema (SDL)").set_defaults(run=_schema)


def _schema(_options: argparse.Namespace, _settings: Settings) -> int:
    from gateway.schema import schema  # no other command needs it alone

    print(schema.as_str())
    return 0
