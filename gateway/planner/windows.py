"""Windows: in which days the rows of a call's edge lie, and which covering list shows them.

The rows of a call that is over and settled lie from its date_created to past its end, with the
slack that the relation needs (PLANNER.md, "When a scan is right"). A call that is not may get rows
at any time: for it, only a list without an upper bound is right, and only as of the moment when it
is read. This module must not know what a scan costs.

Note [Slack]. In the facts (FACTS section 10) every recording lies inside its call, every
notification inside it or at its end; but warnings about failed callbacks come later still,
conference recordings may, and clocks of two services differ. So rows are looked for from a minute
before the call was created (EARLY) to an hour (recordings) or a day (notifications) after it ended,
and upstream rounds that up to whole days. A row outside belongs to no answer of a scan: `gateway
verify` shows whether an account has any.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from gateway.errors import UpstreamInvalid
from gateway.upstream.requests import (
    ONE_DAY,
    TOP,
    DateTimeRange,
    ListCalls,
    ListNotifications,
    ListRecordings,
    ListRequest,
    midnight,
)
from gateway.upstream.resources import FINAL, CallResource, NotificationLevel

__all__ = [
    "BY_CREATION_OR_START",
    "DAYS",
    "DateWindow",
    "EdgeSpec",
    "Reading",
    "days_of",
    "is_by_days_only",
    "relation_of",
    "window_of",
    "without_days",
]

Day = date
Reading = tuple[str, ...]
"""The date by which a list may be ordered: the first of these properties that a row has."""

BY_CREATION_OR_START: tuple[Reading, ...] = (("date_created",), ("start_time", "date_created"))
BY_MESSAGE_OR_CREATION: tuple[Reading, ...] = (("message_date",), ("date_created",))
EARLY = timedelta(minutes=1)
# Long enough for upstream's lists to show what is already there.
SETTLED_AFTER = timedelta(seconds=30)


@dataclass(frozen=True)
class EdgeSpec:
    """How one edge can be read for many calls at once.

    `covering` is the account's whole list (`within` narrows it to days), `date` the property that
    it is filtered by, `orders` the dates that it may be ordered by, `owner` the property that names
    the call, `late` how long after the end of the call a row may be dated. `shows_live` tells that
    the days leave out no row that is not yet final.
    """

    covering: ListRequest[Any]
    date: str
    orders: tuple[Reading, ...]
    owner: str
    late: timedelta
    shows_live: bool = True

    def within(self, first: Day, last: Day | None, page_size: int) -> ListRequest[Any]:
        """The covering list of these whole days (GMT), `last` included; None: without an end."""
        days = DateTimeRange(midnight(first), midnight(last) + ONE_DAY if last else None)
        narrowed: dict[str, Any] = {DAYS[type(self.covering)]: days, "page_size": page_size}
        return replace(self.covering, **narrowed)


DAYS: dict[type[ListRequest[Any]], str] = {
    ListCalls: "start_time",
    ListNotifications: "message_date",
    ListRecordings: "date_created",
}


@dataclass(frozen=True, slots=True)
class DateWindow:
    """When the rows of one call's edge may be dated: from `since` to `until`, included, UTC.

    `is_open` where the call may get more: the window is then as of now, and `until` is now.
    """

    since: datetime
    until: datetime
    is_open: bool = False

    @property
    def first(self) -> date:
        """The first whole day."""
        return self.since.date()

    @property
    def last(self) -> date:
        """The last whole day."""
        return self.until.date()


CHILD_CALLS = EdgeSpec(
    ListCalls(),
    "start_time",
    BY_CREATION_OR_START,
    "parent_call_sid",
    late=timedelta(minutes=10),
    shows_live=False,
)
RECORDINGS = EdgeSpec(
    ListRecordings(), "date_created", BY_CREATION_OR_START, "call_sid", late=timedelta(hours=1)
)
NOTIFICATIONS = {
    log: EdgeSpec(
        ListNotifications(log=log),
        "message_date",
        BY_MESSAGE_OR_CREATION,
        "call_sid",
        late=timedelta(days=1),
    )
    for log in (None, *NotificationLevel)
}


def _of_recordings(request: ListRecordings) -> tuple[str | None, EdgeSpec]:
    return None if request.with_track else request.call_sid, RECORDINGS


def _of_notifications(request: ListNotifications) -> tuple[str | None, EdgeSpec]:
    return request.call_sid, NOTIFICATIONS[request.log]


def _of_calls(request: ListCalls) -> tuple[str | None, EdgeSpec]:
    return request.parent_call_sid, CHILD_CALLS


_RELATIONS: dict[type[Any], Callable[[Any], tuple[str | None, EdgeSpec]]] = {
    ListCalls: _of_calls,
    ListNotifications: _of_notifications,
    ListRecordings: _of_recordings,
}


def relation_of(request: Any) -> tuple[str, EdgeSpec] | None:
    """Whose edge a request asks for and how it could be scanned; None when it is no edge's top."""
    of = _RELATIONS.get(type(request))
    if of is None or request.page != TOP:
        return None
    owner, relation = of(request)
    return (owner, relation) if owner is not None else None


def days_of(request: ListRequest[Any]) -> DateTimeRange | None:
    """The days that a list is narrowed to."""
    days: DateTimeRange | None = getattr(request, DAYS[type(request)])
    return days


def without_days(request: ListRequest[Any]) -> ListRequest[Any]:
    """The list as such, of all days."""
    whole: dict[str, Any] = {DAYS[type(request)]: None}
    return replace(request.list, **whole)


def is_by_days_only(request: ListRequest[Any]) -> bool:
    """True for an account's list that is narrowed by nothing but days: its rows are its density."""
    return without_days(request) in {
        ListCalls().list,
        ListRecordings().list,
        ListNotifications().list,
    }


def window_of(call: CallResource, relation: EdgeSpec, now: datetime) -> DateWindow | None:
    """The window of a call's rows; None where its creation is unknown, or later than `now`."""
    try:
        created = call.date_created
        if created is None or created > now:
            return None
        ended = _end(call)
        if ended is None or ended + SETTLED_AFTER > now:
            return DateWindow(created - EARLY, now, is_open=True)
        return DateWindow(created - EARLY, max(ended, created) + relation.late)
    except (UpstreamInvalid, OverflowError):
        return None


def _end(call: CallResource) -> datetime | None:
    """When a call ended; None where it is not over, or cannot be told."""
    try:
        return (call.end_time or call.date_updated) if call.status in FINAL else None
    except UpstreamInvalid:
        return None
