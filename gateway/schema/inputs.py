"""The inputs of the mutations: Twilio's parameters under Twilio's names (FACTS section 8).

Each field here is one parameter, and `forms` knows which. This module must not know how a form is
sent.
"""

from enum import Enum

import strawberry

from gateway.schema.scalars import described_enum

__all__ = [
    "CallInstructions",
    "EndCallInput",
    "EndCallMode",
    "MakeCallInput",
    "RedirectCallInput",
    "RedirectInstructions",
]


class HttpMethod(Enum):
    """Twilio's two; POST is its default."""

    GET = "GET"
    POST = "POST"


described_enum(
    HttpMethod,
    "How Twilio calls a URL.",
    {
        HttpMethod.GET: "The parameters are in the query.",
        HttpMethod.POST: "The parameters are in the body, as a form.",
    },
)


class CallProgressEvent(Enum):
    """REST parameter StatusCallbackEvent."""

    INITIATED = "initiated"
    RINGING = "ringing"
    ANSWERED = "answered"
    COMPLETED = "completed"


described_enum(
    CallProgressEvent,
    "What of a call Twilio calls back for.",
    {
        CallProgressEvent.INITIATED: "The call leaves the queue and is dialed.",
        CallProgressEvent.RINGING: "It rings.",
        CallProgressEvent.ANSWERED: "It is answered.",
        CallProgressEvent.COMPLETED: "It has ended, however it ended.",
    },
)


class RecordingEvent(Enum):
    """REST parameter RecordingStatusCallbackEvent."""

    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    ABSENT = "absent"


described_enum(
    RecordingEvent,
    "What of a recording Twilio calls back for.",
    {
        RecordingEvent.IN_PROGRESS: "It has begun.",
        RecordingEvent.COMPLETED: "It is ready.",
        RecordingEvent.ABSENT: "Nothing was recorded.",
    },
)


class RecordingChannels(Enum):
    """REST parameter RecordingChannels."""

    MONO = "mono"
    DUAL = "dual"


described_enum(
    RecordingChannels,
    "One channel for both parties, or one for each.",
    {
        RecordingChannels.MONO: "One channel for both parties.",
        RecordingChannels.DUAL: "One channel for each party.",
    },
)


