"""Ranges of time, and the whole days that upstream can filter by.

This module must not know which list is filtered.

Note [Whole days]. Upstream filters dates by whole GMT days, silently ignores a parameter that it
does not know, and `StartTime<=D` stops at midnight at the start of D
(docs/twilio.md#1-surprising-facts, facts 2-4). So the gateway requests whole days, from the day of
`gte` to the day after the last instant of the range, and checks the rows to the second itself:
right under every reading of Twilio's bounds.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Self

__all__ = ["ONE_DAY", "DateTimeRange", "Query", "midnight"]

Query = tuple[tuple[str, str], ...]
ONE_DAY = timedelta(days=1)


def midnight(day: date) -> datetime:
    """The moment at which a GMT day begins."""
    return datetime.combine(day, time(), UTC)


@dataclass(frozen=True, slots=True)
class DateTimeRange:
    """Instants from `gte` (inclusive) to `lt` (exclusive), both UTC; None is unbounded."""

    gte: datetime | None = None
    lt: datetime | None = None

    @classmethod
    def day(cls, day: date) -> Self:
        """The whole GMT day."""
        return cls(midnight(day), midnight(day) + ONE_DAY)

    @classmethod
    def days(cls, first: date, last: date | None) -> Self:
        """These whole GMT days, `last` included; None is without an end."""
        return cls(midnight(first), midnight(last) + ONE_DAY if last else None)

    def contains(self, moment: datetime | None) -> bool:
        """True when the moment is inside; None never is."""
        if moment is None:
            return False
        return (self.gte is None or self.gte <= moment) and (self.lt is None or moment < self.lt)

    def is_whole_days(self) -> bool:
        """True when upstream's whole days are exactly this range."""
        return all(edge is None or edge.time() == time() for edge in (self.gte, self.lt))

    def query(self, name: str) -> Query:
        """The narrowest day filter that covers this range, as `name`, or `name<` and `name>`."""
        since = self.gte.date() if self.gte else None
        until = _first_day_past(self.lt) if self.lt else None
        if since and until and until - since == ONE_DAY:
            return ((name, since.isoformat()),)
        edges = ((f"{name}<", until), (f"{name}>", since))
        return tuple((edge, day.isoformat()) for edge, day in edges if day)


def _first_day_past(lt: datetime) -> date | None:
    """The first GMT day after the range; None beyond the last date: then no bound is needed."""
    if lt.time() == time():
        return lt.date()
    return lt.date() + ONE_DAY if lt.date() < date.max else None
