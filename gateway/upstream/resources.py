"""Rows as Twilio sends them: what all resources have in common.

A row is decoded once, straight from JSON into one of these structs, and the schema's resolvers read
it. Decoding keeps each property as it came; reading a property converts it. So a bad value costs
its own field and never the row (docs/design/schema.md#6-values), and an unused property costs
nothing. This module must not know how rows are requested, nor GraphQL.
"""

import logging
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, Generic, TypeVar, overload

import msgspec

from gateway.errors import UpstreamInvalid

__all__ = [
    "LazyField",
    "Resource",
    "as_decimal",
    "as_enum",
    "as_sid",
    "as_text",
    "as_timestamp",
    "as_whole_number",
    "row_type",
]

log = logging.getLogger(__name__)
T = TypeVar("T")
V = TypeVar("V")
CONVERSION_ERRORS = (ValueError, TypeError, InvalidOperation, OverflowError)
# Written values that each property keeps.
MAX_WRITTEN = 8192
# RFC 2822's names; those of the calendar module depend on the locale.
MONTH_NAMES = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
]  # fmt: skip
MONTHS = {name: f"{number:02}" for number, name in enumerate(MONTH_NAMES, 1)}
# Dates as Twilio sends them, which are read faster than any form of RFC 2822.
USUAL_DATE = re.compile(
    rf"[A-Z][a-z]{{2}}, (\d\d) ({'|'.join(MONTHS)}) (\d{{4}}) (\d\d:\d\d:\d\d) \+0000", re.ASCII
)


@lru_cache(maxsize=64)
def _log_once(message: str) -> None:
    log.warning("%s", message)


class LazyField(Generic[T]):
    """A property of a row, converted when it is read: `""`, null and absent are None.

    Raises UpstreamInvalid, naming the property, when the value is not as Twilio documents it. With
    a `default` it never raises: a missing or bad value is the default.
    """

    @overload
    def __init__(self: "LazyField[V | None]", convert: Callable[[Any], V]) -> None: ...
    @overload
    def __init__(self: "LazyField[V]", convert: Callable[[Any], V], default: V) -> None: ...
    def __init__(self, convert: Callable[[Any], Any], default: Any = None) -> None:
        self._convert = convert
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name.rstrip("_")
        self._slot = f"wire_{name}"

    @overload
    def __get__(self, row: None, owner: type) -> "LazyField[T]": ...
    @overload
    def __get__(self, row: "Resource", owner: type) -> T: ...
    def __get__(self, row: "Resource | None", owner: type) -> "LazyField[T] | T":
        if row is None:
            return self
        return self._value(getattr(row, self._slot))

    def _value(self, wire: Any) -> T:
        if wire is None or wire == "" or wire is msgspec.UNSET:
            return self._default  # type: ignore[no-any-return]
        try:
            return self._convert(wire)  # type: ignore[no-any-return]
        except CONVERSION_ERRORS as error:
            if self._default is None:
                raise UpstreamInvalid(self._message()) from error
            _log_once(self._message())
            return self._default  # type: ignore[no-any-return]

    def column(self, write: Callable[[T], Any]) -> Callable[[Iterable["Resource"]], list[Any]]:
        """Makes a function that gives the property of each of many rows, as `write` writes it.

        None stays None. The function raises if any of the rows has an unreadable value. It caches
        what it has written, except texts: those are written as they came.
        """
        wires = attrgetter(self._slot)
        if self._convert is as_text:
            return lambda rows: [
                wire if wire and type(wire) is str else self._value(wire)
                for wire in map(wires, rows)
            ]

        @lru_cache(maxsize=MAX_WRITTEN, typed=True)
        def written(wire: Any) -> Any:
            value = self._value(wire)
            return None if value is None else write(value)

        return lambda rows: [*map(written, map(wires, rows))]

    def strict_value(self, row: "Resource") -> T:
        """The value as upstream sent it, without the default.

        Raises UpstreamInvalid where it is unreadable, or where it has a default and is missing.
        """
        if self._default is None:
            return self._value(getattr(row, self._slot))
        try:
            return self._convert(getattr(row, self._slot) or None)  # type: ignore[no-any-return]
        except CONVERSION_ERRORS as error:
            raise UpstreamInvalid(self._message()) from error

    def is_absent(self, row: "Resource") -> bool:
        """True when upstream sent the row without this property."""
        return getattr(row, self._slot) is msgspec.UNSET

    def _message(self) -> str:
        return f"Upstream sent a {self._name} that cannot be read"