class RecordedTrack(Enum):
    """REST parameter RecordingTrack."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    BOTH = "both"


described_enum(
    RecordedTrack,
    "Whose voice is recorded.",
    {
        RecordedTrack.INBOUND: "What Twilio receives: the called party's voice.",
        RecordedTrack.OUTBOUND: "What Twilio sends: what the called party hears.",
        RecordedTrack.BOTH: "Both.",
    },
)


class Trim(Enum):
    """REST parameter Trim."""

    TRIM_SILENCE = "trim-silence"
    DO_NOT_TRIM = "do-not-trim"


described_enum(
    Trim,
    "Whether silence is cut off a recording.",
    {
        Trim.TRIM_SILENCE: "Silence at the beginning and at the end is cut off.",
        Trim.DO_NOT_TRIM: "The recording is left as it is.",
    },
)


class MachineDetection(Enum):
    """REST parameter MachineDetection."""

    ENABLE = "Enable"
    DETECT_MESSAGE_END = "DetectMessageEnd"


described_enum(
    MachineDetection,
    "Whether Twilio listens for an answering machine, and how long.",
    {
        MachineDetection.ENABLE: "Tells who answered as soon as it is known.",
        MachineDetection.DETECT_MESSAGE_END: "With a machine, waits for the end of its greeting.",
    },
)


class EndCallMode(Enum):
    """The two statuses that a caller may set: REST parameter Status."""

    HANG_UP = "completed"
    CANCEL_UNANSWERED = "canceled"


described_enum(
    EndCallMode,
    "How a call is ended: REST parameter Status.",
    {
        EndCallMode.HANG_UP: "Hang up, whether the call was answered or not.",
        EndCallMode.CANCEL_UNANSWERED: "Hang up only if nobody has answered yet; else nothing "
        "happens, and that is no error.",
    },
)


@strawberry.input(one_of=True, description="What the call does when it is answered: one of these.")
class CallInstructions:
    """Twilio takes several and ignores some; here it is exactly one."""

    url: str | None = strawberry.field(
        default=strawberry.UNSET, description="Where Twilio fetches TwiML: REST parameter Url."
    )
    twiml: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="TwiML, at most 4000 characters: REST parameter Twiml.",
    )
    application_sid: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="A TwiML application, which brings its own URLs: REST parameter "
        "ApplicationSid.",
    )


@strawberry.input(one_of=True, description="What the call does from now on: one of these.")
class RedirectInstructions:
    """A call in progress can not be given an application."""

    url: str | None = strawberry.field(
        default=strawberry.UNSET, description="Where Twilio fetches TwiML: REST parameter Url."
    )
    twiml: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="TwiML, at most 4000 characters: REST parameter Twiml.",
    )


_KEY = (
    "Any text of your own, 1 to 200 characters. The same mutation with the same key within 24 "
    "hours does nothing again: it answers what came of the first."
)


@strawberry.input(description="A call to be made.")
class MakeCallInput:
    """POST Calls."""

    to: str = strawberry.field(
        description="A phone number (E.164), sip:name@host or client:name: REST parameter To."
    )
    from_: str = strawberry.field(
        name="from",
        description="One of your numbers, a verified one, or client:name: REST parameter From.",
    )
    instructions: CallInstructions = strawberry.field(
        description="What the call does when it is answered."
    )
    method: HttpMethod | None = strawberry.field(
        default=None,
        description="How the url is called; POST if not given: REST parameter Method.",
    )
    fallback_url: str | None = strawberry.field(
        default=None,
        description="Where Twilio asks when url fails: REST parameter FallbackUrl.",
    )
    fallback_method: HttpMethod | None = strawberry.field(
        default=None,
        description="REST parameter FallbackMethod.",
    )
    status_callback: str | None = strawberry.field(
        default=None,
        description="Where Twilio tells what happens to the call: REST parameter "
        "StatusCallback. If not given, the gateway's own, where it has one.",
    )
    status_callback_event: list[CallProgressEvent] | None = strawberry.field(
        default=None,
        description="What it tells there; COMPLETED if not given: REST parameter "
        "StatusCallbackEvent.",
    )
    status_callback_method: HttpMethod | None = strawberry.field(
        default=None,
        description="REST parameter StatusCallbackMethod.",
    )
    send_digits: str | None = strawberry.field(
        default=None,
        description="Keys to press when the call is answered, w for half a second: REST "
        "parameter SendDigits.",
    )
    timeout: int | None = strawberry.field(
        default=None,
        description="Seconds to let it ring, 1 to 600; 60 if not given: REST parameter Timeout.",
    )
    time_limit: int | None = strawberry.field(
        default=None,
        description="The longest that the call may take, in seconds: REST parameter TimeLimit.",
    )
    record: bool | None = strawberry.field(
        default=None,
        description="Record the whole call: REST parameter Record.",
    )
    recording_channels: RecordingChannels | None = strawberry.field(
        default=None,
        description="REST parameter RecordingChannels.",
    )
    recording_track: RecordedTrack | None = strawberry.field(
        default=None,
        description="REST parameter RecordingTrack.",
    )
    trim: Trim | None = strawberry.field(
        default=None,
        description="REST parameter Trim.",
    )
    recording_status_callback: str | None = strawberry.field(
        default=None,
        description="Where Twilio tells of the recording: REST parameter "
        "RecordingStatusCallback. If not given, the gateway's own, where it has "
        "one.",
    )
    recording_status_callback_event: list[RecordingEvent] | None = strawberry.field(
        default=None,
        description="REST parameter RecordingStatusCallbackEvent.",
    )
    recording_status_callback_method: HttpMethod | None = strawberry.field(
        default=None,
        description="REST parameter RecordingStatusCallbackMethod.",
    )
    machine_detection: MachineDetection | None = strawberry.field(
        default=None,
        description="REST parameter MachineDetection.",
    )
    machine_detection_timeout: int | None = strawberry.field(
        default=None,
        description="Seconds to listen, 3 to 59: REST parameter MachineDetectionTimeout.",
    )
    machine_detection_speech_threshold: int | None = strawberry.field(
        default=None,
        description="Milliseconds, 1000 to 6000: REST parameter MachineDetectionSpeechThreshold.",
    )
    machine_detection_speech_end_threshold: int | None = strawberry.field(
        default=None,
        description="Milliseconds, 500 to 5000: REST parameter MachineDetectionSpeechEndThreshold.",
    )
    machine_detection_silence_timeout: int | None = strawberry.field(
        default=None,
        description="Milliseconds, 2000 to 10000: REST parameter MachineDetectionSilenceTimeout.",
    )
    async_amd: bool | None = strawberry.field(
        default=None,
        description="Follow the instructions while listening for a machine: REST parameter "
        "AsyncAmd.",
    )
    async_amd_status_callback: str | None = strawberry.field(
        default=None,
        description="Where the detection's outcome is told: REST parameter AsyncAmdStatusCallback.",
    )
    async_amd_status_callback_method: HttpMethod | None = strawberry.field(
        default=None,
        description="REST parameter AsyncAmdStatusCallbackMethod.",
    )
    caller_id: str | None = strawberry.field(
        default=None,
        description="What the called party sees in place of from: REST parameter CallerId.",
    )
    call_reason: str | None = strawberry.field(
        default=None,
        description="Why you call, shown where branded calls are: REST parameter CallReason.",
    )
    call_token: strawberry.ID | None = strawberry.field(
        default=None,
        description="Of a forwarded call: REST parameter CallToken.",
    )
    byoc: strawberry.ID | None = strawberry.field(
        default=None,
        description="The SID of a bring-your-own-carrier trunk: REST parameter Byoc.",
    )
    sip_auth_username: str | None = strawberry.field(
        default=None,
        description="REST parameter SipAuthUsername.",
    )
    sip_auth_password: str | None = strawberry.field(
        default=None,
        description="REST parameter SipAuthPassword.",
    )
    client_notification_url: str | None = strawberry.field(
        default=None,
        description="REST parameter ClientNotificationUrl.",
    )
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)


@strawberry.input(description="A call in progress, and what it does from now on.")
class RedirectCallInput:
    """POST Calls/{sid} with Url or Twiml."""

    sid: strawberry.ID = strawberry.field(description="The call's SID.")
    instructions: RedirectInstructions = strawberry.field(
        description="What the call does from now on."
    )
    method: HttpMethod | None = strawberry.field(
        default=None,
        description="How the url is called; POST if not given: REST parameter Method.",
    )
    fallback_url: str | None = strawberry.field(
        default=None,
        description="Where Twilio asks when url fails: REST parameter FallbackUrl.",
    )
    fallback_method: HttpMethod | None = strawberry.field(
        default=None,
        description="REST parameter FallbackMethod.",
    )
    status_callback: str | None = strawberry.field(
        default=None,
        description="Where Twilio tells what happens to the call; only with a url: REST "
        "parameter StatusCallback.",
    )
    status_callback_method: HttpMethod | None = strawberry.field(
        default=None,
        description="REST parameter StatusCallbackMethod.",
    )
    time_limit: int | None = strawberry.field(
        default=None,
        description="The longest that the call may take, in seconds: REST parameter TimeLimit.",
    )
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)


@strawberry.input(description="A call to be ended.")
class EndCallInput:
    """POST Calls/{sid} with Status."""

    sid: strawberry.ID = strawberry.field(description="The call's SID.")
    mode: EndCallMode = strawberry.field(
        default=EndCallMode.HANG_UP, description="How it is ended: REST parameter Status."
    )
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)
