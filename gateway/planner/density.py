"""How dense calls are at a time, by what one operation has read: the best sample there is.

This module must not know what is learned from earlier operations, nor the clock: `now` comes in as
a value.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.errors import UpstreamInvalid
from gateway.planner.windows import is_by_days_only
from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.requests import TOP, Page

__all__ = ["Density", "Portion"]

BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Portion:
    """What was read of a span of time.

    `calls` lie where every call was read; `others` are known of the rest, which lasts `unread`.
    """

    calls: int
    others: int
    unread: timedelta


class Density:
    """The calls of one operation by date, and the times of which it has read every call."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._dates: dict[str, datetime] = {}
        self._sorted: list[datetime] | None = None
        self._read: list[tuple[datetime, datetime]] = []

    def note(self, call: CallResource) -> None:
        """Counts a call, wherever it was read."""
        created = _created(call)
        if created is not None:
            self._dates[call.sid] = created
            self._sorted = None

    def note_page(self, page: Page[CallResource]) -> None:
        """Counts a page's time as read, where the list leaves out no call of its days."""
        request = page.request
        if not isinstance(request, ListCalls) or not is_by_days_only(request):
            return
        dates = [date for row in page.rows if (date := _created(row)) is not None]
        days = request.days
        first, last = (dates[0], dates[-1]) if dates else (None, None)
        end = min(days.lt if days and days.lt else self._now, self._now)
        begin = days.gte if days and days.gte else BEGINNING
        until = end if request.page == TOP else first
        since = begin if page.next is None else last
        if since is not None and until is not None and since < until:
            self._read.append((since, until))
            self._read.sort()

    def of(self, since: datetime, until: datetime) -> Portion:
        """What was read of this span."""
        dates = self._in_order()
        first, beyond = bisect_left(dates, since), bisect_right(dates, until)
        calls, read, place, counted = 0, timedelta(0), since, first
        for begin, end in self._read:
            begin, end = max(begin, place), min(end, until)
            if begin < end:
                begin_at = max(bisect_left(dates, begin), counted)
                counted = max(bisect_right(dates, end), begin_at)
                calls += counted - begin_at
                read += end - begin
                place = end
        length = max(until - since, timedelta(0))
        return Portion(calls, max(beyond - first - calls, 0), length - read)

    def has_after(self, moment: datetime) -> bool:
        """True when a call is known that was created later."""
        return any(created > moment for created in self._dates.values())

    def _in_order(self) -> list[datetime]:
        if self._sorted is None:
            self._sorted = sorted(self._dates.values())
        return self._sorted


def _created(call: CallResource) -> datetime | None:
    try:
        return call.date_created
    except UpstreamInvalid:
        return None
