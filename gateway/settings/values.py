"""The kinds of value that a setting can have: how its text is read, and what is refused.

A parser raises ValueError with words that follow the setting's name; they never repeat the value.
This module must not know the settings.
"""

import ipaddress
import math
import re
from collections.abc import Callable
from dataclasses import field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "UNIX_PEER",
    "UNIX_SOCKET",
    "AccessMode",
    "Environment",
    "LogLevel",
    "PlannerMode",
    "Secret",
    "Switch",
    "addresses",
    "delay",
    "is_loopback",
    "is_own_machine",
    "key",
    "key_url",
    "one_of",
    "origin",
    "origins",
    "scope_words",
    "seconds",
    "secrets",
    "setting",
    "sid",
    "store_url",
    "text",
    "url",
    "whole",
]

UNIX_SOCKET = "unix:"
"""What the host of a unix socket begins with; its path follows."""
UNIX_PEER = "unix"
"""The address of whoever connects by a unix socket."""


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


def key(value: str) -> Secret:
    """A secret that cannot be found by trying."""
    if len(value) < 16:
        raise ValueError("must have 16 characters at least")
    return Secret(value)


def text(value: str) -> str:
    return value


def sid(*prefixes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if not re.fullmatch(f"({'|'.join(prefixes)})[0-9a-fA-F]{{32}}", value):
            raise ValueError(f"must be {' or '.join(prefixes)} and 32 hexadecimal digits")
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


# Pages of these schemes have no origin (browsers send null), or there are no pages of them.
NO_PAGES = frozenset({"about", "blob", "data", "file", "javascript", "ws", "wss"})
USUAL_PORTS = {"http": 80, "https": 443}
ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\*\.)?(\[[0-9a-f:.]+\]|[a-z0-9._~-]+)(?::([0-9]*))?/?")


def origins(value: str) -> tuple[str, ...]:
    """Origins of web pages, normalised by `origin`."""
    found = []
    for number, text in enumerate(value.split(","), start=1):
        try:
            found.append(origin(text.strip()))
        except ValueError:
            raise ValueError(
                "must be origins of web pages with commas between, for example https://example.com,"
                " https://*.example.com or capacitor://localhost, or * for all of them; "
                f"entry {number} is none"
            ) from None
    return tuple(found)


def origin(value: str) -> str:
    """An origin as browsers send it: scheme, host and, where it is not the usual one, port.

    `*.` before the host stands for one label; `*` alone for every origin. Raises ValueError for
    what no browser sends.
    """
    if value == "*":
        return value
    found = ORIGIN.fullmatch(value.lower())
    if found is None or found[1] in NO_PAGES:
        raise ValueError(value)
    scheme, label, name, port = found.groups()
    number = int(port) if port else None
    if number is not None and not 0 < number < 65536:
        raise ValueError(port)
    if scheme in USUAL_PORTS:
        name = _host(name, is_pattern=label is not None)
    shown = "" if number in {None, USUAL_PORTS.get(scheme)} else f":{number}"
    return f"{scheme}://{label or ''}{name}{shown}"


def _host(name: str, *, is_pattern: bool) -> str:
    """A host as browsers write it: addresses in their usual form, no empty label."""
    labels = name.removesuffix(".").split(".")
    if name.startswith("[") or re.fullmatch("[0-9]+|0x[0-9a-f]*", labels[-1]):
        if is_pattern:
            raise ValueError(name)
        if name.startswith("["):
            return f"[{_hexadecimal(ipaddress.IPv6Address(name[1:-1]))}]"
        return str(ipaddress.IPv4Address(name))
    if not all(0 < len(label) < 64 for label in labels):
        raise ValueError(name)
    return name


def _hexadecimal(address: ipaddress.IPv6Address) -> str:
    """As browsers write it. Python writes an IPv4 address that is mapped with dots, since 3.13."""
    if address.ipv4_mapped is None:
        return str(address)
    high, low = divmod(int(address.ipv4_mapped), 0x10000)
    return f"::ffff:{high:x}:{low:x}"


def is_loopback(host: str) -> bool:
    """True for an address, or the name, that only this machine itself can reach."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_own_machine(host: str) -> bool:
    """True for what only processes of this machine can reach: loopback, or a unix socket."""
    return host.startswith(UNIX_SOCKET) or is_loopback(host)


def key_url(value: str) -> str:
    """Whoever can change the keys on their way can sign tokens: no http but on this machine."""
    parts = urlsplit(url(value))
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError("must be an https URL (or http on this machine)")
    return value


def addresses(value: str) -> str:
    """Addresses and networks, with commas between; `unix` for peers that have none."""
    try:
        for entry in value.split(","):
            if entry.strip() != UNIX_PEER:
                ipaddress.ip_network(entry.strip())
    except ValueError:
        raise ValueError("must be addresses or networks with commas between") from None
    return value


def scope_words(value: str) -> str:
    """`word=scope` pairs with commas between, as in calls.read=read,calls.personal=pii."""
    pair = r"[^\s,=]+=(read|call|pii)"
    if not re.fullmatch(rf"{pair}(,{pair})*", value):
        raise ValueError("must be word=scope pairs with commas between; scopes: read, call, pii")
    return value


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


def delay(value: str) -> float:
    return 0.0 if re.fullmatch(r"0(\.0*)?", value) else seconds(value)


def one_of(choices: type[StrEnum]) -> Callable[[str], Any]:
    def parse(value: str) -> StrEnum:
        if value not in {choice.value for choice in choices}:
            raise ValueError("must be one of " + ", ".join(choice.value for choice in choices))
        return choices(value)

    return parse


class AccessMode(StrEnum):
    """How a caller shows who it is."""

    NONE = "none"
    TOKEN = "token"  # noqa: S105 (a word, not a token)
    JWT = "jwt"
    PASSTHROUGH = "passthrough"


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


def setting(name: str, parse: Callable[[str], Any], default: Any, unit: str, meaning: str) -> Any:
    """A row of the table: its variable, how its text is read, and what people are told."""
    return field(
        default=default,
        metadata={"name": name, "parse": parse, "unit": unit, "meaning": meaning},
    )
