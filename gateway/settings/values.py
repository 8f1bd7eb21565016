"""The kinds of value that a setting can have: how its text is read, and what is refused.

A parser raises ValueError with words that follow the setting's name; they never repeat the value.
This module must not know the settings.
"""

import math
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "Environment",
    "LogLevel",
    "PlannerMode",
    "Secret",
    "Switch",
    "one_of",
    "seconds",
    "secrets",
    "sid",
    "store_url",
    "text",
    "url",
    "whole",
]


class Secret:
    """A text that must not be seen: its repr and str are stars."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('**********')"

    __str__ = __repr__


class Environment(StrEnum):
    """Who is meant to be on the other side: people who develop, or the world."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


def text(value: str) -> str:
    return value


def sid(prefix: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if not re.fullmatch(prefix + "[0-9a-fA-F]{32}", value):
            raise ValueError(f"must be {prefix} and 32 hexadecimal digits")
        return value

    return parse


def url(value: str) -> str:
    """Python's own words on a bad URL repeat it, and it may hold a credential."""
    try:
        parts = urlsplit(value)
        is_absolute = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_absolute = False
    if not is_absolute or not re.fullmatch("[!-~]+", value):
        raise ValueError("must be an absolute http or https URL")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must hold no credential, query or fragment")
    return value.rstrip("/")


def secrets(value: str) -> tuple[Secret, ...]:
    """Several, separated by commas; a repr shows how many there are and nothing else."""
    return tuple(Secret(part.strip()) for part in value.split(",") if part.strip())


def store_url(value: str) -> Secret:
    """It may hold a password: it is kept, and refused, without being shown."""
    try:
        parts = urlsplit(value)
        is_good = parts.scheme in {"redis", "rediss", "valkey", "valkeys"} and bool(parts.hostname)
        is_good = is_good and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ValueError("must be a valkey://, valkeys://, redis:// or rediss:// URL with a host")
    return Secret(value)


def whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return parse


def seconds(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number <= 3600:
        raise ValueError("must be a number of seconds, more than 0 and at most 3600")
    return number


def one_of(choices: type[StrEnum]) -> Callable[[str], Any]:
    def parse(value: str) -> StrEnum:
        if value not in {choice.value for choice in choices}:
            raise ValueError("must be one of " + ", ".join(choice.value for choice in choices))
        return choices(value)

    return parse


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class PlannerMode(StrEnum):
    """How edges are read."""

    ADAPTIVE = "adaptive"
    PER_KEY = "per-key"


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"
