"""Renders rows as the properties that the service shows. Knows neither SQL nor the store.

Properties have the names of the JSON, the order of the recorded XML, dates as RFC 2822 in UTC,
duration and price as text. The module formats serializes them.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

from gateway.sandbox.resources import CallRow, NotificationRow, RecordingRow

Properties = dict[str, object]

_NORTH_AMERICAN = re.compile(r"\+1(\d{3})(\d{3})(\d{4})")
_CALL_PARTS = {
    "notifications": "Notifications",
    "recordings": "Recordings",
    "payments": "Payments",
    "events": "Events",
    "siprec": "Siprec",
    "streams": "Streams",
    "transcriptions": "Transcriptions",
    "user_defined_message_subscriptions": "UserDefinedMessageSubscriptions",
    "user_defined_messages": "UserDefinedMessages",
}


@dataclass(frozen=True)
class UriContext:
    """What the URIs inside a response depend on."""

    account_sid: str
    suffix: str
    """The suffix of the requested format, which every URI in the response repeats."""
    call_sid: str | None = None
    """Set if the rows were requested below a call."""
    origin: str = "https://api.twilio.com"
    """Scheme and host of ``media_url``, the only absolute URL."""

    @property
    def account(self) -> str:
        """The path of the account."""
        return f"/2010-04-01/Accounts/{self.account_sid}"

    @property
    def parent(self) -> str:
        """The path below which recordings and notifications were requested."""
        return f"{self.account}/Calls/{self.call_sid}" if self.call_sid else self.account


@lru_cache(maxsize=1 << 16)
def rfc2822(seconds: int) -> str:
    """An instant such as ``Fri, 18 Oct 2019 17:00:00 +0000``."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC))


def date(seconds: int | None) -> str | None:
    """An instant as RFC 2822; null stays null."""
    return None if seconds is None else rfc2822(seconds)


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


@lru_cache(maxsize=1 << 14)
def formatted(party: str) -> str:
    """``(415) 867-5309`` for a North American number; any other party unchanged."""
    match = _NORTH_AMERICAN.fullmatch(party or "")
    return "({}) {}-{}".format(*match.groups()) if match else party


def call(row: CallRow, uris: UriContext) -> Properties:
    """A call's properties (docs/twilio.md#3-call)."""
    base = f"{uris.account}/Calls/{row.sid}"
    return {
        "sid": row.sid,
        "date_created": date(row.date_created),
        "date_updated": date(row.date_updated),
        "parent_call_sid": row.parent_call_sid,
        "account_sid": uris.account_sid,
        "to": row.to,
        "to_formatted": formatted(row.to),
        "from": row.from_,
        "from_formatted": formatted(row.from_),
        "phone_number_sid": row.phone_number_sid,
        "status": row.status,
        "start_time": date(row.start_time),
        "end_time": date(row.end_time),
        "duration": _text(row.duration),
        "price": row.price,
        "price_unit": row.price_unit,
        "direction": row.direction,
        "answered_by": row.answered_by,
        "api_version": row.api_version,
        "forwarded_from": row.forwarded_from,
        "group_sid": row.group_sid,
        "caller_name": row.caller_name,
        "queue_time": _text(row.queue_time),
        "trunk_sid": row.trunk_sid,
        "uri": base + uris.suffix,
        "subresource_uris": {
            key: f"{base}/{part}{uris.suffix}" for key, part in _CALL_PARTS.items()
        },
    }


def recording(row: RecordingRow, uris: UriContext) -> Properties:
    """A recording's properties; below a call they differ from account level.

    See docs/twilio.md#4-recording-and-notification.
    """
    base = f"{uris.parent}/Recordings/{row.sid}"
    common: Properties = {
        "sid": row.sid,
        "account_sid": uris.account_sid,
        "call_sid": row.call_sid,
        "conference_sid": row.conference_sid,
        "api_version": row.api_version,
        "date_created": date(row.date_created),
        "date_updated": date(row.date_updated),
        "start_time": date(row.start_time),
        "duration": _text(row.duration),
        "price": row.price,
        "price_unit": row.price_unit,
        "status": row.status,
        "channels": row.channels,
        "source": row.source,
        "error_code": row.error_code,
        "encryption_details": _encryption(row),
        "uri": base + uris.suffix,
    }
    if uris.call_sid:
        return {**common, "track": row.track}
    return {
        **common,
        "subresource_uris": {
            "add_on_results": f"{base}/AddOnResults{uris.suffix}",
            "transcriptions": f"{base}/Transcriptions{uris.suffix}",
        },
        "media_url": uris.origin + base,
    }


def _encryption(row: RecordingRow) -> Properties | None:
    if row.encryption_public_key_sid is None:
        return None
    return {
        "encryption_public_key_sid": row.encryption_public_key_sid,
        "encryption_cek": row.encryption_cek,
        "encryption_iv": row.encryption_iv,
    }


def notification(row: NotificationRow, uris: UriContext) -> Properties:
    """A notification's properties as lists show them.

    See docs/twilio.md#4-recording-and-notification.
    """
    return {
        "sid": row.sid,
        "account_sid": uris.account_sid,
        "call_sid": row.call_sid,
        "api_version": row.api_version,
        "date_created": date(row.date_created),
        "date_updated": date(row.date_updated),
        "error_code": row.error_code,
        "log": row.log,
        "message_date": date(row.message_date),
        "message_text": row.message_text,
        "more_info": row.more_info,
        "request_method": row.request_method,
        "request_url": row.request_url,
        "uri": f"{uris.parent}/Notifications/{row.sid}{uris.suffix}",
    }


def notification_instance(row: NotificationRow, uris: UriContext) -> Properties:
    """A notification's properties as an instance: lists leave out the request and the response."""
    return {
        **notification(row, uris),
        "request_variables": row.request_variables,
        "response_body": row.response_body,
        "response_headers": row.response_headers,
    }
