"""Notifications: their rows, the requests that read them, and the description of the resource.

This module must not know how a request is sent, nor GraphQL.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from gateway.upstream.date_ranges import DateTimeRange, Query
from gateway.upstream.descriptors import BY_MESSAGE_OR_CREATION, ResourceDescriptor, never
from gateway.upstream.requests import Conditions, FetchRequest, ListRequest, conditions, of_call
from gateway.upstream.resources import (
    LazyField,
    Resource,
    as_enum,
    as_sid,
    as_text,
    as_timestamp,
    as_whole_number,
    row_type,
)

__all__ = [
    "NOTIFICATIONS",
    "FetchNotification",
    "ListNotifications",
    "NotificationLevel",
    "NotificationResource",
]


class NotificationLevel(Enum):
    """The `log` of a notification: 0 and 1 are documented, others were seen.

    See docs/twilio.md#4-recording-and-notification.
    """

    ERROR = "0"
    WARNING = "1"
    UNKNOWN = "unknown"


@row_type("NO")
class NotificationResource(Resource):
    """A notification. Only the single resource has the last three properties; lists do not."""

    call_sid = LazyField(as_sid("CA"))
    error_code = LazyField(as_whole_number)
    log = LazyField(as_enum(NotificationLevel))
    message_date = LazyField(as_timestamp)
    message_text = LazyField(as_text)
    more_info = LazyField(as_text)
    request_method = LazyField(as_text)
    request_url = LazyField(as_text)
    request_variables = LazyField(as_text)
    response_body = LazyField(as_text)
    response_headers = LazyField(as_text)


NOTIFICATIONS = ResourceDescriptor(
    name="notifications",
    type_name="Notification",
    sid_prefix="NO",
    row=NotificationResource,
    fetch=lambda sid: FetchNotification(sid=sid),
    list_of=lambda call_sid: ListNotifications(call_sid=call_sid),
    owner="call_sid",
    day_filter="message_date",
    orders=BY_MESSAGE_OR_CREATION,
    max_lag=timedelta(days=1),
    rows_per_call=0.2,
    is_immutable=never,
    costly_properties=("request_variables", "response_body", "response_headers"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class FetchNotification(FetchRequest[NotificationResource]):
    """GET Notifications/{sid}: the form with the request's variables and the response."""

    resource = NOTIFICATIONS

    @property
    def path(self) -> str:
        return f"Notifications/{self.sid}"


@dataclass(frozen=True, kw_only=True, eq=False)
class ListNotifications(ListRequest[NotificationResource]):
    """GET Calls/{call_sid}/Notifications (seed: "notifications generated during the call").

    Without `call_sid` the account's, filtered by the whole days of `message_date`.
    """

    resource = NOTIFICATIONS
    call_sid: str | None = None
    message_date: DateTimeRange | None = None
    log: NotificationLevel | None = None

    @property
    def path(self) -> str:
        return f"{of_call(self.call_sid)}Notifications"

    def filters(self) -> Query:
        level = (("Log", self.log.value),) if self.log else ()
        return level + (self.message_date.query("MessageDate") if self.message_date else ())

    def exact_filter(self) -> Conditions:
        return conditions({"log": self.log})
