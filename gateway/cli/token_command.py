"""`gateway token`: makes a bearer token for GATEWAY_ACCESS=token."""

import argparse

from gateway.access.tokens import new_token
from gateway.cli.options import Commands
from gateway.settings import Settings, SettingsError

__all__ = ["add_command"]


def add_command(commands: Commands) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser("token", help="make a bearer token; print it and its file line")
    parser.set_defaults(run=_token)
    parser.add_argument("name", help="the caller's name: letters, digits and . _ @ -")
    parser.add_argument(
        "--scopes", default="read", help="its scopes: read, call, pii, with commas (read)"
    )


def _token(options: argparse.Namespace, _settings: Settings) -> int:
    try:
        token, line = new_token(options.name, options.scopes)
    except ValueError as error:
        raise SettingsError(f"token: {error}") from None
    print(f"Token, shown only now: {token}")
    print(f"Line for GATEWAY_TOKENS_FILE: {line}")
    return 0
