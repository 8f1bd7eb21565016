"""DateTime, Date, Decimal, and Twilio's open enums: how clients see values.

Times are RFC 3339 in UTC with a Z. Money is text, digit by digit as upstream wrote it
(docs/design/schema.md#6-values). This module must not know which fields use them.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import strawberry
from strawberry.types.scalar import ScalarDefinition

from gateway.errors import BadUserInput
from gateway.schema.strawberry_internals import enum_values
from gateway.upstream.calls import AnsweredBy, CallDirection, CallStatus
from gateway.upstream.notifications import NotificationLevel
from gateway.upstream.recordings import RecordingSource, RecordingStatus, RecordingTrack

__all__ = [
    "SCALARS",
    "AnsweredBy",
    "CallDirection",
    "CallStatus",
    "NotificationLevel",
    "RecordingSource",
    "RecordingStatus",
    "RecordingTrack",
    "described_enum",
]

# RFC 3339 section 5.6; its note lets a space stand for the T.
RFC_3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)
LEAP_SECOND = 60


def _write_datetime(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


def _read_datetime(value: Any) -> datetime:
    """Digits beyond a microsecond round up, so both bounds of a half-open range stay exact.

    A time in whole microseconds is before the text exactly if it is before the returned value.
    """
    found = RFC_3339.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise BadUserInput(
            "A DateTime must be RFC 3339 with a zone, for example 2026-01-31T09:00:00Z"
        )
    *parts, digits, sign, hours, minutes = found.groups()
    year, month, day, hour, minute, second = map(int, parts)
    try:
        ahead = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        begun = datetime(year, month, day, hour, minute, tzinfo=UTC)
        begun += ahead if sign == "-" else -ahead
        if not (second < LEAP_SECOND or (second == LEAP_SECOND and _ends_a_month(begun))):
            raise ValueError(second)
        return begun + timedelta(seconds=second, microseconds=_microseconds(digits or ""))
    except (ValueError, OverflowError):
        raise BadUserInput("This DateTime is no valid time from year 1 to 9999") from None


def _ends_a_month(minute: datetime) -> bool:
    """True for the last minute of a month in UTC: only there can a leap second be."""
    after = minute + timedelta(minutes=1)
    return (after.day, after.hour, after.minute) == (1, 0, 0)


def _microseconds(digits: str) -> int:
    return int(digits[:6].ljust(6, "0")) + bool(digits[6:].strip("0"))


def _read_date(value: Any) -> date:
    """Raises BadUserInput also for the last day, 9999-12-31: its end cannot be represented."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
        raise BadUserInput("A Date must be YYYY-MM-DD, for example 2026-01-31")
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise BadUserInput("This Date is no valid day") from None
    if day == date.max:
        raise BadUserInput("This Date is too late: the last one is 9999-12-30")
    return day


def _read_decimal(value: Any) -> Decimal:
    if not isinstance(value, str) or not re.fullmatch(r"[+-]?\d{1,20}(\.\d{1,20})?", value):
        raise BadUserInput("A Decimal must be a string of digits, for example -0.03000")
    return Decimal(value)


SCALARS: Mapping[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="A time in UTC, RFC 3339, for example 2026-01-31T09:00:00Z. In inputs, digits "
        "beyond a microsecond round up, and a leap second is read as the second after it.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=_write_datetime,
        parse_value=_read_datetime,
    ),
    date: strawberry.scalar(
        name="Date",
        description="A day in UTC (GMT), for example 2026-01-31.",
        serialize=date.isoformat,
        parse_value=_read_date,
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description="An exact decimal number as text, for example -0.03000.",
        serialize=lambda value: format(value, "f"),
        parse_value=_read_decimal,
    ),
}


def _open_enum(choices: type[Enum], description: str, meanings: Mapping[Enum, str]) -> None:
    """Makes a wire enum a GraphQL enum: values in SCREAMING_SNAKE, and UNKNOWN for new ones."""
    unknown = {choices["UNKNOWN"]: "A value that the gateway does not know."}
    described_enum(
        choices,
        f"{description} Twilio may add values; those that the gateway does not know are UNKNOWN.",
        unknown | dict(meanings),
    )


