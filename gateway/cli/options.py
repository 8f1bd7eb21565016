"""Helpers for the options of several commands.

This module must not know what any command does.
"""

import argparse
import math
from typing import Any

from gateway.settings import settings_by_name

__all__ = ["Commands", "add_setting", "non_negative", "positive"]

Commands = Any
"""What `ArgumentParser.add_subparsers` returns; argparse has no public name for it."""


def add_setting(parser: argparse.ArgumentParser, setting: str, meaning: str) -> None:
    """Adds an option that overrides this environment variable."""
    name = setting.rsplit("_", 1)[-1].lower()
    words = f"{meaning} ({setting}, {settings_by_name()[setting].default})"
    parser.add_argument(f"--{name}", dest=setting, metavar=name.upper(), help=words)


def non_negative(text: str) -> float:
    """Parses a finite number of 0 or more. Raises ValueError."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError(text)
    return number


def positive(text: str) -> int:
    """Parses a whole number of 1 or more. Raises ValueError."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)
