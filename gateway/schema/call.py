"""Call: the seed document's properties, and the edges to its legs, recordings and notifications.

At run time a Call is a CallResource: its attributes are the plain fields. Descriptions give the
seed document's meanings and name the REST property.
"""

from collections.abc import Awaitable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import strawberry

from gateway.access.masking import masked_party, masked_text
from gateway.schema.arguments import After, First, edge_page_size
from gateway.schema.connection import Connection, PageArgs, PageOrAwaitable, read_edges
from gateway.schema.context import Info
from gateway.schema.directives import EDGE_LIST, PII
from gateway.schema.endpoint import CallEndpoint, endpoint
from gateway.schema.filters import ChildCallFilter, Refine, call_lists
from gateway.schema.lookup import calls_by_sid
from gateway.schema.masked_fields import personal
from gateway.schema.node import Node
from gateway.schema.notification import Notification, notifications_of
from gateway.schema.recording import Recording, recordings_of
from gateway.schema.rows import in_bulk
from gateway.schema.scalars import AnsweredBy, CallDirection, CallStatus, NotificationLevel
from gateway.upstream.calls import CallResource
from gateway.upstream.notifications import NotificationResource
from gateway.upstream.recordings import RecordingResource

__all__ = ["Call"]

ChildFilter = Annotated[
    ChildCallFilter | None,
    strawberry.argument(description="Which child calls to return; all if omitted."),
]
Level = Annotated[
    NotificationLevel | None,
    strawberry.argument(description="Returns only errors or only warnings; both if omitted."),
]