def described_enum(choices: type[Enum], description: str, meanings: Mapping[Enum, str]) -> None:
    """Makes an enum a GraphQL enum; on the wire each member keeps its Python value."""
    strawberry.enum(choices, description=description)
    for value in enum_values(choices):
        value.description = meanings.get(choices[value.name])


_open_enum(
    CallStatus,
    "The state of a call: REST property Status.",
    {
        CallStatus.QUEUED: "The call is ready and waiting in line before going out.",
        CallStatus.RINGING: "The call is currently ringing.",
        CallStatus.IN_PROGRESS: "The call was answered and is currently in progress.",
        CallStatus.CANCELED: "The call was hung up while it was queued or ringing.",
        CallStatus.COMPLETED: "The call was answered and has ended normally.",
        CallStatus.FAILED: "The call could not be completed as dialed, most likely because the "
        "phone number was non-existent.",
        CallStatus.BUSY: "The caller received a busy signal.",
        CallStatus.NO_ANSWER: "The call ended without being answered.",
        CallStatus.UNKNOWN: "The state is missing or unreadable, or the gateway does not know it.",
    },
)
_open_enum(
    CallDirection,
    "How a call was initiated: REST property Direction.",
    {
        CallDirection.INBOUND: "An inbound call.",
        CallDirection.OUTBOUND_API: "A call initiated via the REST API.",
        CallDirection.OUTBOUND_DIAL: "A call initiated by a <Dial> verb.",
        CallDirection.TRUNKING_ORIGINATING: "A call from the phone network into a SIP trunk.",
        CallDirection.TRUNKING_TERMINATING: "A call from a SIP trunk to the phone network.",
        CallDirection.UNKNOWN: "The direction is missing or unreadable, or the gateway does not "
        "know it.",
    },
)
_open_enum(
    AnsweredBy,
    "The result of answering machine detection: REST property AnsweredBy.",
    {
        AnsweredBy.HUMAN: "A person.",
        AnsweredBy.MACHINE: "A machine (older detection).",
        AnsweredBy.MACHINE_START: "A machine, detected at the beginning of its greeting.",
        AnsweredBy.MACHINE_END_BEEP: "A machine, detected after the beep that ends its greeting.",
        AnsweredBy.MACHINE_END_SILENCE: "A machine whose greeting ended in silence.",
        AnsweredBy.MACHINE_END_OTHER: "A machine whose greeting ended in another way.",
        AnsweredBy.FAX: "A fax.",
        AnsweredBy.UNKNOWN: "Detection was inconclusive, or the gateway does not know the value.",
    },
)
_open_enum(
    RecordingStatus,
    "The state of a recording: REST property Status.",
    {
        RecordingStatus.IN_PROGRESS: "The call is being recorded.",
        RecordingStatus.PAUSED: "The recording is paused and can be resumed.",
        RecordingStatus.STOPPED: "The recording was stopped.",
        RecordingStatus.PROCESSING: "The recording has ended and is being prepared.",
        RecordingStatus.COMPLETED: "The recording is ready.",
        RecordingStatus.ABSENT: "Nothing was recorded, or too little: see errorCode.",
        RecordingStatus.DELETED: "The audio was deleted.",
    },
)
_open_enum(
    RecordingSource,
    "What started a recording: REST property Source.",
    {
        RecordingSource.DIAL_VERB: "A <Dial> verb with record.",
        RecordingSource.CONFERENCE: "A conference with record.",
        RecordingSource.OUTBOUND_API: "A call made via the REST API with Record.",
        RecordingSource.TRUNKING: "A SIP trunk that records.",
        RecordingSource.RECORD_VERB: "A <Record> verb.",
        RecordingSource.START_CALL_RECORDING_API: "A request to record a live call.",
        RecordingSource.START_CONFERENCE_RECORDING_API: "A request to record a live conference.",
    },
)
_open_enum(
    RecordingTrack,
    "Whose voice a recording holds: REST property Track.",
    {
        RecordingTrack.INBOUND: "What Twilio receives: the other party's voice.",
        RecordingTrack.OUTBOUND: "What Twilio sends: what the other party hears.",
        RecordingTrack.BOTH: "Both.",
    },
)
_open_enum(
    NotificationLevel,
    "The severity of a notification: REST property Log.",
    {NotificationLevel.ERROR: "Log 0: an error.", NotificationLevel.WARNING: "Log 1: a warning."},
)
