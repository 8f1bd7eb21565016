"""Notification: what Twilio logged about a call. At run time it is a NotificationResource.

The list form lacks three properties (docs/twilio.md#1-surprising-facts, fact 9). If one is
selected, the instance is fetched.
"""

from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from gateway.access.masking import masked_text
from gateway.errors import InvalidFilter
from gateway.schema.arguments import edge_page_size
from gateway.schema.connection import PageArgs, PageOrAwaitable, read_edges
from gateway.schema.context import Info
from gateway.schema.directives import COSTS_REQUEST, PII
from gateway.schema.lookup import calls_by_sid, row_by_sid
from gateway.schema.masked_fields import personal
from gateway.schema.node import Node
from gateway.schema.rows import in_bulk
from gateway.schema.scalars import NotificationLevel
from gateway.upstream.calls import CallResource
from gateway.upstream.notifications import (
    NOTIFICATIONS,
    ListNotifications,
    NotificationResource,
)

if TYPE_CHECKING:
    from gateway.schema.call import Call

__all__ = ["Notification", "notifications_of"]

LazyCall = Annotated["Call", strawberry.lazy("gateway.schema.call")]


async def _instance(row: NotificationResource, info: Info) -> NotificationResource | None:
    if not NotificationResource.request_variables.is_absent(row):
        return row
    return await row_by_sid(info, NOTIFICATIONS, row.sid)


@strawberry.federation.type(
    keys=["sid"], description="An error or a warning that Twilio logged about a call."
)
class Notification(Node):
    """REST resource Notifications (docs/twilio.md#4-recording-and-notification)."""

    sid: strawberry.ID = strawberry.field(description="The notification's SID: REST property Sid.")
    account_sid: strawberry.ID = strawberry.field(
        description="The account's SID: REST property AccountSid."
    )
    call_sid: strawberry.ID | None = strawberry.field(
        description="The call's SID; null if a REST request caused it: REST property CallSid."
    )
    date_created: datetime | None = strawberry.field(
        description="When the resource was created: REST property DateCreated."
    )
    date_updated: datetime | None = strawberry.field(
        description="When the resource was last updated: REST property DateUpdated."
    )
    error_code: int | None = strawberry.field(
        description="Twilio's error code: REST property ErrorCode."
    )
    log: NotificationLevel | None = strawberry.field(
        description="Error or warning: REST property Log."
    )
    message_date: datetime | None = strawberry.field(
        description="When it happened: REST property MessageDate."
    )
    message_text: str | None = strawberry.field(
        metadata=personal(masked_text),
        directives=PII,
        description="What happened, form-encoded: REST property MessageText.",
    )
    more_info: str | None = strawberry.field(
        description="Twilio's page about the error: REST property MoreInfo."
    )
    request_method: str | None = strawberry.field(
        description="The method of the request that caused it: REST property RequestMethod."
    )
    request_url: str | None = strawberry.field(
        metadata=personal(masked_text),
        directives=PII,
        description="The URL of the request that caused it: REST property RequestUrl.",
    )
    uri: str | None = strawberry.field(
        description="The resource's path, relative to https://api.twilio.com: REST property Uri."
    )

    @strawberry.field(
        description="The variables of the request, form-encoded: REST property RequestVariables. "
        "Costs a request for each notification.",
        metadata=personal(masked_text),
        directives=(*PII, *COSTS_REQUEST),
    )
    @staticmethod
    async def request_variables(
        parent: strawberry.Parent[NotificationResource], info: Info
    ) -> str | None:
        """Only in the instance."""
        row = await _instance(parent, info)
        return row.request_variables if row else None

    @strawberry.field(
        description="The body of the response to the request: REST property ResponseBody. Costs a "
        "request for each notification.",
        metadata=personal(masked_text),
        directives=(*PII, *COSTS_REQUEST),
    )
    @staticmethod
    async def response_body(
        parent: strawberry.Parent[NotificationResource], info: Info
    ) -> str | None:
        """Only in the instance."""
        row = await _instance(parent, info)
        return row.response_body if row else None

    @strawberry.field(
        description="The headers of the response to the request, form-encoded: REST property "
        "ResponseHeaders. Costs a request for each notification.",
        metadata=personal(masked_text),
        directives=(*PII, *COSTS_REQUEST),
    )
    @staticmethod
    async def response_headers(
        parent: strawberry.Parent[NotificationResource], info: Info
    ) -> str | None:
        """Only in the instance."""
        row = await _instance(parent, info)
        return row.response_headers if row else None

    @strawberry.field(
        description="The call that it is about; null if there is none, or if it was deleted.",
        graphql_type=LazyCall | None,
    )
    @staticmethod
    @in_bulk
    def call(
        rows: strawberry.Parent[Sequence[NotificationResource]], info: Info
    ) -> Sequence[CallResource | Awaitable[CallResource | None] | None]:
        """Costs no request if the notification was reached through its call."""
        return calls_by_sid(info, [row.call_sid for row in rows])

    @classmethod
    def is_type_of(cls, row: Any, _info: Any) -> bool:
        """Tells graphql-core which type a row is."""
        return isinstance(row, NotificationResource)


def notifications_of(
    info: Info, calls: Sequence[CallResource], args: PageArgs, log: NotificationLevel | None
) -> list[PageOrAwaitable[NotificationResource]]:
    """The notifications, newest first. Raises InvalidFilter for the level UNKNOWN."""
    if log is NotificationLevel.UNKNOWN:
        raise InvalidFilter("log: Twilio cannot filter by UNKNOWN")
    page_size = edge_page_size(args.size)
    request = ListNotifications(log=log, page_size=page_size)
    return read_edges(info, calls, [request], args)
