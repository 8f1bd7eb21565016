"""Filters of calls, and the upstream lists that answer them exactly.

A filter is one that Twilio can answer (docs/design/schema.md#7-filters-are-exact). Ranges are
half-open. Each status of a filter is an upstream list of its own. A refinement is one that Twilio
cannot answer: all calls of the lists are read and checked here. This module must not know how lists
are read.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from enum import Enum
from typing import Annotated, TypeVar

import strawberry

from gateway.errors import InvalidFilter
from gateway.schema.directives import PII
from gateway.schema.scalars import AnsweredBy, CallDirection, CallStatus
from gateway.upstream.calls import ListCalls, Refinement
from gateway.upstream.date_ranges import DateTimeRange as UpstreamTimeRange

__all__ = [
    "CallFilter",
    "CallRefinement",
    "CallTimeRange",
    "ChildCallFilter",
    "Filter",
    "Refine",
    "call_lists",
    "number_lists",
]

E = TypeVar("E", bound=Enum)

# A list that the gateway filters itself is read in Twilio's largest pages: the fewest requests.
CLIENT_FILTER_PAGE_SIZE = 1000


@strawberry.input(description="A time range from `gte` up to but not including `lt`, or one day.")
class CallTimeRange:
    """Half-open, UTC, exact to the microsecond."""

    gte: datetime | None = strawberry.field(default=None, description="At or after this time.")
    lt: datetime | None = strawberry.field(default=None, description="Before this time.")
    on: date | None = strawberry.field(
        default=None, description="On this day in UTC; not together with `gte` or `lt`."
    )


@strawberry.input(description="Filters child calls. All conditions must hold.")
class ChildCallFilter:
    """The filters of Twilio's list of calls, except the parent."""

    to: str | None = strawberry.field(
        default=None,
        description="Calls to this phone number, SIP address or client:name.",
        directives=PII,
    )
    from_: str | None = strawberry.field(
        name="from",
        default=None,
        description="Calls from this phone number, SIP address or client:name.",
        directives=PII,
    )
    status: list[CallStatus] | None = strawberry.field(
        default=None, description="Calls currently in one of these states."
    )
    start_time: CallTimeRange | None = strawberry.field(
        default=None,
        description="Calls that started in this range; a call never dialed is in no range.",
    )
    end_time: CallTimeRange | None = strawberry.field(
        default=None, description="Calls that ended in this range."
    )


@strawberry.input(description="Filters calls. All conditions must hold.")
class CallFilter(ChildCallFilter):
    """The filters of Twilio's list of calls."""

    parent_call_sid: strawberry.ID | None = strawberry.field(
        default=None, description="Calls spawned by the call with this SID."
    )


@strawberry.input(
    description="Narrows a list of calls by what Twilio cannot filter by; all conditions must "
    "hold. The gateway reads the filtered list and keeps the calls that match. So give a narrow "
    "`filter`, too: a list that takes more rows than the gateway allows is cut short, with a "
    "warning."
)
class CallRefinement:
    """Conditions on what the fields of a call show; a field with an error matches none."""

    direction: list[CallDirection] | None = strawberry.field(
        default=None, description="Calls with one of these directions."
    )
    answered_by: list[AnsweredBy] | None = strawberry.field(
        default=None,
        description="Calls with one of these results of answering machine detection; a call "
        "without detection has none.",
    )
    phone_number_sid: strawberry.ID | None = strawberry.field(
        default=None, description="Calls with this `phoneNumberSid`: PN…."
    )
    min_duration: int | None = strawberry.field(
        default=None,
        description="Calls of at least this many seconds, from 1; a call that has no duration does "
        "not match.",
    )
    include_never_dialed: bool | None = strawberry.field(
        default=None,
        description="Also the calls that were created in the filter's `startTime` and never "
        "dialed, such as calls canceled in the queue. The gateway looks for them from the newest "
        "call down to the beginning of the range.",
    )


Filter = Annotated[
    CallFilter | None, strawberry.argument(description="Which calls to return; all if omitted.")
]
Refine = Annotated[
    CallRefinement | None,
    strawberry.argument(description="What else to check of each call that the filter selects."),
]


