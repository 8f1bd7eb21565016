"""Calls: their rows, the requests that read them, and the description of the resource.

This module must not know how a request is sent, nor GraphQL.

Note [Past the range]. Twilio cannot filter calls by creation. The list of calls that were never
dialed is read from its top and ends where its rows show that all further ones are older than the
range: in each order that the page's rows do not contradict (Note [Newest first] in evidence), the
page descends and ends before the range. A list in another order is read to its end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from itertools import pairwise
from operator import contains, is_, le
from typing import Self

from gateway.errors import UpstreamInvalid
from gateway.upstream.date_ranges import DateTimeRange, Query
from gateway.upstream.descriptors import BY_CREATION_OR_START, ResourceDescriptor, is_old
from gateway.upstream.requests import (
    Conditions,
    FetchRequest,
    ListRequest,
    check_sid,
    conditions,
    lazily,
)
from gateway.upstream.resources import (
    LazyField,
    Resource,
    as_decimal,
    as_enum,
    as_sid,
    as_text,
    as_timestamp,
    as_whole_number,
    row_type,
)

__all__ = [
    "ALL_CALLS",
    "CALLS",
    "FINAL",
    "AnsweredBy",
    "CallDirection",
    "CallResource",
    "CallStatus",
    "FetchCall",
    "ListCalls",
    "Refinement",
    "ended_long_ago",
]


class CallStatus(Enum):
    """The eight states of a call (seed, "Call Status Values")."""

    QUEUED = "queued"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    CANCELED = "canceled"
    COMPLETED = "completed"
    FAILED = "failed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    UNKNOWN = "unknown"

    __hash__ = object.__hash__  # each member is one object; Enum's own hash is slow


FINAL = frozenset(
    {
        CallStatus.BUSY,
        CallStatus.CANCELED,
        CallStatus.COMPLETED,
        CallStatus.FAILED,
        CallStatus.NO_ANSWER,
    }
)
"""The states that never change (docs/twilio.md#3-call)."""


class CallDirection(Enum):
    """Who began the call; the trunking values are newer than the seed (docs/twilio.md#3-call)."""

    INBOUND = "inbound"
    OUTBOUND_API = "outbound-api"
    OUTBOUND_DIAL = "outbound-dial"
    TRUNKING_ORIGINATING = "trunking-originating"
    TRUNKING_TERMINATING = "trunking-terminating"
    UNKNOWN = "unknown"


class AnsweredBy(Enum):
    """The result of answering machine detection (docs/twilio.md#3-call)."""

    HUMAN = "human"
    MACHINE = "machine"
    MACHINE_START = "machine_start"
    MACHINE_END_BEEP = "machine_end_beep"
    MACHINE_END_SILENCE = "machine_end_silence"
    MACHINE_END_OTHER = "machine_end_other"
    FAX = "fax"
    UNKNOWN = "unknown"


@row_type("CA")
class CallResource(Resource):
    """A call, with the properties of the seed document."""

    parent_call_sid = LazyField(as_sid("CA"))
    to = LazyField(as_text)
    from_ = LazyField(as_text)
    phone_number_sid = LazyField(as_text)
    status = LazyField(as_enum(CallStatus), CallStatus.UNKNOWN)
    start_time = LazyField(as_timestamp)
    end_time = LazyField(as_timestamp)
    duration = LazyField(as_whole_number)
    price = LazyField(as_decimal)
    price_unit = LazyField(as_text)
    direction = LazyField(as_enum(CallDirection), CallDirection.UNKNOWN)
    answered_by = LazyField(as_enum(AnsweredBy))
    forwarded_from = LazyField(as_text)
    caller_name = LazyField(as_text)


def ended_long_ago(call: CallResource, now: datetime) -> bool:
    """True for a call that ended OLD ago: it gets no new rows. Raises UpstreamInvalid."""
    return call.status in FINAL and is_old(call.end_time or call.date_updated, now)


def _is_immutable(call: CallResource, now: datetime) -> bool:
    return call.status in FINAL and (call.price is not None or ended_long_ago(call, now))


CALLS = ResourceDescriptor(
    name="calls",
    type_name="Call",
    sid_prefix="CA",
    row=CallResource,
    fetch=lambda sid: FetchCall(sid=sid),
    list_of=lambda parent: ListCalls(parent_call_sid=parent),
    owner="parent_call_sid",
    day_filter="start_time",
    day_filter_keeps_live=False,
    orders=BY_CREATION_OR_START,
    max_lag=timedelta(minutes=10),
    rows_per_call=0.6,
    is_immutable=_is_immutable,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class FetchCall(FetchRequest[CallResource]):
    """GET Calls/{sid} (seed: "Returns the single Call resource")."""

    resource = CALLS

    @property
    def path(self) -> str:
        return f"Calls/{self.sid}"


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """What Twilio cannot filter calls by: the gateway checks each row that it reads.

    `min_duration` is in seconds. `never_dialed` means calls without a start time that were created
    in the range.
    """

    direction: tuple[CallDirection, ...] | None = None
    answered_by: tuple[AnsweredBy, ...] | None = None
    phone_number_sid: str | None = None
    min_duration: int | None = None
    never_dialed: DateTimeRange | None = None

    def conditions(self) -> Conditions:
        """As ListRequest.refining_conditions."""
        tests = {
            "direction": self.direction and partial(contains, self.direction),
            "answered_by": self.answered_by and partial(contains, self.answered_by),
            "duration": self.min_duration and partial(_is_at_least, self.min_duration),
            "start_time": self.never_dialed and partial(is_, None),
        }
        return [
            *conditions(
                {"phone_number_sid": self.phone_number_sid}, {"date_created": self.never_dialed}
            ),
            *((name, test) for name, test in tests.items() if test),
        ]


def _is_at_least(least: int, value: int | None) -> bool:
    return value is not None and le(least, value)


@dataclass(frozen=True, kw_only=True, eq=False)
class ListCalls(ListRequest[CallResource]):
    """GET Calls, with the filters of the seed document and EndTime (docs/twilio.md#5-lists)."""

    resource = CALLS
    to: str | None = None
    from_: str | None = None
    status: CallStatus | None = None
    start_time: DateTimeRange | None = None
    end_time: DateTimeRange | None = None
    parent_call_sid: str | None = None
    refinement: Refinement | None = None

    def __post_init__(self) -> None:
        if self.parent_call_sid is not None:
            check_sid("CA", self.parent_call_sid)

    @property
    def path(self) -> str:
        return "Calls"

    def filters(self) -> Query:
        plain = (
            ("To", self.to),
            ("From", self.from_),
            ("Status", self.status.value if self.status else None),
            ("ParentCallSid", self.parent_call_sid),
        )
        return (
            *((name, value) for name, value in plain if value is not None),
            *(self.start_time.query("StartTime") if self.start_time else ()),
            *(self.end_time.query("EndTime") if self.end_time else ()),
        )

    def exact_filter(self) -> Conditions:
        values = {
            "to": self.to,
            "from_": self.from_,
            "status": self.status,
        }
        return conditions(values, {"start_time": self.start_time, "end_time": self.end_time})

    def refining_conditions(self) -> Conditions:
        return self.refinement.conditions() if self.refinement else ()

    def is_past(self, rows: Sequence[CallResource]) -> bool:
        """See Note [Past the range]."""
        range_ = self.refinement.never_dialed if self.refinement else None
        if range_ is None or range_.gte is None:
            return False
        ends = list(_ends_of_possible_orders(rows))
        return bool(ends) and all(end is not None and end < range_.gte for end in ends)

    @lazily
    def account_list(self) -> "ListCalls":
        """The list of all calls: each row shows whether it matches."""
        return ALL_CALLS

    def with_status(self, status: CallStatus) -> Self:
        """The same list, filtered by this status."""
        return self._with(status=status)

    @property
    def names_person(self) -> bool:
        return self.to is not None or self.from_ is not None

    def is_exact(self) -> bool:
        ranges = (self.start_time, self.end_time)
        return not self.refinement and all(range_.is_whole_days() for range_ in ranges if range_)

    def refined(self, refinement: Refinement) -> Self:
        """The same list, of which only these calls match."""
        return self._with(refinement=refinement)


def _ends_of_possible_orders(rows: Sequence[CallResource]) -> Iterator[datetime | None]:
    """For each order that the rows do not contradict its last date; None if it never descends."""
    for names in CALLS.orders:
        dates = [date for row in rows if (date := _first_date(row, names)) is not None]
        if all(above >= below for above, below in pairwise(dates)):
            yield dates[-1] if dates and dates[-1] < dates[0] else None


def _first_date(row: CallResource, names: Sequence[str]) -> datetime | None:
    try:
        dates: Iterator[datetime | None] = (getattr(row, name) for name in names)
        return next((date for date in dates if date is not None), None)
    except UpstreamInvalid:
        return None


ALL_CALLS = ListCalls().list
