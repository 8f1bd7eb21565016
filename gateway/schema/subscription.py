"""The root fields that go on: a call's states, and those of all calls.

Each event carries the call as it is then; the edges below it are read for each event anew
(`event_execution`). This module must not know where news come from, nor how they reach the client.
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
from gateway.schema.filters import ChildCallFilter, call_lists
from gateway.schema.scalars import CallStatus
from gateway.upstream.calls import CallResource

__all__ = ["Subscription"]

Updates = AsyncGenerator[CallUpdate, None]


@strawberry.enum(description="How the gateway came to know of a call's state.")
class CallEventSource(Enum):
    """CURRENT, or one of `live.events.Source`."""

    CURRENT = strawberry.enum_value("current", description="It was so when the subscription began.")
    WEBHOOK = strawberry.enum_value("webhook", description="Twilio's status callback told of it.")
    POLL = strawberry.enum_value("poll", description="The gateway looked: no callback had come.")
    MUTATION = strawberry.enum_value("mutation", description="A mutation through a gateway did it.")


@strawberry.type(description="A state of a call that is new to the subscriber.")
class CallEvent:
    """An `CallUpdate` stands for it at run time."""

    @strawberry.field(description="The call in this state.", graphql_type=Call)
    @staticmethod
    def call(parent: strawberry.Parent[CallUpdate]) -> CallResource:
        """The row read for this event."""
        return parent.row

    @strawberry.field(
        description="The call's state in the event before; null in the first one about it."
    )
    @staticmethod
    def previous_status(parent: strawberry.Parent[CallUpdate]) -> CallStatus | None:
        """A slow subscriber misses states between."""
        return parent.previous

    @strawberry.field(description="How the gateway came to know of it.")
    @staticmethod
    def source(parent: strawberry.Parent[CallUpdate]) -> CallEventSource:
        """None is the state that was found."""
        return CallEventSource(parent.source.value if parent.source else "current")

    @strawberry.field(description="When the gateway came to know of it.")
    @staticmethod
    def received_at(parent: strawberry.Parent[CallUpdate]) -> datetime:
        """UTC."""
        return parent.at


@strawberry.input(description="Which calls' events. All conditions hold together.")
class CallEventFilter:
    """What can be said of a call at any time of its life."""

    to: str | None = strawberry.field(
        default=None, description="Calls to this phone number, SIP address or client:name."
    )
    from_: str | None = strawberry.field(
        name="from",
        default=None,
        description="Calls from this phone number, SIP address or client:name.",
    )
    status: list[CallStatus] | None = strawberry.field(
        default=None, description="Only when a call comes into one of these states."
    )
    parent_call_sid: strawberry.ID | None = strawberry.field(
        default=None, description="Calls spawned by the call with this SID."
    )


EventFilter = Annotated[
    CallEventFilter | None,
    strawberry.argument(description="Which calls' events; all calls' if not given."),
]


@strawberry.type(description="What happens to calls, as it happens.")
class Subscription:
    """SCHEMA.md, sketch."""

    @strawberry.subscription(
        description="The states of a call: the current one, then each new one, to the final one. "
        "A slow subscriber misses states between, never the last.",
        graphql_type=AsyncGenerator[CallEvent, None],
    )
    def call_updated(self, info: Info, sid: CallSid) -> Updates:
        """NOT_FOUND where there is no such call."""
        return info.context.account.watch_call(sid)

    @strawberry.subscription(
        description="The states of all calls, or of those that the filter holds: of those live "
        "now, then each new one of any call.",
        graphql_type=AsyncGenerator[CallEvent, None],
    )
    def calls_updated(self, info: Info, filter: EventFilter = None) -> Updates:
        """Goes on until the subscriber leaves. FORBIDDEN as the list of calls."""
        wanted = filter or CallEventFilter()
        lists = call_lists(
            ChildCallFilter(to=wanted.to, from_=wanted.from_, status=wanted.status),
            parent_call_sid=wanted.parent_call_sid,
            page_size=1000,
        )
        require_lists(info, lists)
        return info.context.account.watch_calls(lists)
