"""The rows of the sandbox: one struct per resource, one field per column.

Instants are whole seconds since 1970, UTC. Rendering adds what depends on the URL or the format
(``uri``, RFC 2822 dates, ``to_formatted``). Knows neither SQL nor HTTP.
"""

import msgspec

API_VERSION = "2010-04-01"


class Row(msgspec.Struct, frozen=True):
    """The fields of every resource."""

    sid: str
    date_created: int
    date_updated: int

    @classmethod
    def element(cls) -> str:
        """Twilio's name of the resource, such as `Call` for CallRow."""
        return cls.__name__.removesuffix("Row")


class CallRow(Row, frozen=True, rename={"from_": "from"}):
    """One leg of a call: the properties of the seed and the newer ones (docs/twilio.md#3-call)."""

    to: str
    from_: str
    status: str
    direction: str
    parent_call_sid: str | None = None
    phone_number_sid: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    duration: int | None = None
    """Seconds."""
    price: str | None = None
    """A decimal as text, negative for a charge; null until it is set."""
    price_unit: str = "USD"
    answered_by: str | None = None
    api_version: str = API_VERSION
    forwarded_from: str | None = None
    group_sid: str | None = None
    caller_name: str | None = None
    queue_time: int | None = 0
    """Milliseconds."""
    trunk_sid: str | None = None


class RecordingRow(Row, frozen=True):
    """A recording of a call or a conference (docs/twilio.md#4-recording-and-notification)."""

    call_sid: str | None
    start_time: int | None
    status: str
    source: str
    conference_sid: str | None = None
    api_version: str = API_VERSION
    duration: int | None = None
    """Seconds; null while the recording is in progress."""
    price: str | None = None
    price_unit: str | None = None
    channels: int = 1
    error_code: int | None = None
    track: str = "both"
    encryption_public_key_sid: str | None = None
    encryption_cek: str | None = None
    encryption_iv: str | None = None


class NotificationRow(Row, frozen=True):
    """A log entry about a call or about a use of the REST API.

    See docs/twilio.md#4-recording-and-notification.
    """

    message_date: int
    """When it happened; ``date_created`` is when it was stored, up to a second later."""
    call_sid: str | None
    error_code: str | None
    log: str
    """"0" for an error, "1" for a warning."""
    message_text: str
    """A form-encoded string."""
    more_info: str
    request_method: str | None
    request_url: str | None
    api_version: str | None = API_VERSION
    request_variables: str = ""
    response_body: str = ""
    response_headers: str = ""
