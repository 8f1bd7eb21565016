"""How dense calls are at a time, from what one operation has read: the best sample there is.

This module must not know what is learned from earlier operations, nor the clock: `now` comes in as
a value.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.errors import UpstreamInvalid
from gateway.planner.windows import is_by_days_only
from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.requests import FIRST_PAGE, Page

__all__ = ["Density", "Portion"]

BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Portion:
    """How much of a span of time was read.

    `calls` lie where every call was read. `others` are known calls in the rest, which lasts
    `unread`.
    """

    calls: int
    others: int
    unread: timedelta


class Density:
    """One operation's calls by date, and the spans of time of which it has read every call."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._dates: dict[str, datetime] = {}
        self._sorted: list[datetime] | None = None
        self._read_spans: list[tuple[datetime, datetime]] = []

    def add(self, call: CallResource) -> None:
        """Counts a call, from whatever page."""
        created = _created(call)
        if created is not None:
            self._dates[call.sid] = created
            self._sorted = None

    def add_page(self, page: Page[CallResource]) -> None:
        """Counts a page's span of time as read, if its list leaves out no call of these days."""
        request = page.request
        if not isinstance(request, ListCalls) or not is_by_days_only(request):
            return
        dates = [date for row in page.rows if (date := _created(row)) is not None]
        days = request.days
        first, last = (dates[0], dates[-1]) if dates else (None, None)
        end = min(days.lt if days and days.lt else self._now, self._now)
        begin = days.gte if days and days.gte else BEGINNING
        until = end if request.page == FIRST_PAGE else first
        since = begin if page.next is None else last
        if since is not None and until is not None and since < until:
            self._read_spans.append((since, until))
            self._read_spans.sort()

    def portion(self, since: datetime, until: datetime) -> Portion:
        """How much of this span was read."""
        dates = self._sorted_dates()
        first, beyond = bisect_left(dates, since), bisect_right(dates, until)
        calls, read, position, counted = 0, timedelta(0), since, first
        for begin, end in self._read_spans:
            begin, end = max(begin, position), min(end, until)
            if begin < end:
                begin_at = max(bisect_left(dates, begin), counted)
                counted = max(bisect_right(dates, end), begin_at)
                calls += counted - begin_at
                read += end - begin
                position = end
        length = max(until - since, timedelta(0))
        return Portion(calls, max(beyond - first - calls, 0), length - read)

    def has_after(self, moment: datetime) -> bool:
        """True when a known call was created later."""
        return any(created > moment for created in self._dates.values())

    def _sorted_dates(self) -> list[datetime]:
        if self._sorted is None:
            self._sorted = sorted(self._dates.values())
        return self._sorted


def _created(call: CallResource) -> datetime | None:
    try:
        return call.date_created
    except UpstreamInvalid:
        return None
