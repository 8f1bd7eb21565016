"""The inputs of the mutations: Twilio's parameters under Twilio's names
(docs/twilio.md#8-making-and-modifying-a-call).

Each field is one parameter; `forms` has its REST name. This module must not know how a form is
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


class CallHttpMethod(Enum):
    """The two methods that Twilio offers; POST is its default."""

    GET = "GET"
    POST = "POST"


described_enum(
    CallHttpMethod,
    "The HTTP method with which Twilio requests a URL.",
    {
        CallHttpMethod.GET: "Twilio sends its parameters in the query string.",
        CallHttpMethod.POST: "Twilio sends its parameters in the body, form-encoded.",
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
    "The events of a call for which Twilio sends status callbacks.",
    {
        CallProgressEvent.INITIATED: "The call leaves the queue and is dialed.",
        CallProgressEvent.RINGING: "It rings.",
        CallProgressEvent.ANSWERED: "It is answered.",
        CallProgressEvent.COMPLETED: "It has ended, for whatever reason.",
    },
)


class RecordingEvent(Enum):
    """REST parameter RecordingStatusCallbackEvent."""

    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    ABSENT = "absent"


described_enum(
    RecordingEvent,
    "The events of a recording for which Twilio sends callbacks.",
    {
        RecordingEvent.IN_PROGRESS: "It has started.",
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


class CallTrim(Enum):
    """REST parameter Trim."""

    TRIM_SILENCE = "trim-silence"
    DO_NOT_TRIM = "do-not-trim"


described_enum(
    CallTrim,
    "Whether Twilio trims silence from a recording.",
    {
        CallTrim.TRIM_SILENCE: "Trims silence at the beginning and at the end.",
        CallTrim.DO_NOT_TRIM: "Leaves the recording as it is.",
    },
)


class MachineDetection(Enum):
    """REST parameter MachineDetection."""

    ENABLE = "Enable"
    DETECT_MESSAGE_END = "DetectMessageEnd"


described_enum(
    MachineDetection,
    "When Twilio reports the result of answering machine detection.",
    {
        MachineDetection.ENABLE: "As soon as it is known who answered.",
        MachineDetection.DETECT_MESSAGE_END: "For a machine, at the end of its greeting.",
    },
)


class EndCallMode(Enum):
    """The two statuses that a caller may set: REST parameter Status."""

    HANG_UP = "completed"
    CANCEL_UNANSWERED = "canceled"


described_enum(
    EndCallMode,
    "How to end a call: REST parameter Status.",
    {
        EndCallMode.HANG_UP: "Hang up, whether the call was answered or not.",
        EndCallMode.CANCEL_UNANSWERED: "Hang up only if nobody has answered yet. For an answered "
        "call nothing happens, and that is no error.",
    },
)


@strawberry.input(
    one_of=True, description="What the call does when it is answered: exactly one of these."
)
class CallInstructions:
    """Twilio accepts several and ignores some; the gateway accepts exactly one."""

    url: str | None = strawberry.field(
        default=strawberry.UNSET, description="Where Twilio fetches TwiML: REST parameter Url."
    )
    twiml: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="TwiML, at most 4000 characters: REST parameter Twiml.",
    )
    application_sid: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="A TwiML application, which has its own URLs: REST parameter ApplicationSid.",
    )


@strawberry.input(one_of=True, description="The call's new instructions: exactly one of these.")
class RedirectInstructions:
    """Twilio does not redirect a call to an application."""

    url: str | None = strawberry.field(
        default=strawberry.UNSET, description="Where Twilio fetches TwiML: REST parameter Url."
    )
    twiml: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="TwiML, at most 4000 characters: REST parameter Twiml.",
    )


_KEY = (
    "Any text of your own, 1 to 200 characters. If the same mutation with the same key is repeated "
    "within 24 hours, nothing is sent and the result of the first is returned."
)


@strawberry.input(description="A call to place.")
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
    method: CallHttpMethod | None = strawberry.field(
        default=None,
        description="The HTTP method for url; POST if omitted: REST parameter Method.",
    )
    fallback_url: str | None = strawberry.field(
        default=None,
        description="Where Twilio fetches TwiML if url fails: REST parameter FallbackUrl.",
    )
    fallback_method: CallHttpMethod | None = strawberry.field(
        default=None,
        description="REST parameter FallbackMethod.",
    )
    status_callback: str | None = strawberry.field(
        default=None,
        description="Where Twilio sends status callbacks: REST parameter StatusCallback. If "
        "omitted, the gateway's own URL, if it has one.",
    )
    status_callback_event: list[CallProgressEvent] | None = strawberry.field(
        default=None,
        description="The events that Twilio sends there; COMPLETED if omitted: REST parameter "
        "StatusCallbackEvent.",
    )
    status_callback_method: CallHttpMethod | None = strawberry.field(
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
        description="Seconds to let it ring, 1 to 600; 60 if omitted: REST parameter Timeout.",
    )
    time_limit: int | None = strawberry.field(
        default=None,
        description="The maximum length of the call in seconds: REST parameter TimeLimit.",
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
    trim: CallTrim | None = strawberry.field(
        default=None,
        description="REST parameter Trim.",
    )
    recording_status_callback: str | None = strawberry.field(
        default=None,
        description="Where Twilio sends callbacks about the recording: REST parameter "
        "RecordingStatusCallback. If omitted, the gateway's own URL, if it has one.",
    )
    recording_status_callback_event: list[RecordingEvent] | None = strawberry.field(
        default=None,
        description="REST parameter RecordingStatusCallbackEvent.",
    )
    recording_status_callback_method: CallHttpMethod | None = strawberry.field(
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
        description="Where Twilio sends the result of the detection: REST parameter "
        "AsyncAmdStatusCallback.",
    )
    async_amd_status_callback_method: CallHttpMethod | None = strawberry.field(
        default=None,
        description="REST parameter AsyncAmdStatusCallbackMethod.",
    )
    caller_id: str | None = strawberry.field(
        default=None,
        description="What the called party sees in place of from: REST parameter CallerId.",
    )
    call_reason: str | None = strawberry.field(
        default=None,
        description="The reason for the call, shown with branded calls: REST parameter CallReason.",
    )
    call_token: strawberry.ID | None = strawberry.field(
        default=None,
        description="The token of a forwarded call: REST parameter CallToken.",
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


@strawberry.input(description="A call in progress and its new instructions.")
class RedirectCallInput:
    """POST Calls/{sid} with Url or Twiml."""

    sid: strawberry.ID = strawberry.field(description="The call's SID.")
    instructions: RedirectInstructions = strawberry.field(
        description="The call's new instructions."
    )
    method: CallHttpMethod | None = strawberry.field(
        default=None,
        description="The HTTP method for url; POST if omitted: REST parameter Method.",
    )
    fallback_url: str | None = strawberry.field(
        default=None,
        description="Where Twilio fetches TwiML if url fails: REST parameter FallbackUrl.",
    )
    fallback_method: CallHttpMethod | None = strawberry.field(
        default=None,
        description="REST parameter FallbackMethod.",
    )
    status_callback: str | None = strawberry.field(
        default=None,
        description="Where Twilio sends status callbacks; only with a url: REST parameter "
        "StatusCallback.",
    )
    status_callback_method: CallHttpMethod | None = strawberry.field(
        default=None,
        description="REST parameter StatusCallbackMethod.",
    )
    time_limit: int | None = strawberry.field(
        default=None,
        description="The maximum length of the call in seconds: REST parameter TimeLimit.",
    )
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)


@strawberry.input(description="A call to end.")
class EndCallInput:
    """POST Calls/{sid} with Status."""

    sid: strawberry.ID = strawberry.field(description="The call's SID.")
    mode: EndCallMode = strawberry.field(
        default=EndCallMode.HANG_UP, description="How to end it: REST parameter Status."
    )
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)