def as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


def as_sid(prefix: str) -> Callable[[Any], str]:
    pattern = re.compile(prefix + "[0-9a-fA-F]{32}")

    def convert(value: Any) -> str:
        if not pattern.fullmatch(value):
            raise ValueError("not a SID")
        return str(value)

    return convert


@lru_cache(maxsize=8192)
def as_timestamp(value: Any) -> datetime:
    """RFC 2822 (`Fri, 18 Oct 2019 17:00:00 +0000`) to UTC; other offsets are converted."""
    if usual := USUAL_DATE.fullmatch(as_text(value)):
        day, month, year, time = usual.groups()
        return datetime.fromisoformat(f"{year}-{MONTHS[month]}-{day}T{time}+00:00")
    moment = parsedate_to_datetime(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def as_whole_number(value: Any) -> int:
    """Durations and counts come as text, `"15"`, and sometimes as a number."""
    if not re.fullmatch(r"-?[0-9]{1,18}", str(value)):
        raise ValueError("not a whole number")
    return int(value)


def as_decimal(value: Any) -> Decimal:
    """A price as text, `"-0.03000"`, keeps every digit."""
    if not re.fullmatch(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?", str(value)):
        raise ValueError("not an amount")
    return Decimal(str(value))


E = TypeVar("E", bound=Enum)


def _loggable(value: str) -> str:
    """The value if it looks like one of Twilio's; any other may hold personal data."""
    return value if re.fullmatch("[A-Za-z][A-Za-z_-]{0,29}|[0-9]{1,2}", value) else "no word"


def as_enum(choices: type[E]) -> Callable[[Any], E]:
    """Twilio adds values: a new one is UNKNOWN and logged once.

    See docs/design/schema.md#4-enums-are-open.
    """

    @lru_cache(maxsize=64)
    def unknown(value: str) -> E:
        log.warning("upstream sent an unknown %s: %r", choices.__name__, _loggable(value))
        return choices["UNKNOWN"]

    known = {choice.value: choice for choice in choices}

    def convert(value: Any) -> E:
        choice = known.get(as_text(value))
        return choice if choice is not None else unknown(value[:40])

    return convert


class Resource(msgspec.Struct):
    """The properties that every row has. `row_type` makes a struct of a subclass."""

    sid: str

    account_sid = LazyField(as_sid("AC"))
    date_created = LazyField(as_timestamp)
    date_updated = LazyField(as_timestamp)
    uri = LazyField(as_text)

    @property
    def id(self) -> str:
        """The SID is the global id (docs/design/schema.md#2-the-sid-is-the-global-id)."""
        return self.sid


R = TypeVar("R", bound=Resource)


def row_type(prefix: str) -> Callable[[type[R]], type[R]]:
    """Makes a class of LazyFields a struct: the SID, and a slot for each property as it came.

    The fields come from the class's LazyFields and not from annotations, which a class body does
    not have while the class is made (since Python 3.14).
    """

    def decorate(body: type[R]) -> type[R]:
        names = [
            name
            for owner in reversed(body.__mro__)
            for name, value in vars(owner).items()
            if isinstance(value, LazyField)
        ]
        sid = Annotated[str, msgspec.Meta(pattern=f"^{prefix}[0-9a-fA-F]{{32}}\\Z")]
        struct: Any = msgspec.defstruct(
            body.__name__,
            [("sid", sid), *((f"wire_{name}", Any, msgspec.UNSET) for name in names)],
            bases=(body,),
            namespace={"__doc__": body.__doc__},
            module=body.__module__,
            rename=_wire_name,
            frozen=True,
            kw_only=True,
            gc=False,
        )
        return struct  # type: ignore[no-any-return]

    return decorate


def _wire_name(field: str) -> str:
    return field.removeprefix("wire_").rstrip("_")
