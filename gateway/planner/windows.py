"""Windows: on which days the rows of a call's edge lie.

The rows of a settled call are dated from its date_created to past its end, with the slack that the
resource needs (Note [Slack] in descriptors). A call that is not settled may get rows at any time:
for it, only a list without an upper bound is right, and only as of the moment when it is read. This
module must not know what a scan costs.
"""

from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from gateway.errors import UpstreamInvalid
from gateway.upstream.calls import FINAL, CallResource
from gateway.upstream.descriptors import ResourceDescriptor
from gateway.upstream.requests import ListRequest

__all__ = [
    "EARLY",
    "DateWindow",
    "edge_of",
    "is_by_days_only",
    "lifetime_of",
    "window_in",
    "window_of",
    "without_days",
]

# How long before its call's creation a row may be dated.
EARLY = timedelta(minutes=1)
# How long after a call's end upstream's lists show all rows that are there.
SETTLED_AFTER = timedelta(seconds=30)


class DateWindow(NamedTuple):
    """When the rows of one call's edge may be dated: from `since` to `until`, included, UTC.

    `is_open` means that the call may get more rows: the window is then as of now, `until` is now.
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


def edge_of(request: Any) -> tuple[str, ListRequest[Any]] | None:
    """The SID of the call whose edge this is, and the account list that also holds its rows.

    None where the request is not an edge's first page, or only the call's own list has the rows.
    """
    return request.edge if isinstance(request, ListRequest) else None


def without_days(request: ListRequest[Any]) -> ListRequest[Any]:
    """The same list, of all days."""
    return request.within(None, 0).list


def is_by_days_only(request: ListRequest[Any]) -> bool:
    """True for an account list narrowed only by days: its rows show the account's density."""
    return without_days(request) == request.resource.list_of(None).list


def window_of(
    call: CallResource, resource: ResourceDescriptor[Any], now: datetime
) -> DateWindow | None:
    """The window of a call's rows of this resource.

    None where the call's creation is unknown, or later than `now`.
    """
    lifetime = lifetime_of(call, now)
    return window_in(lifetime, resource) if lifetime else None


def lifetime_of(call: CallResource, now: datetime) -> DateWindow | None:
    """From just before a call's creation to its end; open where it is not settled.

    None as `window_of`.
    """
    try:
        created = call.date_created
        if created is None or created > now:
            return None
        ended = _end(call)
        if ended is None or ended + SETTLED_AFTER > now:
            return DateWindow(created - EARLY, now, is_open=True)
        return DateWindow(created - EARLY, max(ended, created))
    except (UpstreamInvalid, OverflowError):
        return None


def window_in(lifetime: DateWindow, resource: ResourceDescriptor[Any]) -> DateWindow | None:
    """The window of the rows of this resource, from a call's lifetime; None as `window_of`."""
    if lifetime.is_open:
        return lifetime
    try:
        return DateWindow(lifetime.since, lifetime.until + resource.max_lag)
    except OverflowError:
        return None


def _end(call: CallResource) -> datetime | None:
    """When a call ended; None where it is not over, or its end is unreadable."""
    try:
        return (call.end_time or call.date_updated) if call.status in FINAL else None
    except UpstreamInvalid:
        return None
