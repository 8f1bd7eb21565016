"""Recording: a recording of a call. At run time it is a RecordingResource.

Each of Twilio's two forms of a recording lacks one property (docs/twilio.md#1-surprising-facts,
fact 8). A property that the form at hand lacks is fetched with a request of its own.
"""

from collections.abc import Awaitable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from gateway.access.masking import masked_text
from gateway.schema.arguments import edge_page_size
from gateway.schema.connection import PageArgs, PageOrAwaitable, read_edges
from gateway.schema.context import Info, field_path, selects
from gateway.schema.directives import COSTS_REQUEST, PII
from gateway.schema.lookup import calls_by_sid, row_by_sid
from gateway.schema.masked_fields import personal
from gateway.schema.node import Node
from gateway.schema.rows import in_bulk
from gateway.schema.scalars import RecordingSource, RecordingStatus, RecordingTrack
from gateway.upstream.calls import CallResource
from gateway.upstream.recordings import (
    RECORDINGS,
    FetchRecording,
    ListRecordings,
    RecordingResource,
)

if TYPE_CHECKING:
    from gateway.schema.call import Call

__all__ = ["Recording", "recordings_of"]

LazyCall = Annotated["Call", strawberry.lazy("gateway.schema.call")]


@strawberry.federation.type(
    keys=["sid"],
    description="A recording of a call. Recordings of a two-leg call belong to the parent leg.",
)
class Recording(Node):
    """REST resource Recordings (docs/twilio.md#4-recording-and-notification)."""

    sid: strawberry.ID = strawberry.field(description="The recording's SID: REST property Sid.")
    account_sid: strawberry.ID = strawberry.field(
        description="The account's SID: REST property AccountSid."
    )
    call_sid: strawberry.ID | None = strawberry.field(
        description="The SID of the call's parent leg: REST property CallSid."
    )
    conference_sid: strawberry.ID | None = strawberry.field(
        description="The SID of the recorded conference: REST property ConferenceSid."
    )
    date_created: datetime | None = strawberry.field(
        description="When the resource was created: REST property DateCreated."
    )
    date_updated: datetime | None = strawberry.field(
        description="When the resource was last updated: REST property DateUpdated."
    )
    start_time: datetime | None = strawberry.field(
        description="When the recording started: REST property StartTime."
    )
    duration: int | None = strawberry.field(
        description="The length in seconds, once it is known: REST property Duration."
    )
    price: Decimal | None = strawberry.field(
        description="The charge in priceUnit, negative for a cost: REST property Price."
    )
    price_unit: str | None = strawberry.field(
        description="The currency of the price, ISO 4217: REST property PriceUnit."
    )
    status: RecordingStatus | None = strawberry.field(
        description="The state of the recording: REST property Status."
    )
    channels: int | None = strawberry.field(
        description="The number of channels: REST property Channels."
    )
    source: RecordingSource | None = strawberry.field(
        description="What started the recording: REST property Source."
    )
    error_code: int | None = strawberry.field(
        description="Why the recording is absent, if it is: REST property ErrorCode."
    )
    uri: str | None = strawberry.field(
        description="The resource's path, relative to https://api.twilio.com: REST property Uri."
    )

    @strawberry.field(
        description="Whose voice is recorded: REST property Track, which Twilio returns per call "
        "only."
    )
    @staticmethod
    async def track(
        parent: strawberry.Parent[RecordingResource], info: Info
    ) -> RecordingTrack | None:
        """Costs a request of its own unless the recording was read from its call's list."""
        if not RecordingResource.track.is_absent(parent) or parent.call_sid is None:
            return parent.track
        form = FetchRecording(sid=parent.sid, call_sid=parent.call_sid)
        whole = await info.context.loaders.row(form, field_path(info))
        return whole.track if whole else None

    @strawberry.field(
        description="The URL of the audio: REST property MediaUrl. Twilio returns it at account "
        "level only, so it costs a request for each recording.",
        metadata=personal(masked_text),
        directives=(*PII, *COSTS_REQUEST),
    )
    @staticmethod
    async def media_url(parent: strawberry.Parent[RecordingResource], info: Info) -> str | None:
        """Costs a request of its own if the recording was read from its call's list."""
        if not RecordingResource.media_url.is_absent(parent):
            return parent.media_url
        whole = await row_by_sid(info, RECORDINGS, parent.sid)
        return whole.media_url if whole else None

    @strawberry.field(
        description="The recorded call; null if it was deleted.",
        graphql_type=LazyCall | None,
    )
    @staticmethod
    @in_bulk
    def call(
        rows: strawberry.Parent[Sequence[RecordingResource]], info: Info
    ) -> Sequence[CallResource | Awaitable[CallResource | None] | None]:
        """Costs no request if the recording was reached through its call."""
        return calls_by_sid(info, [row.call_sid for row in rows])

    @classmethod
    def is_type_of(cls, row: Any, _info: Any) -> bool:
        """Tells graphql-core which type a row is."""
        return isinstance(row, RecordingResource)


def recordings_of(
    info: Info, calls: Sequence[CallResource], args: PageArgs
) -> list[PageOrAwaitable[RecordingResource]]:
    """The recordings, newest first."""
    request = ListRecordings(
        page_size=edge_page_size(args.size),
        with_track=selects(info, "track"),
    )
    return read_edges(info, calls, [request], args)
