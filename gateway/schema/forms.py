"""Inputs of mutations → the forms that Twilio takes, or what is wrong with them. Pure.

Every problem is found, not only the first. Twilio silently ignores a parameter that needs another
one; here that is a problem too, since the caller meant something by it. This module must not know
who sends a form.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from strawberry import UNSET

from gateway.live.webhook_events import RECORDING_PATH, STATUS_PATH
from gateway.schema.checks import (
    Check,
    anything,
    callback,
    digits,
    is_number,
    party,
    sid,
    sip_word,
    text,
    url,
    whole,
)
from gateway.schema.inputs import (
    CallProgressEvent,
    EndCallInput,
    MakeCallInput,
    RecordingEvent,
    RedirectCallInput,
)

__all__ = ["ValidationError", "end_form", "make_form", "problems_of", "redirect_form"]

Form = tuple[tuple[str, str], ...]
LONGEST_TWIML = 4000
LONGEST_CALL = 24 * 3600


@dataclass(frozen=True, slots=True)
class ValidationError:
    """What is wrong with a field; `path` is its names from the input down."""

    path: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """An input's attribute, the parameter that it becomes, and what it must be."""

    attribute: str
    name: str
    check: Check = anything


INSTRUCTIONS = (
    Parameter("url", "Url", url),
    Parameter("twiml", "Twiml", text(LONGEST_TWIML)),
    Parameter("application_sid", "ApplicationSid", sid("AP")),
)
METHOD = Parameter("method", "Method")
FALLBACK = (
    Parameter("fallback_url", "FallbackUrl", url),
    Parameter("fallback_method", "FallbackMethod"),
)
STATUS_CALLBACK = Parameter("status_callback", "StatusCallback", callback)
STATUS_CALLBACK_METHOD = Parameter("status_callback_method", "StatusCallbackMethod")
TIME_LIMIT = Parameter("time_limit", "TimeLimit", whole(1, LONGEST_CALL))
MAKE = (
    Parameter("to", "To", party),
    Parameter("from_", "From", party),
    METHOD,
    *FALLBACK,
    STATUS_CALLBACK,
    Parameter("status_callback_event", "StatusCallbackEvent"),
    STATUS_CALLBACK_METHOD,
    Parameter("send_digits", "SendDigits", digits),
    Parameter("timeout", "Timeout", whole(1, 600)),
    TIME_LIMIT,
    Parameter("record", "Record"),
    Parameter("recording_channels", "RecordingChannels"),
    Parameter("recording_track", "RecordingTrack"),
    Parameter("trim", "Trim"),
    Parameter("recording_status_callback", "RecordingStatusCallback", callback),
    Parameter("recording_status_callback_event", "RecordingStatusCallbackEvent"),
    Parameter("recording_status_callback_method", "RecordingStatusCallbackMethod"),
    Parameter("machine_detection", "MachineDetection"),
    Parameter("machine_detection_timeout", "MachineDetectionTimeout", whole(3, 59)),
    Parameter(
        "machine_detection_speech_threshold", "MachineDetectionSpeechThreshold", whole(1000, 6000)
    ),
    Parameter(
        "machine_detection_speech_end_threshold",
        "MachineDetectionSpeechEndThreshold",
        whole(500, 5000),
    ),
    Parameter(
        "machine_detection_silence_timeout", "MachineDetectionSilenceTimeout", whole(2000, 10_000)
    ),
    Parameter("async_amd", "AsyncAmd"),
    Parameter("async_amd_status_callback", "AsyncAmdStatusCallback", callback),
    Parameter("async_amd_status_callback_method", "AsyncAmdStatusCallbackMethod"),
    Parameter("caller_id", "CallerId", party),
    Parameter("call_reason", "CallReason", text(1000)),
    Parameter("call_token", "CallToken", text(4000)),
    Parameter("byoc", "Byoc", sid("BY")),
    Parameter("sip_auth_username", "SipAuthUsername", sip_word),
    Parameter("sip_auth_password", "SipAuthPassword", sip_word),
    Parameter("client_notification_url", "ClientNotificationUrl", url),
)
REDIRECT = (METHOD, *FALLBACK, STATUS_CALLBACK, STATUS_CALLBACK_METHOD, TIME_LIMIT)
SID = Parameter("sid", "Sid", sid("CA"))
KEY = Parameter("idempotency_key", "", text(200))

# The first means nothing without the second (FACTS section 8).
NEEDS = (
    ("fallback_method", "fallback_url"),
    ("status_callback_event", "status_callback"),
    ("status_callback_method", "status_callback"),
    ("recording_channels", "record"),
    ("recording_track", "record"),
    ("trim", "record"),
    ("recording_status_callback", "record"),
    ("recording_status_callback_event", "recording_status_callback"),
    ("recording_status_callback_method", "recording_status_callback"),
    ("machine_detection_timeout", "machine_detection"),
    ("machine_detection_speech_threshold", "machine_detection"),
    ("machine_detection_speech_end_threshold", "machine_detection"),
    ("machine_detection_silence_timeout", "machine_detection"),
    ("async_amd", "machine_detection"),
    ("async_amd_status_callback", "async_amd"),
    ("async_amd_status_callback_method", "async_amd_status_callback"),
    ("sip_auth_username", "sip_auth_password"),
    ("sip_auth_password", "sip_auth_username"),
)
# An application brings these along, and Twilio ignores what is sent besides.
OF_THE_APPLICATION = (
    "fallback_url",
    "fallback_method",
    "status_callback",
    "status_callback_event",
    "status_callback_method",
)
ONLY_WITH_URL = {MakeCallInput: ("method",), RedirectCallInput: ("method", "status_callback")}
Input = MakeCallInput | RedirectCallInput | EndCallInput


