"""A live call's instructions and its scheduled events. Both are stored, but never in a response.

Values only: the simulator acts on them. Knows neither SQL nor HTTP.
"""

import msgspec

from gateway.sandbox.twiml import Step

RINGING_LIMIT = 60
"""Seconds that a call rings if its request sets no Timeout."""
TIME_LIMIT = 4 * 3600
"""Seconds that a call lasts at most if its request sets no TimeLimit."""


class Callback(msgspec.Struct, frozen=True):
    """A callback URL and the events that are sent to it."""

    url: str
    method: str = "POST"
    events: tuple[str, ...] = ("completed",)


class CallScript(msgspec.Struct, frozen=True, kw_only=True):
    """The instructions of one call, and its progress through them."""

    url: str | None = None
    method: str = "POST"
    fallback_url: str | None = None
    fallback_method: str = "POST"
    twiml: str | None = None
    """Used only if there is no ``url``."""
    status_callback: Callback | None = None
    timeout: int = RINGING_LIMIT
    time_limit: int = TIME_LIMIT
    machine_detection: bool = False
    record: bool = False
    channels: int = 1
    recording_callback: Callback | None = None

    steps: tuple[Step, ...] = ()
    """The steps of its TwiML that have not run yet."""
    generation: int = 0
    """Counts redirects. Events and responses of an earlier generation are ignored."""
    callbacks_sent: int = 0
    """Status callbacks sent so far."""


class DialCall(msgspec.Struct, frozen=True, tag=True):
    """A queued call is dialed."""

    sid: str


class Ring(msgspec.Struct, frozen=True, tag=True):
    """The other side rings."""

    sid: str


class AnswerCall(msgspec.Struct, frozen=True, tag=True):
    """A person or a machine answers."""

    sid: str


class End(msgspec.Struct, frozen=True, tag=True):
    """Ends a live call with this status; None means the status that a hang-up gives it."""

    sid: str
    status: str | None = None


class Proceed(msgspec.Struct, frozen=True, tag=True):
    """A call runs its next step, unless it was redirected in the meantime."""

    sid: str
    generation: int


class Fetch(msgspec.Struct, frozen=True, tag=True):
    """A call requests new TwiML, unless it was redirected in the meantime."""

    sid: str
    generation: int


class StopRecording(msgspec.Struct, frozen=True, tag=True):
    """Stops a recording, unless it has already ended."""

    sid: str
    recording_sid: str


class SetPrice(msgspec.Struct, frozen=True, tag=True):
    """Sets the price of a call."""

    sid: str


Event = DialCall | Ring | AnswerCall | End | Proceed | Fetch | StopRecording | SetPrice
