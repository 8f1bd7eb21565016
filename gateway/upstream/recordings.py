"""Recordings: their rows, the requests that read them, and the description of the resource.

This module must not know how a request is sent, nor GraphQL.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Self

from gateway.upstream.date_ranges import DateTimeRange, Query
from gateway.upstream.descriptors import BY_CREATION_OR_START, ResourceDescriptor, is_old
from gateway.upstream.requests import (
    Conditions,
    FetchRequest,
    ListRequest,
    lazily,
    of_call,
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
    "RECORDINGS",
    "FetchRecording",
    "ListRecordings",
    "RecordingResource",
    "RecordingSource",
    "RecordingStatus",
    "RecordingTrack",
]


class RecordingStatus(Enum):
    """The state of a recording (docs/twilio.md#4-recording-and-notification)."""

    IN_PROGRESS = "in-progress"
    PAUSED = "paused"
    STOPPED = "stopped"
    PROCESSING = "processing"
    COMPLETED = "completed"
    ABSENT = "absent"
    DELETED = "deleted"
    UNKNOWN = "unknown"


class RecordingSource(Enum):
    """What began a recording (docs/twilio.md#4-recording-and-notification)."""

    DIAL_VERB = "DialVerb"
    CONFERENCE = "Conference"
    OUTBOUND_API = "OutboundAPI"
    TRUNKING = "Trunking"
    RECORD_VERB = "RecordVerb"
    START_CALL_RECORDING_API = "StartCallRecordingAPI"
    START_CONFERENCE_RECORDING_API = "StartConferenceRecordingAPI"
    UNKNOWN = "unknown"


class RecordingTrack(Enum):
    """Whose voice a recording holds (docs/twilio.md#4-recording-and-notification)."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    BOTH = "both"
    UNKNOWN = "unknown"


@row_type("RE")
class RecordingResource(Resource):
    """A recording. `track` is only in the per-call form, `media_url` only in the account's."""

    call_sid = LazyField(as_sid("CA"))
    conference_sid = LazyField(as_text)
    start_time = LazyField(as_timestamp)
    duration = LazyField(as_whole_number)
    price = LazyField(as_decimal)
    price_unit = LazyField(as_text)
    status = LazyField(as_enum(RecordingStatus))
    channels = LazyField(as_whole_number)
    source = LazyField(as_enum(RecordingSource))
    error_code = LazyField(as_whole_number)
    track = LazyField(as_enum(RecordingTrack))
    media_url = LazyField(as_text)


FINISHED = frozenset({RecordingStatus.COMPLETED, RecordingStatus.ABSENT})
"""The states that never change (docs/twilio.md#4-recording-and-notification)."""


def _is_immutable(recording: RecordingResource, now: datetime) -> bool:
    is_priced = recording.price is not None or is_old(recording.date_updated, now)
    return recording.status in FINISHED and is_priced


RECORDINGS = ResourceDescriptor(
    name="recordings",
    type_name="Recording",
    sid_prefix="RE",
    row=RecordingResource,
    fetch=lambda sid: FetchRecording(sid=sid),
    list_of=lambda call_sid: ListRecordings(call_sid=call_sid),
    owner="call_sid",
    day_filter="date_created",
    orders=BY_CREATION_OR_START,
    max_lag=timedelta(hours=1),
    rows_per_call=0.5,
    is_immutable=_is_immutable,
    lists_end_with_calls=True,
    costly_properties=("media_url",),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class FetchRecording(FetchRequest[RecordingResource]):
    """GET Recordings/{sid}, or Calls/{call_sid}/Recordings/{sid}: only the latter has `track`."""

    resource = RECORDINGS
    call_sid: str | None = None

    @property
    def path(self) -> str:
        return f"{of_call(self.call_sid)}Recordings/{self.sid}"


@dataclass(frozen=True, kw_only=True, eq=False)
class ListRecordings(ListRequest[RecordingResource]):
    """GET Calls/{call_sid}/Recordings (seed: "a list of recordings generated during the call").

    Without `call_sid` the account's, filtered by the whole days of `date_created`. `with_track`
    wants rows that have a `track`, which only a call's own list gives
    (docs/twilio.md#1-surprising-facts, fact 8).
    """

    resource = RECORDINGS
    call_sid: str | None = None
    date_created: DateTimeRange | None = None
    with_track: bool = False

    @property
    def path(self) -> str:
        return f"{of_call(self.call_sid)}Recordings"

    def filters(self) -> Query:
        return self.date_created.query("DateCreated") if self.date_created else ()

    def exact_filter(self) -> Conditions:
        return ()

    @lazily
    def account_list(self) -> Self | None:
        return None if self.with_track else super().account_list
