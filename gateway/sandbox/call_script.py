"""What a live call has been told, and what will happen to it: kept beside the rows, never shown.

Values only; the switchboard acts on them. Knows neither SQL nor HTTP.
"""

import msgspec

from gateway.sandbox.twiml import Step

RINGING_LIMIT = 60
"""Seconds a call rings when it is told no Timeout."""
TIME_LIMIT = 4 * 3600
"""Seconds a call lasts at most when it is told no TimeLimit."""


class Callback(msgspec.Struct, frozen=True):
    """Where an application wants to be told, and of what."""

    url: str
    method: str = "POST"
    events: tuple[str, ...] = ("completed",)


class CallScript(msgspec.Struct, frozen=True, kw_only=True):
    """The instructions of one call and how far it has come with them."""

    url: str | None = None
    method: str = "POST"
    fallback_url: str | None = None
    fallback_method: str = "POST"
    twiml: str | None = None
    """Only followed when there is no ``url``."""
    status_callback: Callback | None = None
    timeout: int = RINGING_LIMIT
    time_limit: int = TIME_LIMIT
    machine_detection: bool = False
    record: bool = False
    channels: int = 1
    recording_callback: Callback | None = None

    steps: tuple[Step, ...] = ()
    """What is left of its TwiML."""
    generation: int = 0
    """Counts its redirects: what was due for an earlier generation is void."""
    callbacks_sent: int = 0
    """Status callbacks sent so far."""


class DialCall(msgspec.Struct, frozen=True, tag=True):
    """A queued call is placed: its number is dialed."""

    sid: str


class Ring(msgspec.Struct, frozen=True, tag=True):
    """The other side rings."""

    sid: str


class AnswerCall(msgspec.Struct, frozen=True, tag=True):
    """Somebody, or a machine, picks up."""

    sid: str


class End(msgspec.Struct, frozen=True, tag=True):
    """A call that is still live ends; without a status, as a hang-up ends it."""

    sid: str
    status: str | None = None


class Proceed(msgspec.Struct, frozen=True, tag=True):
    """A call takes its next step, unless it has been redirected meanwhile."""

    sid: str
    generation: int


class Fetch(msgspec.Struct, frozen=True, tag=True):
    """A call asks for other TwiML, unless it has been redirected meanwhile."""

    sid: str
    generation: int


class StopRecording(msgspec.Struct, frozen=True, tag=True):
    """A recording ends, unless it has ended already."""

    sid: str
    recording_sid: str


class SetPrice(msgspec.Struct, frozen=True, tag=True):
    """The price of a call becomes known."""

    sid: str


Event = DialCall | Ring | AnswerCall | End | Proceed | Fetch | StopRecording | SetPrice
