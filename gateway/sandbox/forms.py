"""Validates the forms that make and modify calls and recordings, and parses them into structs.

An invalid parameter raises the service's own error (docs/twilio.md#7-errors and
docs/twilio.md#8-making-and-modifying-a-call), in the order in which the parameters are listed
there. Knows no rows.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from gateway.sandbox import parties
from gateway.sandbox.call_script import RINGING_LIMIT, TIME_LIMIT, Callback, CallScript
from gateway.sandbox.errors import TwilioError, invalid

Form = Mapping[str, Sequence[str]]

MAX_TWIML_LENGTH = 4000
MAX_URL_LENGTH = 4000
MAX_TIMEOUT = 600
VALID_FROM = "+15005550006"
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_PARTY = re.compile(r"(?:client|sip|sips|sim):\S+")
_REFUSED_NUMBERS = {
    "+15005550001": (21217, "Phone number does not appear to be valid"),
    "+15005550002": (21214, "'To' phone number cannot be reached"),
    "+15005550003": (21215, "Account not authorized to call {}"),
    "+15005550004": (21216, "The number {} is on the block list"),
}
EVENTS = ("initiated", "ringing", "answered", "completed")


class CreateCall(msgspec.Struct, frozen=True):
    """The parameters of a new call."""

    to: str
    from_: str
    script: CallScript


class UpdateCall(msgspec.Struct, frozen=True):
    """The parameters of a redirect, a hang-up or a new time limit."""

    redirect: CallScript | None
    status: str | None
    time_limit: int | None


class CreateRecording(msgspec.Struct, frozen=True):
    """The parameters of a new recording."""

    channels: int
    track: str
    callback: Callback | None


def parse_create_call(form: Form) -> CreateCall:
    """Parses POST to the list of calls."""
    to, from_ = _to(form), _from(form)
    is_number = _E164.fullmatch(to) is not None
    if is_number and not _E164.fullmatch(from_):
        raise _refusal(21212, f"From is not a valid phone number: {from_}")
    script = _script(form)
    return CreateCall(to, from_, script)


def parse_update_call(form: Form) -> UpdateCall:
    """Parses POST to a call."""
    status = one(form, "Status")
    if status not in (None, "canceled", "completed"):
        raise invalid("Status")
    if one(form, "Url") and one(form, "Twiml"):
        raise invalid("Twiml")
    has_redirect = one(form, "Url") or one(form, "Twiml")
    limit = one(form, "TimeLimit")
    return UpdateCall(
        _script(form) if has_redirect else None,
        status,
        _integer(form, "TimeLimit", 0) if limit else None,
    )


def parse_create_recording(form: Form) -> CreateRecording:
    """Parses POST to the recordings of a call."""
    return CreateRecording(
        _channels(form), _choice(form, "RecordingTrack", _TRACKS), _recording_callback(form)
    )


def parse_recording_status(form: Form) -> Literal["in-progress", "paused", "stopped"]:
    """Parses POST to a recording of a call."""
    match one(form, "Status"):
        case "in-progress" | "paused" | "stopped" as status:
            return status
    raise invalid("Status")


def one(form: Form, name: str) -> str | None:
    """The last value of a parameter; an empty one is None."""
    return next(reversed(form.get(name, ())), None) or None


def _refusal(code: int, message: str) -> TwilioError:
    return TwilioError(400, code, message)


def _to(form: Form) -> str:
    to = one(form, "To")
    if to is None:
        raise _refusal(21201, "No 'To' number is specified")
    if to in _REFUSED_NUMBERS:
        code, message = _REFUSED_NUMBERS[to]
        raise _refusal(code, message.format(to))
    if not (_E164.fullmatch(to) or _PARTY.fullmatch(to)):
        raise _refusal(21211, f"The phone number you are attempting to call, {to}, is not valid.")
    return to


def _from(form: Form) -> str:
    from_ = one(form, "From")
    if from_ is None:
        raise _refusal(21213, "Caller phone number is required.")
    if from_ == "+15005550001" or not (_E164.fullmatch(from_) or _PARTY.fullmatch(from_)):
        raise _refusal(21212, f"From is not a valid phone number: {from_}")
    if _E164.fullmatch(from_) and from_ not in (*parties.LINES, VALID_FROM):
        raise _refusal(
            21210,
            f"The source phone number provided, {from_}, is not yet verified for your account."
            " You may only make calls from phone numbers that you've verified or purchased"
            " from Twilio.",
        )
    return from_


def _script(form: Form) -> CallScript:
    application = one(form, "ApplicationSid")
    if application is not None and not re.fullmatch("AP[0-9a-f]{32}", application):
        raise _refusal(21218, "ApplicationSid is not valid")
    if not (application or one(form, "Url") or one(form, "Twiml")):
        raise _refusal(
            21205,
            "Url parameter is required. For more information, see"
            " https://www.twilio.com/docs/errors/21205",
        )
    if len(one(form, "Twiml") or "") > MAX_TWIML_LENGTH:
        raise invalid("Twiml")
    script = _call_options(form)
    return script if application else _with_urls(form, script)


def _call_options(form: Form) -> CallScript:
    """The parameters that apply to any call, with an application or without one."""
    digits = one(form, "SendDigits") or ""
    if not re.fullmatch("[0-9A-D#*wW]{0,32}", digits):
        raise _refusal(21206, "SendDigits is not valid")
    detection = one(form, "MachineDetection") or one(form, "IfMachine")
    if detection not in (None, "Enable", "DetectMessageEnd", "Continue", "Hangup"):
        raise _refusal(21234, f"MachineDetection is not valid: {detection}")
    _check_detection(form)
    _check_sip(form)
    timeout = _integer(form, "Timeout", RINGING_LIMIT)
    if not 0 < timeout <= MAX_TIMEOUT:
        raise _refusal(21208, "Timeout is not valid")
    return CallScript(
        timeout=timeout,
        time_limit=_integer(form, "TimeLimit", TIME_LIMIT),
        machine_detection=detection is not None and not digits,
        record=(one(form, "Record") or "false").lower() == "true",
        channels=_channels(form),
        recording_callback=_recording_callback(form),
    )


# docs/twilio.md#8-making-and-modifying-a-call, in milliseconds; the timeout is in seconds, with the
# range of Twilio's guide.
_DETECTION_TIMES = {
    "MachineDetectionTimeout": range(3, 60),
    "MachineDetectionSpeechThreshold": range(1000, 6001),
    "MachineDetectionSpeechEndThreshold": range(500, 5001),
    "MachineDetectionSilenceTimeout": range(2000, 10_001),
}


def _check_detection(form: Form) -> None:
    """Raises 21263 for a machine detection time that is out of range."""
    for name, allowed in _DETECTION_TIMES.items():
        value = one(form, name)
        if value is not None and not (re.fullmatch("[0-9]{1,6}", value) and int(value) in allowed):
            raise _refusal(21263, f"{name} is not valid")


MAX_SIP_CREDENTIAL_LENGTH = 255
# For each parameter the codes for too long and for illegal characters (Twilio's error dictionary).
_SIP_CODES = {"SipAuthUsername": (21221, 21222), "SipAuthPassword": (21223, 21224)}


def _check_sip(form: Form) -> None:
    """Raises for a SIP user or password that is too long or illegal, or one without the other."""
    for name, (too_long, illegal) in _SIP_CODES.items():
        value = one(form, name) or ""
        if len(value) > MAX_SIP_CREDENTIAL_LENGTH:
            raise _refusal(too_long, f"{name} must have fewer than 256 characters")
        if not re.fullmatch("[!-~]*", value):
            raise _refusal(illegal, f"{name} has characters that SIP does not allow")
    if (one(form, "SipAuthUsername") is None) != (one(form, "SipAuthPassword") is None):
        raise _refusal(21225, "SipAuthUsername and SipAuthPassword go together")


def _with_urls(form: Form, script: CallScript) -> CallScript:
    """Adds the URLs and callbacks, which an application (``ApplicationSid``) would define."""
    return msgspec.structs.replace(
        script,
        url=_url(form, "Url", 21205),
        method=_method(form, "Method"),
        twiml=one(form, "Twiml"),
        fallback_url=_url(form, "FallbackUrl", 21205),
        fallback_method=_method(form, "FallbackMethod"),
        status_callback=_status_callback(form),
    )


def _status_callback(form: Form) -> Callback | None:
    url = _url(form, "StatusCallback", 21609)
    events = [event for value in form.get("StatusCallbackEvent", ()) for event in value.split()]
    if not set(events) <= set(EVENTS):
        raise _refusal(21626, f"StatusCallbackEvent is not valid: {' '.join(events)}")
    method = _method(form, "StatusCallbackMethod")
    return Callback(url, method, tuple(events) or ("completed",)) if url else None


def _recording_callback(form: Form) -> Callback | None:
    url = _url(form, "RecordingStatusCallback", 21609)
    events = [e for value in form.get("RecordingStatusCallbackEvent", ()) for e in value.split()]
    method = _method(form, "RecordingStatusCallbackMethod")
    return Callback(url, method, tuple(events) or ("completed",)) if url else None


def _url(form: Form, name: str, code: int) -> str | None:
    url = one(form, name)
    if url is None:
        return None
    host = _host(url)
    if not host or (code == 21609 and "_" in host) or len(url) > MAX_URL_LENGTH:
        raise _refusal(code, f"{name} is not a valid URL: {url}")
    return url


def _host(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        return parts.hostname if parts.scheme in ("http", "https") and parts.port != 0 else None
    except ValueError:
        return None


def _method(form: Form, name: str) -> str:
    return _choice(form, name, ("POST", "GET"), 21209)


_TRACKS = ("both", "inbound", "outbound")


def _channels(form: Form) -> int:
    return 2 if _choice(form, "RecordingChannels", ("mono", "dual")) == "dual" else 1


def _choice(form: Form, name: str, choices: Sequence[str], code: int | None = None) -> str:
    """One of the allowed values; without one, the first."""
    value = one(form, name) or choices[0]
    if value not in choices:
        raise TwilioError(400, code, f"{name} is not valid: {value}") if code else invalid(name)
    return value


def _integer(form: Form, name: str, default: int) -> int:
    value = one(form, name)
    if value is None:
        return default
    if not re.fullmatch("[0-9]{1,6}", value):
        raise _refusal(21208, f"{name} is not valid") if name == "Timeout" else invalid(name)
    return int(value)
