"""The subscriptions: the states of one call, and the states of all calls.

Each event carries the call as it is then. The edges below it are read again for each event
(`event_execution`). This module must not know where events come from, nor how they reach clients.
"""

from collections.abc import AsyncGenerator
from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry

from gateway.live.subscriptions import CallUpdate
from gateway.schema.arguments import CallSid
from gateway.schema.call import Call
from gateway.schema.connection import require_lists
from gateway.schema.context import Info
from gateway.schema.directives import PII
from gateway.schema.filters import ChildCallFilter, call_lists
from gateway.schema.scalars import CallStatus
from gateway.upstream.calls import CallResource

__all__ = ["Subscription"]

Updates = AsyncGenerator[CallUpdate, None]


@strawberry.enum(description="How the gateway learned the state of a call.")
class CallEventSource(Enum):
    """CURRENT, or one of `live.events.EventSource`."""

    CURRENT = strawberry.enum_value("current", description="The state when the subscription began.")
    WEBHOOK = strawberry.enum_value("webhook", description="Twilio sent a status callback.")
    POLL = strawberry.enum_value("poll", description="The gateway polled: no callback had come.")
    MUTATION = strawberry.enum_value("mutation", description="A gateway's mutation caused it.")


@strawberry.type(description="A state of a call that the subscriber has not received yet.")
class CallEvent:
    """At run time it is a `CallUpdate`."""

    @strawberry.field(description="The call in this state.", graphql_type=Call)
    @staticmethod
    def call(parent: strawberry.Parent[CallUpdate]) -> CallResource:
        """The row read for this event."""
        return parent.row

    @strawberry.field(
        description="The state in the previous event of this call; null in its first event."
    )
    @staticmethod
    def previous_status(parent: strawberry.Parent[CallUpdate]) -> CallStatus | None:
        """A slow subscriber misses states in between."""
        return parent.previous

    @strawberry.field(description="How the gateway learned the state.")
    @staticmethod
    def source(parent: strawberry.Parent[CallUpdate]) -> CallEventSource:
        """An update without a source is the state when the subscription began."""
        return CallEventSource(parent.source.value if parent.source else "current")

    @strawberry.field(description="When the gateway learned the state.")
    @staticmethod
    def received_at(parent: strawberry.Parent[CallUpdate]) -> datetime:
        """UTC."""
        return parent.at


@strawberry.input(description="Filters events by their call. All conditions must hold.")
class CallEventFilter:
    """The filters that apply to a call at any time of its life."""

    to: str | None = strawberry.field(
        default=None,
        description="Calls to this phone number, SIP address or client:name.",
        directives=PII,
    )
    from_: str | None = strawberry.field(
        name="from",
        default=None,
        description="Calls from this phone number, SIP address or client:name.",
        directives=PII,
    )
    status: list[CallStatus] | None = strawberry.field(
        default=None, description="Only when a call enters one of these states."
    )
    parent_call_sid: strawberry.ID | None = strawberry.field(
        default=None, description="Calls spawned by the call with this SID."
    )


EventFilter = Annotated[
    CallEventFilter | None,
    strawberry.argument(description="Which events to send; all if omitted."),
]


@strawberry.type(description="Sends the states of calls as they change.")
class Subscription:
    """A live update for each change of a call's status."""

    @strawberry.subscription(
        description="The states of one call: first the current state, then each new state, up to "
        "the final one. A slow subscriber may miss states in between, but never the last.",
        graphql_type=AsyncGenerator[CallEvent, None],
    )
    def call_updated(self, info: Info, sid: CallSid) -> Updates:
        """NOT_FOUND if there is no such call."""
        return info.context.account.watch_call(sid)

    @strawberry.subscription(
        description="The states of the calls that match the filter: first the state of each live "
        "call, then each new state of any call.",
        graphql_type=AsyncGenerator[CallEvent, None],
    )
    def calls_updated(self, info: Info, filter: EventFilter = None) -> Updates:
        """Runs until the subscriber leaves. FORBIDDEN for the same filters as the list of calls."""
        conditions = filter or CallEventFilter()
        lists = call_lists(
            ChildCallFilter(to=conditions.to, from_=conditions.from_, status=conditions.status),
            parent_call_sid=conditions.parent_call_sid,
            page_size=1000,
        )
        require_lists(info, lists)
        return info.context.account.watch_calls(lists)