@strawberry.federation.type(
    keys=["sid"],
    description="A connection between a telephone and Twilio: inbound, when a person calls your "
    "application, or outbound, when your application initiates the call.",
)
class Call(Node):
    """REST resource Calls (seed document)."""

    sid: strawberry.ID = strawberry.field(
        description="A 34 character string that uniquely identifies the call: REST property Sid."
    )
    parent_call_sid: strawberry.ID | None = strawberry.field(
        description="The SID of the call that created this leg: REST property ParentCallSid."
    )
    date_created: datetime | None = strawberry.field(
        description="When the resource was created: REST property DateCreated."
    )
    date_updated: datetime | None = strawberry.field(
        description="When the resource was last updated: REST property DateUpdated."
    )
    account_sid: strawberry.ID = strawberry.field(
        description="The account responsible for creating this call: REST property AccountSid."
    )
    to: str | None = strawberry.field(
        metadata=personal(masked_party),
        directives=PII,
        description="The phone number (E.164), SIP address or client:name that received this "
        "call: REST property To.",
    )
    from_: str | None = strawberry.field(
        name="from",
        metadata=personal(masked_party),
        directives=PII,
        description="The phone number (E.164), SIP address or client:name that made this call: "
        "REST property From.",
    )
    phone_number_sid: strawberry.ID | None = strawberry.field(
        description="Inbound: the SID of the IncomingPhoneNumber that received the call. "
        "Outbound: of the OutgoingCallerId from which it was placed. REST property PhoneNumberSid."
    )
    status: CallStatus = strawberry.field(
        description="The state of the call: REST property Status."
    )
    start_time: datetime | None = strawberry.field(
        description="When the call started; null if it has not yet been dialed: REST property "
        "StartTime."
    )
    end_time: datetime | None = strawberry.field(
        description="When the call ended; null if it did not complete successfully: REST "
        "property EndTime."
    )
    duration: int | None = strawberry.field(
        description="The length of the call in seconds; null for busy, failed, unanswered or "
        "ongoing calls: REST property Duration."
    )
    price: Decimal | None = strawberry.field(
        description="The charge for this call in priceUnit, negative for a cost; known some time "
        "after the call is completed: REST property Price."
    )
    price_unit: str | None = strawberry.field(
        description="The currency of the price, ISO 4217: REST property PriceUnit."
    )
    direction: CallDirection = strawberry.field(
        description="Inbound, initiated via the REST API, or by a <Dial> verb: REST property "
        "Direction."
    )
    answered_by: AnsweredBy | None = strawberry.field(
        description="Human or machine, if the call was initiated with answering machine "
        "detection: REST property AnsweredBy."
    )
    forwarded_from: str | None = strawberry.field(
        metadata=personal(masked_party),
        directives=PII,
        description="The forwarding number of a forwarded inbound call, where the carrier "
        "supports it: REST property ForwardedFrom.",
    )
    caller_name: str | None = strawberry.field(
        metadata=personal(masked_text),
        directives=PII,
        description="The caller's name, for an inbound call to a number with Caller ID Lookup: "
        "REST property CallerName.",
    )
    uri: str | None = strawberry.field(
        description="The resource's path, relative to https://api.twilio.com: REST property Uri."
    )

    @strawberry.field(description="`to` as a typed object.", directives=PII)
    @staticmethod
    def to_endpoint(parent: strawberry.Parent[CallResource]) -> CallEndpoint | None:
        """Typed `to`."""
        return endpoint(parent.to)

    @strawberry.field(description="`from` as a typed object.", directives=PII)
    @staticmethod
    def from_endpoint(parent: strawberry.Parent[CallResource]) -> CallEndpoint | None:
        """Typed `from`."""
        return endpoint(parent.from_)

    @strawberry.field(
        description="The call that created this leg; null for a first leg, or if it was deleted.",
        graphql_type="Call | None",
    )
    @staticmethod
    @in_bulk
    def parent_call(
        calls: strawberry.Parent[Sequence[CallResource]], info: Info
    ) -> Sequence[CallResource | Awaitable[CallResource | None] | None]:
        """Calls/{sid}, unless this operation has read that call already."""
        return calls_by_sid(info, [call.parent_call_sid for call in calls])

    @strawberry.field(
        description="The legs that this call created, newest first.",
        graphql_type=Connection["Call"] | None,
        directives=EDGE_LIST,
    )
    @staticmethod
    @in_bulk
    def child_calls(
        calls: strawberry.Parent[Sequence[CallResource]],
        info: Info,
        first: First = None,
        after: After = None,
        filter: ChildFilter = None,
        refine: Refine = None,
    ) -> Sequence[PageOrAwaitable[CallResource]]:
        """Calls?ParentCallSid=, unless the rows read already hold every child."""
        args = PageArgs.of(info, first, after)
        lists = call_lists(
            filter, refine, parent_call_sid=None, page_size=edge_page_size(args.size)
        )
        return read_edges(info, calls, lists, args)

    @strawberry.field(
        description="Recordings of this call, newest first. Recordings of a two-leg call belong to "
        "the parent leg.",
        graphql_type=Connection[Recording] | None,
        directives=EDGE_LIST,
    )
    @staticmethod
    @in_bulk
    def recordings(
        calls: strawberry.Parent[Sequence[CallResource]],
        info: Info,
        first: First = None,
        after: After = None,
    ) -> Sequence[PageOrAwaitable[RecordingResource]]:
        """Calls/{sid}/Recordings."""
        return recordings_of(info, calls, PageArgs.of(info, first, after))

    @strawberry.field(
        description="What Twilio logged about this call, newest first.",
        graphql_type=Connection[Notification] | None,
        directives=EDGE_LIST,
    )
    @staticmethod
    @in_bulk
    def notifications(
        calls: strawberry.Parent[Sequence[CallResource]],
        info: Info,
        first: First = None,
        after: After = None,
        log: Level = None,
    ) -> Sequence[PageOrAwaitable[NotificationResource]]:
        """Calls/{sid}/Notifications."""
        return notifications_of(info, calls, PageArgs.of(info, first, after), log)

    @classmethod
    def is_type_of(cls, row: Any, _info: Any) -> bool:
        """Tells graphql-core which type a row is."""
        return isinstance(row, CallResource)
