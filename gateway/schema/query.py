"""The root fields that read."""

from dataclasses import replace
from typing import Annotated, Any

import strawberry
from strawberry.federation.schema_directives import Inaccessible, Shareable

from gateway.schema.arguments import (
    After,
    Before,
    CallSid,
    First,
    Last,
    NodeSid,
    list_page_size,
    spare_page_size,
)
from gateway.schema.call import Call
from gateway.schema.connection import Connection, PageArgs, PageOrAwaitable, read_connection
from gateway.schema.context import Info, selects
from gateway.schema.directives import ROOT_LIST
from gateway.schema.filters import Filter, Refine, call_lists
from gateway.schema.lookup import call_by_sid, node_by_sid, row_by_sid
from gateway.schema.node import Node
from gateway.schema.notification import Notification
from gateway.schema.recording import Recording
from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.notifications import NOTIFICATIONS, NotificationResource
from gateway.upstream.recordings import RECORDINGS, RecordingResource
from gateway.upstream.resources import Resource

__all__ = ["Query"]

RecordingSid = Annotated[
    strawberry.ID, strawberry.argument(description="The recording's SID: RE….")
]
NotificationSid = Annotated[
    strawberry.ID, strawberry.argument(description="The notification's SID: NO….")
]
NodeSids = Annotated[
    list[strawberry.ID],
    strawberry.argument(description="SIDs of calls, recordings and notifications."),
]

# A subgraph can fetch its own nodes only. Shareable, so that subgraphs that all have Relay's `node`
# compose; inaccessible, so that no router requests a node from the wrong subgraph.
_NODE_DIRECTIVES = [Shareable(), Inaccessible()]


async def _node_or_error(info: Info, sid: str) -> Resource | Exception | None:
    try:
        return await node_by_sid(info, sid)
    except Exception as error:  # graphql-core makes it this one entry's error
        return error


@strawberry.type(description="Reads calls, recordings and notifications of the account.")
class Query:
    """The fields that are not Federation's."""

    @strawberry.field(
        description="The call with this SID; null if there is none.", graphql_type=Call | None
    )
    @staticmethod
    async def call(info: Info, sid: CallSid) -> CallResource | None:
        """Calls/{sid}."""
        return await call_by_sid(info, sid)

    @strawberry.field(
        description="Calls made to and from the account, newest first.",
        graphql_type=Connection[Call] | None,
        directives=ROOT_LIST,
    )
    @staticmethod
    def calls(
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        filter: Filter = None,
        refine: Refine = None,
    ) -> PageOrAwaitable[CallResource]:
        """Calls, with the widest filter that Twilio can answer; the gateway makes it exact."""
        args = PageArgs.of(info, first, after, last, before)
        parent_call_sid = filter.parent_call_sid if filter else None
        lists = call_lists(
            filter, refine, parent_call_sid=parent_call_sid, page_size=list_page_size(args.size)
        )
        if lists[0].list == ListCalls().list and selects(info, "childCalls"):
            lists = [replace(lists[0], page_size=spare_page_size(args.size))]
        return read_connection(info, lists, args)

    @strawberry.field(
        description="The recording with this SID; null if there is none.",
        graphql_type=Recording | None,
    )
    @staticmethod
    async def recording(info: Info, sid: RecordingSid) -> RecordingResource | None:
        """Recordings/{sid}."""
        return await row_by_sid(info, RECORDINGS, sid)

    @strawberry.field(
        description="The notification with this SID; null if there is none.",
        graphql_type=Notification | None,
    )
    @staticmethod
    async def notification(info: Info, sid: NotificationSid) -> NotificationResource | None:
        """Notifications/{sid}."""
        return await row_by_sid(info, NOTIFICATIONS, sid)

    @strawberry.field(
        description="The object with this id (its SID); null if there is none.",
        graphql_type=Node | None,
        directives=_NODE_DIRECTIVES,
    )
    @staticmethod
    async def node(info: Info, id: NodeSid) -> Resource | None:
        """By the SID's two letters."""
        return await node_by_sid(info, id)

    @strawberry.field(
        description="The objects with these ids, in their order; null for an id without an object.",
        graphql_type=list[Node | None] | None,
        directives=_NODE_DIRECTIVES,
    )
    @staticmethod
    def nodes(info: Info, ids: NodeSids) -> list[Any]:
        """A bad id fails its own entry only."""
        return [_node_or_error(info, sid) for sid in ids]
