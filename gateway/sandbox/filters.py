"""Query parameters of the five lists into conditions on rows. Knows no SQL and no paging.

Names are case-sensitive; a name that a list does not know, and a name with no value, filter
nothing. ``StartTime<=2009-07-06`` is no operator: it is the parameter ``StartTime<`` with the
value 2009-07-06 (FACTS section 1).

Note [Whole days]. A date means a GMT day, also when the value carries a time of day: ``StartTime``
is that whole day, ``StartTime>`` is at or after the midnight it starts with, ``StartTime<`` is at
or before that midnight (seed). Whether the service looks at the time of day in an inequality is
unknown; the seed and the older sources say that it does not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.sandbox.errors import invalid

DAY = 86_400


@dataclass(frozen=True)
class Equal:
    """The column holds exactly this value."""

    column: str
    value: str


@dataclass(frozen=True)
class Differ:
    """The column holds any other value."""

    column: str
    value: str


@dataclass(frozen=True)
class Within:
    """The instant lies in ``start <= column < end``, in seconds; a row without it never does."""

    column: str
    start: int | None
    end: int | None


Condition = Equal | Differ | Within
Filter = Callable[[str, str], list[Condition]]


def midnight(name: str, text: str) -> int:
    """The start of the GMT day named by a date or an ISO 8601 instant; raises "Invalid …"."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(name.rstrip("<>")) from None
    seconds = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
    return seconds - seconds % DAY


def _text(column: str) -> Filter:
    return lambda _, value: [Equal(column, value)]


def _on(column: str) -> Filter:
    def on(name: str, value: str) -> list[Condition]:
        start = midnight(name, value)
        return [Within(column, start, start + DAY)]

    return on


def _at_or_before(column: str) -> Filter:
    return lambda name, value: [Within(column, None, midnight(name, value) + 1)]


def _at_or_after(column: str) -> Filter:
    return lambda name, value: [Within(column, midnight(name, value), None)]


def _dates(name: str, column: str) -> dict[str, Filter]:
    return {
        name: _on(column),
        f"{name}<": _at_or_before(column),
        f"{name}>": _at_or_after(column),
    }


CALLS: dict[str, Filter] = {
    "To": _text("to"),
    "From": _text("from_"),
    "ParentCallSid": _text("parent_call_sid"),
    "Status": _text("status"),
    **_dates("StartTime", "start_time"),
    **_dates("EndTime", "end_time"),
}
CALL_RECORDINGS: dict[str, Filter] = _dates("DateCreated", "date_created")
RECORDINGS: dict[str, Filter] = {
    **CALL_RECORDINGS,
    "CallSid": _text("call_sid"),
    "ConferenceSid": _text("conference_sid"),
    "IncludeSoftDeleted": lambda _, __: [],
}
NOTIFICATIONS: dict[str, Filter] = {"Log": _text("log"), **_dates("MessageDate", "message_date")}


def recognized(filters: Mapping[str, Filter], query: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a query that a list knows, in the order they were sent."""
    return {name: value for name, value in query.items() if name in filters and value}


def conditions(filters: Mapping[str, Filter], query: Mapping[str, str]) -> list[Condition]:
    """What a row must fulfil to be listed; raises a 400 when a date cannot be read."""
    return [
        condition
        for name, value in recognized(filters, query).items()
        for condition in filters[name](name, value)
    ]


def hides_deleted(query: Mapping[str, str]) -> list[Condition]:
    """Deleted recordings are listed only with ``IncludeSoftDeleted=true`` (FACTS section 4)."""
    if query.get("IncludeSoftDeleted", "").lower() == "true":
        return []
    return [Differ("status", "deleted")]
