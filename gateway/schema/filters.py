"""Filters: what a client may look for, and the upstream lists that answer it exactly.

Filters are what Twilio can answer (SCHEMA rule 7). A range is half-open; several statuses are one
upstream list each. This module must not know how lists are read.
"""

from collections.abc import Sequence
from datetime import date, datetime

import strawberry

from gateway.errors import InvalidFilter
from gateway.schema.scalars import CallStatus
from gateway.upstream.calls import ListCalls
from gateway.upstream.date_ranges import DateTimeRange as UpstreamTimeRange

__all__ = ["CallFilter", "ChildCallFilter", "TimeRange", "call_lists"]

# A list that has to be sifted here is read in Twilio's largest pages: the fewest requests.
SIFTING_PAGE_SIZE = 1000


@strawberry.input(description="A time range: from `gte` up to, not including, `lt`; or one day.")
class TimeRange:
    """Half-open, UTC, exact to the instant."""

    gte: datetime | None = strawberry.field(default=None, description="At or after this moment.")
    lt: datetime | None = strawberry.field(default=None, description="Before this moment.")
    on: date | None = strawberry.field(
        default=None, description="On this day in UTC; not together with the others."
    )


@strawberry.input(description="Which of a call's child calls. All conditions hold together.")
class ChildCallFilter:
    """Everything that the list of calls can be filtered by, but the parent."""

    to: str | None = strawberry.field(
        default=None, description="Calls to this phone number, SIP address or client:name."
    )
    from_: str | None = strawberry.field(
        name="from",
        default=None,
        description="Calls from this phone number, SIP address or client:name.",
    )
    status: list[CallStatus] | None = strawberry.field(
        default=None, description="Calls currently in one of these states."
    )
    start_time: TimeRange | None = strawberry.field(
        default=None, description="Calls that started in this range; one never dialed is in none."
    )
    end_time: TimeRange | None = strawberry.field(
        default=None, description="Calls that ended in this range."
    )


@strawberry.input(description="Which calls. All conditions hold together.")
class CallFilter(ChildCallFilter):
    """The filters of Twilio's list of calls."""

    parent_call_sid: strawberry.ID | None = strawberry.field(
        default=None, description="Calls spawned by the call with this SID."
    )


def call_lists(
    filter_: ChildCallFilter | None, *, parent_call_sid: str | None, page_size: int
) -> Sequence[ListCalls]:
    """The upstream lists that together are the calls wanted: one, or one for each status.

    Raises InvalidFilter where no call could ever match or the filter contradicts itself.
    """
    wanted = filter_ or ChildCallFilter()
    base = ListCalls(
        to=_not_empty("to", wanted.to),
        from_=_not_empty("from", wanted.from_),
        start_time=_range("startTime", wanted.start_time),
        end_time=_range("endTime", wanted.end_time),
        parent_call_sid=parent_call_sid,
        page_size=page_size,
    )
    if not base.is_exact():
        base = base.at(base.page, SIFTING_PAGE_SIZE)
    return [_with_status(base, status) for status in _statuses(wanted.status)]


def _with_status(base: ListCalls, status: CallStatus | None) -> ListCalls:
    return base if status is None else base.with_status(status)


def _statuses(given: list[CallStatus] | None) -> Sequence[CallStatus | None]:
    if given is None:
        return [None]
    if not given:
        raise InvalidFilter("status: an empty list matches no call; leave it out for all")
    if CallStatus.UNKNOWN in given:
        raise InvalidFilter("status: UNKNOWN is not a state that Twilio can look for")
    return sorted(set(given), key=list(CallStatus).index)


def _not_empty(name: str, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise InvalidFilter(f"{name}: is empty; leave it out for all")
    return value


def _range(name: str, given: TimeRange | None) -> UpstreamTimeRange | None:
    if given is None:
        return None
    if given.on is not None:
        if given.gte or given.lt:
            raise InvalidFilter(f"{name}: use either on, or gte and lt")
        return UpstreamTimeRange.day(given.on)
    if given.gte is None and given.lt is None:
        raise InvalidFilter(f"{name}: is empty; give gte, lt or on")
    if given.gte and given.lt and given.gte >= given.lt:
        raise InvalidFilter(f"{name}: lt must be later than gte")
    return UpstreamTimeRange(given.gte, given.lt)
