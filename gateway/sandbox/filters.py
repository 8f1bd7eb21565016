"""Turns the query parameters of the five lists into conditions on rows. Knows no SQL, no paging.

Names are case-sensitive. An unknown parameter or an empty value filters nothing. The ``<=`` of
``StartTime<=2009-07-06`` is no operator: the parameter is ``StartTime<``, its value 2009-07-06
(docs/twilio.md#1-surprising-facts).

Note [Whole days]. A date means a whole GMT day, even if the value has a time of day: ``StartTime``
is that day, ``StartTime>`` is at or after the midnight at its start, ``StartTime<`` is at or
before that midnight (seed). It is unknown whether the service reads the time of day in an
inequality; the seed and the older sources say that it does not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.sandbox.errors import invalid

DAY = 86_400


@dataclass(frozen=True)
class Equal:
    """The column equals this value."""

    column: str
    value: str


@dataclass(frozen=True)
class Differ:
    """The column is not null and differs from this value."""

    column: str
    value: str


@dataclass(frozen=True)
class Within:
    """``start <= column < end``, in seconds; a null never matches."""

    column: str
    start: int | None
    end: int | None


Condition = Equal | Differ | Within
Filter = Callable[[str, str], list[Condition]]


def midnight(name: str, text: str) -> int:
    """The start of the GMT day of a date or an ISO 8601 instant; raises "Invalid …"."""
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
    """The non-empty parameters of a query that the list supports, in the order of the query."""
    return {name: value for name, value in query.items() if name in filters and value}


def conditions(filters: Mapping[str, Filter], query: Mapping[str, str]) -> list[Condition]:
    """The conditions that a listed row meets; raises a 400 if a date cannot be parsed."""
    return [
        condition
        for name, value in recognized(filters, query).items()
        for condition in filters[name](name, value)
    ]


def hides_deleted(query: Mapping[str, str]) -> list[Condition]:
    """Excludes deleted recordings unless ``IncludeSoftDeleted=true``.

    See docs/twilio.md#4-recording-and-notification.
    """
    if query.get("IncludeSoftDeleted", "").lower() == "true":
        return []
    return [Differ("status", "deleted")]
