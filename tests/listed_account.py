"""An account in Python lists that stands for the client: its lists in any order, page by page."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar

import msgspec

from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.notifications import ListNotifications, NotificationResource
from gateway.upstream.recordings import ListRecordings, RecordingResource
from gateway.upstream.requests import ListRequest, Page, PageRef

__all__ = ["NOW", "Account", "call", "call_sid", "notification", "recording"]

NOW = datetime(2026, 3, 10, 15, tzinfo=UTC)


@dataclass
class Account:
    """Lists in the order in which upstream gives them; stands for the client.

    A page before a row is `astray` rows off; None: such tokens are ignored.
    """

    calls: list[CallResource]
    recordings: list[RecordingResource]
    notifications: list[NotificationResource]
    cap: int = 1000
    arriving: int = 0
    repeats: bool = False
    astray: int | None = 0
    requests: list[ListRequest[Any]] = field(default_factory=list)
    shares_cache: ClassVar[bool] = False

    async def page(self, request: ListRequest[Any], *_whom: object) -> Page[Any]:
        """A page as the client makes it, of at most `cap` rows."""
        await asyncio.sleep(0)
        self.requests.append(request)
        rows = [row for row in getattr(self, request.kind) if _in_days(request, row)]
        rows = [row for row in rows if request.matches(row)]
        start, stop = self._places(rows, request)
        shown = rows[start:stop]
        following = PageRef.after(shown[-1].sid) if rows[stop:] and shown else None
        previous = PageRef.before(shown[0].sid) if start and shown else None
        if self.repeats and start:
            shown = [rows[start - 1], *shown]
        self._arrive()
        return Page(request, tuple(shown), following, previous, len(shown), seconds=0.05)

    def _places(self, rows: Sequence[Any], request: ListRequest[Any]) -> tuple[int, int]:
        size, token = min(request.page_size, self.cap), request.page.token
        if token is None or (token.startswith("PB") and self.astray is None):
            return 0, size
        place = [row.sid for row in rows].index(token[2:])
        if token.startswith("PA"):
            return place + 1, place + 1 + size
        stop = max(place - (self.astray or 0), 0)
        return max(stop - size, 0), stop

    def _arrive(self) -> None:
        """Rows of calls that nobody asked for, at the end where the list has its newest."""
        for _ in range(self.arriving):
            number = 5000 + len(self.recordings) + len(self.notifications)
            _add(self.recordings, recording(number, 999, NOW))
            _add(self.notifications, notification(number, None, NOW))


def _add(rows: list[Any], row: Any) -> None:
    is_upside_down = bool(rows) and rows[0].date_created < rows[-1].date_created
    rows.insert(len(rows) if is_upside_down else 0, row)


def _in_days(request: ListRequest[Any], row: Any) -> bool:
    match request:
        case ListRecordings(date_created=days) if days:
            return days.contains(row.date_created)
        case ListNotifications(message_date=days) if days:
            return days.contains(row.message_date)
        case ListCalls(start_time=days) if days:
            return days.contains(row.start_time)
    return True


def call_sid(number: int) -> str:
    """A call's SID."""
    return f"CA{number:032x}"


def recording(number: int, of: int | None, at: datetime) -> RecordingResource:
    """A recording of a call, or of none."""
    wire = {
        "sid": f"RE{number:032x}",
        "call_sid": call_sid(of) if of is not None else None,
        "date_created": format_datetime(at),
    }
    return msgspec.convert(wire, RecordingResource)


def notification(number: int, of: int | None, at: datetime) -> NotificationResource:
    """A notification about a call, or about none."""
    wire = {
        "sid": f"NO{number:032x}",
        "call_sid": call_sid(of) if of is not None else "",
        "message_date": format_datetime(at),
        "date_created": format_datetime(at + timedelta(seconds=1)),
        "log": str(number % 2),
    }
    return msgspec.convert(wire, NotificationResource)


def call(number: int, created: datetime, seconds: int, status: str, **given: Any) -> CallResource:
    """A call as the client decodes it."""
    ended = created + timedelta(seconds=seconds)
    is_over = status in {"completed", "busy", "canceled"}
    wire = {
        "sid": call_sid(number),
        "status": status,
        "direction": "inbound",
        "date_created": format_datetime(created),
        "date_updated": format_datetime(ended),
        "start_time": format_datetime(created),
        "end_time": format_datetime(ended) if is_over else None,
    }
    return msgspec.convert(wire | given, CallResource)
