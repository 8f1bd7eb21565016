"""For how long an answer of upstream stays true, by what it says itself.

Pure: the time comes in as a value. Each resource says which rows are immutable (Note [Immutable
rows] in descriptors). Such a row can still be deleted, so nothing is kept longer than TTL. This
module must not know who keeps an answer.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from gateway.errors import UpstreamInvalid
from gateway.upstream.calls import FINAL, CallResource, ended_long_ago
from gateway.upstream.date_ranges import DateTimeRange
from gateway.upstream.descriptors import OLD, never
from gateway.upstream.requests import FIRST_PAGE, FetchRequest, ListRequest, Page

__all__ = ["SETTLED", "TTL", "is_immutable", "lifetime", "may_be_immutable"]

TTL = timedelta(hours=1)
SETTLED = timedelta(seconds=10)
"""A call that has ended and whose price may still come."""


def lifetime(
    request: Any, answer: Any, now: datetime, owner: CallResource | None = None
) -> timedelta:
    """For how long an answer may be reused; zero for what can change at any moment.

    A list is kept if its rows are dated in a range that ended long ago and are immutable: no row
    joins it any more. `owner` is the call whose list it is, where that is known.
    """
    if answer is None:  # upstream has no such row now
        return timedelta()
    if is_immutable(request, answer, now, owner):
        return TTL
    if isinstance(request, ListRequest):
        rule = request.resource.is_immutable
        is_kept = _is_past(request, now) and all(_is_true_of(rule, r, now) for r in answer.rows)
        return TTL if is_kept and not answer.left_out else timedelta()
    is_final = isinstance(answer, CallResource) and answer.status in FINAL
    return SETTLED if is_final else timedelta()


def _is_past(request: ListRequest[Any], now: datetime) -> bool:
    """True for a range of dates that ended OLD ago, and as long again, since calls last a day."""
    dates: DateTimeRange | None = getattr(request, request.resource.day_filter)
    return dates is not None and dates.lt is not None and dates.lt + 2 * OLD <= now


def is_immutable(
    request: Any, answer: Any, now: datetime, owner: CallResource | None = None
) -> bool:
    """True if an answer cannot change any more. `owner` is the call whose list it is, if known."""
    rule = request.resource.is_immutable
    if isinstance(request, FetchRequest):
        return _is_true_of(rule, answer, now)
    return (
        may_be_immutable(request, now, owner)
        and _is_whole(answer)
        and all(_is_true_of(rule, row, now) for row in answer.rows)
    )


def may_be_immutable(request: Any, now: datetime, owner: CallResource | None = None) -> bool:
    """False if whatever answers this request can change."""
    if isinstance(request, FetchRequest):
        return request.resource.is_immutable is not never
    return (
        request.resource.lists_end_with_calls
        and owner is not None
        and request.owner == owner.sid
        and request.page == FIRST_PAGE
        and _is_true_of(ended_long_ago, owner, now)
    )


def _is_whole(page: Page[Any]) -> bool:
    """True for the first page if it is the only page of its list, with no row filtered out."""
    return page.next is None and page.previous is None and page.is_exact


def _is_true_of(rule: Callable[[Any, datetime], bool], row: Any, now: datetime) -> bool:
    """Whether a rule holds for a row; False where a property that it needs is unreadable."""
    try:
        return rule(row, now)
    except UpstreamInvalid:
        return False
