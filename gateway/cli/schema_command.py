"""`gateway schema`: prints the schema, or what changed in it since an older one."""

import argparse
import sys
from pathlib import Path

from gateway.cli.options import Commands
from gateway.settings import Settings, SettingsError

__all__ = ["add_command"]


def add_command(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser("schema", help="print the schema (SDL), or compare it")
    parser.set_defaults(run=_schema)
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--federation", action="store_true", help="the subgraph's schema for routers (the default)"
    )
    form.add_argument(
        "--api", action="store_true", help="the schema for clients, without Federation"
    )
    form.add_argument(
        "--diff",
        metavar="OLD",
        type=Path,
        help="print what changed for clients since this file; exit with 1 if it breaks them",
    )


def _schema(options: argparse.Namespace, _settings: Settings) -> int:
    from gateway.schema import schema  # no other command needs it alone
    from gateway.schema.client_schema import client_sdl, schema_changes

    if options.diff is None:
        print(client_sdl(schema.as_str()) if options.api else schema.as_str())
        return 0
    try:
        old = options.diff.read_text(encoding="utf-8")
        breaking, dangerous = schema_changes(old, schema.as_str())
    except (OSError, ValueError) as error:
        raise SettingsError(f"--diff {options.diff}: {error}") from None
    for kind, changes in (("BREAKING", breaking), ("DANGEROUS", dangerous)):
        for change in changes:
            print(f"{kind}: {change}")
    if breaking:
        print("Clients of the old schema may break.", file=sys.stderr)
    return 1 if breaking else 0
