"""Minimal valid rows for tests; a test sets the fields that it is about."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.sandbox.resources import CallRow, NotificationRow, RecordingRow

NOON = int(datetime(2026, 7, 6, 12, tzinfo=UTC).timestamp())
"""Monday, 6 July 2026, 12:00 UTC."""


def sid(prefix: str, number: int) -> str:
    return f"{prefix}{number:032x}"


def call(number: int, at: int = NOON, **fields: Any) -> CallRow:
    defaults: dict[str, Any] = {
        "sid": sid("CA", number),
        "date_created": at,
        "date_updated": at,
        "to": "+14155550100",
        "from_": "+12125550142",
        "status": "completed",
        "start_time": at,
        "direction": "inbound",
    }
    return CallRow(**{**defaults, **fields})


def newest_first(rows: Sequence[CallRow]) -> list[CallRow]:
    """The order of every list; within one second, the row that was added last comes first."""
    order = sorted(((row.date_created, index) for index, row in enumerate(rows)), reverse=True)
    return [rows[index] for _, index in order]


def recording(number: int, call_number: int | None, at: int = NOON, **fields: Any) -> RecordingRow:
    defaults: dict[str, Any] = {
        "sid": sid("RE", number),
        "date_created": at,
        "date_updated": at,
        "call_sid": None if call_number is None else sid("CA", call_number),
        "start_time": at,
        "status": "completed",
        "source": "DialVerb",
    }
    return RecordingRow(**{**defaults, **fields})


def notification(
    number: int, call_number: int | None, at: int = NOON, **fields: Any
) -> NotificationRow:
    defaults: dict[str, Any] = {
        "sid": sid("NO", number),
        "date_created": at,
        "date_updated": at,
        "message_date": at,
        "call_sid": None if call_number is None else sid("CA", call_number),
        "error_code": "11200",
        "log": "0",
        "message_text": "LogLevel=ERROR&ErrorCode=11200",
        "more_info": "https://www.twilio.com/docs/errors/11200",
        "request_method": "POST",
        "request_url": "https://ivr.example.com/voice",
    }
    return NotificationRow(**{**defaults, **fields})