def make_form(given: MakeCallInput, callback_url: str | None) -> Form:
    """POST Calls. The gateway's own callbacks are added where the caller gave none."""
    to, from_, *rest = MAKE
    form = [*_pairs(given, (to, from_)), *_pairs(given.instructions, INSTRUCTIONS)]
    return (*form, *_pairs(given, rest), *_own_callbacks(given, callback_url))


def redirect_form(given: RedirectCallInput) -> Form:
    """POST Calls/{sid} with Url or Twiml."""
    return (*_pairs(given.instructions, INSTRUCTIONS[:2]), *_pairs(given, REDIRECT))


def end_form(given: EndCallInput) -> Form:
    """POST Calls/{sid} with Status."""
    return (("Status", given.mode.value),)


def problems_of(given: Input) -> Sequence[ValidationError]:
    """Everything that is wrong with an input; nothing is sent then."""
    parameters = {MakeCallInput: MAKE, RedirectCallInput: (SID, *REDIRECT), EndCallInput: (SID,)}
    problems = [*_unfit(given, (*parameters[type(given)], KEY), ())]
    instructions = getattr(given, "instructions", None)
    if instructions is not None:
        problems += _unfit(instructions, INSTRUCTIONS, ("instructions",))
    return [*problems, *_lonely(given), *_contradictions(given)]


def _unfit(
    given: object, parameters: Sequence[Parameter], path: tuple[str, ...]
) -> list[ValidationError]:
    found = []
    for parameter in parameters:
        value = getattr(given, parameter.attribute, None)
        message = None if _is_missing(value) else _trouble(parameter, value)
        if message is not None:
            found.append(ValidationError((*path, _field(parameter.attribute)), message))
    return found


def _trouble(parameter: Parameter, value: Any) -> str | None:
    if value == []:
        return "must not be empty; leave it out instead"
    return parameter.check(value)


def _lonely(given: object) -> Iterator[ValidationError]:
    for attribute, needed in NEEDS:
        if _has(given, attribute) and not _has(given, needed):
            yield ValidationError((_field(attribute),), f"means nothing without {_field(needed)}")


def _contradictions(given: Input) -> Iterator[ValidationError]:
    if isinstance(given, EndCallInput):
        return
    for attribute in ONLY_WITH_URL[type(given)]:
        if _has(given, attribute) and not _has(given.instructions, "url"):
            yield ValidationError((_field(attribute),), "means nothing without instructions.url")
    if not isinstance(given, MakeCallInput):
        return
    for attribute in OF_THE_APPLICATION:
        if _has(given, attribute) and _has(given.instructions, "application_sid"):
            yield ValidationError((_field(attribute),), "comes from the application; leave it out")
    if _has(given, "send_digits") and _has(given, "machine_detection"):
        yield ValidationError(("machineDetection",), "is not done where sendDigits is given")
    if is_number(given.to) and party(given.from_) is None and not is_number(given.from_):
        yield ValidationError(("from",), "must be a phone number when to is one")


def _own_callbacks(given: MakeCallInput, base: str | None) -> Iterator[tuple[str, str]]:
    """All events, so that subscribers see the call ring; an application has its own."""
    if base is None:
        return
    if not _has(given, "status_callback") and not _has(given.instructions, "application_sid"):
        yield "StatusCallback", base + STATUS_PATH
        yield from (("StatusCallbackEvent", event.value) for event in CallProgressEvent)
    if given.record and not _has(given, "recording_status_callback"):
        yield "RecordingStatusCallback", base + RECORDING_PATH
        yield from (("RecordingStatusCallbackEvent", event.value) for event in RecordingEvent)


def _pairs(given: object, parameters: Sequence[Parameter]) -> Iterator[tuple[str, str]]:
    for parameter in parameters:
        value = getattr(given, parameter.attribute)
        if not _is_missing(value):
            values = dict.fromkeys(value) if isinstance(value, list) else (value,)
            yield from ((parameter.name, _text(one)) for one in values)


def _has(given: object, attribute: str) -> bool:
    value = getattr(given, attribute, None)
    return not _is_missing(value) and value is not False


def _is_missing(value: object) -> bool:
    return value is None or value is UNSET


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.value if isinstance(value, Enum) else value)


def _field(attribute: str) -> str:
    """The name that the client knows: camelCase."""
    return re.sub("_([a-z])", lambda letter: letter[1].upper(), attribute.rstrip("_"))
