"""Filters of calls, and the upstream lists that answer them exactly.

A filter is one that Twilio can answer (docs/design/schema.md#7-filters-are-exact). Ranges are
half-open. Each status of a filter is an upstream list of its own. This module must not know how
lists are read.
"""

from collections.abc import Sequence
from datetime import date, datetime

import strawberry

from gateway.errors import InvalidFilter
from gateway.schema.directives import PII
from gateway.schema.scalars import CallStatus
from gateway.upstream.calls import ListCalls
from gateway.upstream.date_ranges import DateTimeRange as UpstreamTimeRange

__all__ = ["CallFilter", "CallTimeRange", "ChildCallFilter", "call_lists"]

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


def call_lists(
    filter_: ChildCallFilter | None, *, parent_call_sid: str | None, page_size: int
) -> Sequence[ListCalls]:
    """The upstream lists that together hold the filtered calls: one, or one for each status.

    Raises InvalidFilter if no call could ever match or the filter contradicts itself.
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
    if not base.is_exact():
        base = base.at(base.page, CLIENT_FILTER_PAGE_SIZE)
    return [_with_status(base, status) for status in _statuses(conditions.status)]


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
