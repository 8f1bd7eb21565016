"""The kinds of value that a setting can have, and how each is parsed.

A kind is a type that msgspec converts a text to, within the bounds of its `Meta`. Where msgspec
cannot, a parser stands in the kind's annotation. A bad text raises ValueError; its message follows
the setting's name and never repeats the value. This module must not know the settings.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import field
from enum import StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

__all__ = [
    "UNIX_PEER",
    "UNIX_SOCKET",
    "AccessMode",
    "AccountSid",
    "CredentialSid",
    "CursorSecret",
    "Delay",
    "DocumentPolicy",
    "Environment",
    "KeyUrl",
    "LogLevel",
    "Networks",
    "Origins",
    "Paths",
    "Percent",
    "PlannerMode",
    "ScopePairs",
    "Seconds",
    "Secret",
    "Secrets",
    "StoreUrl",
    "Switch",
    "Url",
    "between",
    "is_loopback",
    "is_own_machine",
    "is_secret",
    "origin",
    "read_value",
    "setting",
]

UNIX_SOCKET = "unix:"
"""The prefix of the host of a unix socket; its path follows."""
UNIX_PEER = "unix"
"""The address of a peer on a unix socket."""


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
    """Whether developers or the public use the gateway."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


def url(value: str) -> str:
    """An absolute URL without a trailing slash. The error never repeats it, unlike Python's own."""
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


# Pages of these schemes have no origin (browsers send null), or do not exist.
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
        if _is_anybodys(found[-1]):
            raise ValueError(
                "must have two labels or more after *. (or localhost), for example "
                f"https://*.example.com; entry {number} would allow anybody's pages"
            )
    return tuple(found)


def _is_anybodys(pattern: str) -> bool:
    """True where `*.` stands directly below a top-level label: anybody can have a name there."""
    name = (urlsplit(pattern).hostname or "").removesuffix(".")
    return name.startswith("*.") and name.count(".") == 1 and name != "*.localhost"


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
    """As browsers write it. Since 3.13 Python writes a mapped IPv4 address with dots."""
    if address.ipv4_mapped is None:
        return str(address)
    high, low = divmod(int(address.ipv4_mapped), 0x10000)
    return f"::ffff:{high:x}:{low:x}"


def is_loopback(host: str) -> bool:
    """True for localhost, or an address that only this machine can reach."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_own_machine(host: str) -> bool:
    """True for a host that only this machine can reach: loopback, or a unix socket."""
    return host.startswith(UNIX_SOCKET) or is_loopback(host)


def key_url(value: str) -> str:
    """An https URL, or http on this machine: who changes keys in transit could sign tokens."""
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


def secrets(value: str) -> tuple[Secret, ...]:
    """Secrets with commas between; their repr shows only how many there are."""
    return tuple(Secret(part.strip()) for part in value.split(",") if part.strip())


def store_url(value: str) -> Secret:
    """A secret, because the URL may hold a password; the error does not show it either."""
    try:
        parts = urlsplit(value)
        is_good = parts.scheme in {"redis", "rediss", "valkey", "valkeys"} and bool(parts.hostname)
        is_good = is_good and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ValueError("must be a valkey://, valkeys://, redis:// or rediss:// URL with a host")
    return Secret(value)


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


class LogFormat(StrEnum):
    """How a log line is written."""

    TEXT = "text"
    JSON = "json"


class CacheControl(StrEnum):
    """Which caches outside may keep a response."""

    OFF = "off"
    PRIVATE = "private"
    PUBLIC = "public"


class PlannerMode(StrEnum):
    """How edges are read."""

    ADAPTIVE = "adaptive"
    PER_KEY = "per-key"


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


class DocumentPolicy(StrEnum):
    """Which documents may run (docs/documents.md)."""

    OFF = "off"
    WARN = "warn"
    KNOWN = "known"
    IDS = "ids"


def paths(value: str) -> tuple[str, ...]:
    """Paths with commas between."""
    return tuple(filter(None, (path.strip() for path in value.split(","))))


def cursor_secret(value: str) -> Secret:
    """A secret that is long enough to resist guessing."""
    if len(value) < 16:
        raise ValueError("must have 16 characters at least")
    return Secret(value)


def between(low: int, high: int) -> Meta:
    """The bounds of a whole number, both allowed."""
    return Meta(ge=low, le=high, description=f"a whole number from {low} to {high}")


def sid(*prefixes: str) -> Meta:
    """The form of a SID with one of these prefixes."""
    return Meta(
        pattern=rf"\A({'|'.join(prefixes)})[0-9a-fA-F]{{32}}\Z",
        description=f"{' or '.join(prefixes)} and 32 hexadecimal digits",
    )


PAIR = r"[^\s,=]+=(read|call|pii)"
PAIRS = Meta(
    pattern=rf"\A{PAIR}(,{PAIR})*\Z",
    description="word=scope pairs with commas between; scopes: read, call, pii",
)
SECONDS = Meta(gt=0, le=3600, description="a number of seconds, more than 0 and at most 3600")

AccountSid = Annotated[str, sid("AC")]
CredentialSid = Annotated[str, sid("SK", "AC")]
CursorSecret = Annotated[Secret, cursor_secret]
Delay = Annotated[float, Meta(ge=0, le=3600, description="a number of seconds from 0 to 3600")]
KeyUrl = Annotated[str, key_url]
Networks = Annotated[str, addresses]
Origins = Annotated[tuple[str, ...], origins]
Percent = Annotated[int, between(0, 100)]
ScopePairs = Annotated[str, PAIRS]
Paths = Annotated[tuple[str, ...], paths]
Seconds = Annotated[float, SECONDS]
Secrets = Annotated[tuple[Secret, ...], secrets]
StoreUrl = Annotated[Secret, store_url]
Url = Annotated[str, url]


def setting(name: str, default: Any, unit: str, meaning: str) -> Any:
    """A row of the table: the variable, its default, its unit and its meaning.

    The field's annotation is its kind, which says how its text is parsed.
    """
    return field(default=default, metadata={"name": name, "unit": unit, "meaning": meaning})


def read_value(kind: Any, text: str) -> Any:
    """Parses a text as a value of this kind. Raises ValueError: "must be ..."."""
    kind = _without_none(kind)
    annotations = getattr(kind, "__metadata__", ())
    for parse in filter(callable, annotations):
        return parse(text)
    try:
        return msgspec.convert(text, kind, strict=False, dec_hook=_decode_secret)
    except msgspec.ValidationError:
        raise ValueError(f"must be {_allowed(kind, annotations)}") from None


def is_secret(kind: Any) -> bool:
    """True for a kind whose values are secret."""
    kind = _without_none(kind)
    base = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return base is Secret or Secret in get_args(base)


def _without_none(kind: Any) -> Any:
    """The kind without None, which marks a setting that may be unset."""
    if get_origin(kind) in {Union, UnionType}:
        (kind,) = (part for part in get_args(kind) if part is not NoneType)
    return kind


def _decode_secret(kind: type[Any], text: Any) -> Any:
    """Decodes what msgspec does not know: a secret, from any text."""
    return kind(text)


def _allowed(kind: Any, annotations: Iterable[Any]) -> str:
    for annotation in annotations:
        if isinstance(annotation, Meta):
            return str(annotation.description)
    return "one of " + ", ".join(kind)