def call_lists(
    filter_: ChildCallFilter | None,
    refine: CallRefinement | None = None,
    *,
    parent_call_sid: str | None,
    page_size: int,
) -> Sequence[ListCalls]:
    """The upstream lists that together hold the matching calls: one, or one for each status.

    There are twice as many with calls that were never dialed. Raises InvalidFilter if no call could
    ever match or the filter contradicts itself.
    """
    conditions = filter_ or ChildCallFilter()
    base = ListCalls(
        to=_not_empty("to", conditions.to),
        from_=_not_empty("from", conditions.from_),
        start_time=_range("startTime", conditions.start_time),
        end_time=_range("endTime", conditions.end_time),
        parent_call_sid=parent_call_sid,
        page_size=page_size,
    )
    lists = [base] if refine is None else _refined(base, refine)
    return [
        _with_status(each if each.is_exact() else _in_large_pages(each), status)
        for each in lists
        for status in _statuses(conditions.status)
    ]


def number_lists(
    filter_: CallFilter | None,
    refine: CallRefinement | None,
    *,
    to: str | None = None,
    from_: str | None = None,
    page_size: int,
) -> Sequence[ListCalls]:
    """The lists of the calls to, or from, a number. Raises InvalidFilter, as `call_lists`."""
    conditions = filter_ or CallFilter()
    for name, own, given in (("to", to, conditions.to), ("from", from_, conditions.from_)):
        if own is not None and given is not None:
            raise InvalidFilter(f"{name}: the field itself sets it; omit it in the filter")
    numbers = replace(conditions, to=to or conditions.to, from_=from_ or conditions.from_)
    parent = conditions.parent_call_sid
    return call_lists(numbers, refine, parent_call_sid=parent, page_size=page_size)


def _in_large_pages(list_: ListCalls) -> ListCalls:
    return list_.at(list_.page, CLIENT_FILTER_PAGE_SIZE)


def _refined(base: ListCalls, refine: CallRefinement) -> Sequence[ListCalls]:
    """The list with only the calls that match; then that of calls that were never dialed."""
    refinement = Refinement(
        direction=_members("direction", refine.direction),
        answered_by=_members("answeredBy", refine.answered_by),
        phone_number_sid=_not_empty("phoneNumberSid", refine.phone_number_sid),
        min_duration=_at_least_1("minDuration", refine.min_duration),
    )
    dialed = base if refinement == Refinement() else base.refined(refinement)
    if not refine.include_never_dialed:
        return [dialed]
    if base.start_time is None:
        raise InvalidFilter("includeNeverDialed: needs a startTime in the filter")
    if refinement.min_duration or refinement.answered_by:
        raise InvalidFilter(
            "includeNeverDialed: such a call has no duration and nobody answered it; use it "
            "without minDuration and answeredBy"
        )
    never_dialed = replace(refinement, never_dialed=base.start_time)
    return [dialed, replace(base, start_time=None).refined(never_dialed)]


def _members(name: str, values: list[E] | None) -> tuple[E, ...] | None:
    if values is None:
        return None
    if not values:
        raise InvalidFilter(f"{name}: an empty list matches no call; omit it to match all")
    return tuple(sorted(set(values), key=list(type(values[0])).index))


def _at_least_1(name: str, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise InvalidFilter(f"{name}: must be 1 second or more; omit it to match all")
    return value


def _with_status(base: ListCalls, status: CallStatus | None) -> ListCalls:
    return base if status is None else base.with_status(status)


def _statuses(statuses: list[CallStatus] | None) -> Sequence[CallStatus | None]:
    if statuses is None:
        return [None]
    if not statuses:
        raise InvalidFilter("status: an empty list matches no call; omit it to match all")
    if CallStatus.UNKNOWN in statuses:
        raise InvalidFilter("status: Twilio cannot filter by UNKNOWN")
    return sorted(set(statuses), key=list(CallStatus).index)


def _not_empty(name: str, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise InvalidFilter(f"{name}: must not be empty; omit it to match all")
    return value


def _range(name: str, range_: CallTimeRange | None) -> UpstreamTimeRange | None:
    if range_ is None:
        return None
    if range_.on is not None:
        if range_.gte or range_.lt:
            raise InvalidFilter(f"{name}: use either on, or gte and lt")
        return UpstreamTimeRange.day(range_.on)
    if range_.gte is None and range_.lt is None:
        raise InvalidFilter(f"{name}: must have gte, lt or on")
    if range_.gte and range_.lt and range_.gte >= range_.lt:
        raise InvalidFilter(f"{name}: lt must be later than gte")
    return UpstreamTimeRange(range_.gte, range_.lt)
