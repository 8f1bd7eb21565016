"""Helpers for the options of several commands.

This module must not know what any command does.
"""

import argparse
import math
from typing import Any

from gateway.settings import TOKEN_VARIABLE, URL_VARIABLE, settings_by_name

__all__ = [
    "DEFAULT_URL",
    "Commands",
    "add_gateway",
    "add_setting",
    "non_negative",
    "option_of",
    "positive",
    "whole_number",
]


DEFAULT_URL = "http://127.0.0.1:8000"


class Commands:
    """The commands of one heading in the help of `gateway`, which argparse cannot group."""

    def __init__(self, heading: str, subparsers: Any) -> None:
        self._heading = heading
        self._subparsers = subparsers  # argparse has no public name for its type
        self._rows: list[tuple[str, str]] = []

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:
        """Adds a command under this heading; `help` is its one line."""
        self._rows.append((name, help))
        parser: argparse.ArgumentParser = self._subparsers.add_parser(
            name, description=f"{help[0].upper()}{help[1:]}."
        )
        return parser

    def __str__(self) -> str:
        return "\n".join([f"{self._heading}:", *(f"  {name:<13}{row}" for name, row in self._rows)])


def option_of(setting: str) -> str:
    """The option that overrides this environment variable."""
    return "--" + setting.rsplit("_", 1)[-1].lower()


def add_setting(parser: argparse.ArgumentParser, setting: str, meaning: str) -> None:
    """Adds an option that overrides this environment variable."""
    option = option_of(setting)
    words = f"{meaning} ({setting}, {settings_by_name()[setting].default})"
    parser.add_argument(option, dest=setting, metavar=option.strip("-").upper(), help=words)


def add_gateway(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which running gateway is asked, and as whom."""
    parser.add_argument("--url", help=f"the running gateway ({URL_VARIABLE}, {DEFAULT_URL})")
    parser.add_argument("--token", help=f"the token that it asks for ({TOKEN_VARIABLE})")


def non_negative(text: str) -> float:
    """Parses a finite number of 0 or more. Raises ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError("must be a number of 0 or more")
    return number


def whole_number(text: str) -> int:
    """Parses a whole number. Raises ArgumentTypeError."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a whole number") from None


def positive(text: str) -> int:
    """Parses a whole number of 1 or more. Raises ArgumentTypeError."""
    number = whole_number(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be a whole number of 1 or more")
    return number
