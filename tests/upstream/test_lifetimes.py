"""For how long an answer may be reused: an hour, seconds, or not at all."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from gateway.upstream.calls import CallResource, CallStatus, FetchCall, ListCalls
from gateway.upstream.date_ranges import DateTimeRange
from gateway.upstream.lifetimes import SETTLED, TTL, lifetime
from gateway.upstream.requests import Page
from tests.plain_twilio import sid
from tests.upstream.stage import row

NOW = datetime(2026, 3, 10, 18, tzinfo=UTC)
NEVER = timedelta()


def a_call(*, hours: float = 1, **given: Any) -> CallResource:
    """A priced call that ended so many hours ago."""
    end = format_datetime(NOW - timedelta(hours=hours))
    return row(CallResource, **{"status": "completed", "price": "-0.01", "end_time": end} | given)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (a_call(), TTL),
        (a_call(price=None), SETTLED),
        (a_call(price=None, hours=25), TTL),
        (a_call(status="in-progress", price=None), NEVER),
        (a_call(status="made-up", price=None), NEVER),
        (None, NEVER),
    ],
    ids=["priced", "unpriced", "never priced", "live", "unknown", "missing"],
)
def test_a_call(answer: CallResource | None, expected: timedelta) -> None:
    assert lifetime(FetchCall(sid=sid("CA", 9)), answer, NOW) == expected


def until(days: float) -> ListCalls:
    """The calls that started in the week to so many days ago."""
    end = NOW - timedelta(days=days)
    return ListCalls(start_time=DateTimeRange(end - timedelta(days=7), end))


@pytest.mark.parametrize(
    ("request_", "rows", "expected"),
    [
        (until(2), [a_call(hours=50)], TTL),
        (until(2), [], TTL),
        (until(1.9), [a_call(hours=50)], NEVER),
        (until(2), [a_call(status="in-progress")], NEVER),
        (until(2), [a_call(hours=50), a_call(price=None)], NEVER),
        (ListCalls(), [a_call(hours=50)], NEVER),
        (ListCalls(status=CallStatus.BUSY), [a_call(hours=50)], NEVER),
        (ListCalls(start_time=DateTimeRange(NOW - timedelta(days=9))), [a_call()], NEVER),
    ],
    ids=["past", "empty", "too new", "live", "unpriced", "all", "status", "open"],
)
def test_a_list(request_: ListCalls, rows: list[CallResource], expected: timedelta) -> None:
    page: Page[CallResource] = Page(
        request=request_, rows=tuple(rows), next=None, previous=None, rows_read=len(rows)
    )

    assert lifetime(request_, page, NOW) == expected


def test_a_list_with_rows_left_out_is_not_kept() -> None:
    page: Page[CallResource] = Page(
        request=until(9), rows=(), next=None, previous=None, rows_read=1, left_out=1
    )

    assert lifetime(until(9), page, NOW) == NEVER
