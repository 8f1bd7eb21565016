"""What each mutation is: the fields of its input, Twilio's parameters, the rules between them.

One specification for each. Every problem of an input is found, not only the first. Twilio silently
ignores a parameter that needs another one; here that is a problem too, since the caller meant
something by it. Pure: this module must not know who sends a request.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from strawberry import UNSET

from gateway.live.webhook_events import RECORDING_PATH, STATUS_PATH
from gateway.schema.arguments import graphql_name
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
from gateway.upstream.writes import CallForm, make_call, modify_call

__all__ = ["END_CALL", "MAKE_CALL", "REDIRECT_CALL", "Input", "MutationSpec", "ValidationError"]

Form = tuple[tuple[str, str], ...]
LONGEST_TWIML = 4000
LONGEST_CALL = 24 * 3600


class MutationInput(Protocol):
    """What every mutation's input has."""

    idempotency_key: str | None


Input = TypeVar("Input", bound=MutationInput)


@dataclass(frozen=True, slots=True)
class ValidationError:
    """What is wrong with a field; `path` is its names from the input down."""

    path: tuple[str, ...]
    message: str


Rule = Callable[[Any], Iterable[ValidationError]]
"""What must hold between the fields of an input."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """An attribute of an input (`instructions.url`), what it must be, and Twilio's parameter.

    Without a name it is not sent.
    """

    attribute: str
    name: str | None
    check: Check = anything

    def value(self, given: object) -> Any:
        """The value that was given; None where none was."""
        return _value(given, self.attribute)

    def problem(self, given: object) -> str | None:
        """What is wrong with the value, if anything is."""
        value = self.value(given)
        if value == []:
            return "must not be empty; leave it out instead"
        return None if value is None else self.check(value)


@dataclass(frozen=True, kw_only=True)
class MutationSpec(Generic[Input]):
    """One mutation. `parameters` stand in the order of Twilio's form.

    `request` is the POST of a form; `own_callbacks` are the parameters that the gateway adds for
    itself, by its public URL.
    """

    parameters: Sequence[Parameter]
    rules: Sequence[Rule]
    request: Callable[[Input, Form], CallForm]
    own_callbacks: Callable[[Input, str], Iterable[tuple[str, str]]] = lambda _given, _url: ()

    def problems(self, given: Input) -> Sequence[ValidationError]:
        """Everything that is wrong with an input; nothing is sent then."""
        found = [
            ValidationError(_path(parameter.attribute), message)
            for parameter in self.parameters
            if (message := parameter.problem(given)) is not None
        ]
        return [*found, *(problem for rule in self.rules for problem in rule(given))]

    def request_of(self, given: Input, callback_url: str | None) -> CallForm:
        """What is sent. Without a URL Twilio is not asked to call the gateway back."""
        own = self.own_callbacks(given, callback_url) if callback_url else ()
        return self.request(given, (*_pairs(given, self.parameters), *own))


SID = Parameter("sid", None, sid("CA"))
KEY = Parameter("idempotency_key", None, text(200))
INSTRUCTIONS = (
    Parameter("instructions.url", "Url", url),
    Parameter("instructions.twiml", "Twiml", text(LONGEST_TWIML)),
)
APPLICATION = Parameter("instructions.application_sid", "ApplicationSid", sid("AP"))
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
    *INSTRUCTIONS,
    APPLICATION,
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
REDIRECT = (
    *INSTRUCTIONS,
    METHOD,
    *FALLBACK,
    STATUS_CALLBACK,
    STATUS_CALLBACK_METHOD,
    TIME_LIMIT,
)

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


def _needs(given: object) -> Iterator[ValidationError]:
    for attribute, needed in NEEDS:
        if _has(given, attribute) and not _has(given, needed):
            yield _problem(attribute, f"means nothing without {graphql_name(needed)}")


def _only_with_url(*attributes: str) -> Rule:
    def rule(given: object) -> Iterator[ValidationError]:
        for attribute in attributes:
            if _has(given, attribute) and not _has(given, "instructions.url"):
                yield _problem(attribute, "means nothing without instructions.url")

    return rule


def _without_application(given: object) -> Iterator[ValidationError]:
    for attribute in OF_THE_APPLICATION:
        if _has(given, attribute) and _has(given, "instructions.application_sid"):
            yield _problem(attribute, "comes from the application; leave it out")


def _detects_no_digits(given: object) -> Iterator[ValidationError]:
    if _has(given, "send_digits") and _has(given, "machine_detection"):
        yield _problem("machine_detection", "is not done where sendDigits is given")


def _number_calls_number(given: MakeCallInput) -> Iterator[ValidationError]:
    if is_number(given.to) and party(given.from_) is None and not is_number(given.from_):
        yield _problem("from", "must be a phone number when to is one")


def _callbacks_of_a_new_call(given: MakeCallInput, base: str) -> Iterator[tuple[str, str]]:
    """All events, so that subscribers see the call ring; an application has its own."""
    if not _has(given, "status_callback") and not _has(given, "instructions.application_sid"):
        yield "StatusCallback", base + STATUS_PATH
        yield from (("StatusCallbackEvent", event.value) for event in CallProgressEvent)
    if given.record and not _has(given, "recording_status_callback"):
        yield "RecordingStatusCallback", base + RECORDING_PATH
        yield from (("RecordingStatusCallbackEvent", event.value) for event in RecordingEvent)


def _change(given: RedirectCallInput | EndCallInput, form: Form) -> CallForm:
    return modify_call(given.sid, form)


MAKE_CALL = MutationSpec[MakeCallInput](
    parameters=(*MAKE, KEY),
    rules=(
        _needs,
        _only_with_url("method"),
        _without_application,
        _detects_no_digits,
        _number_calls_number,
    ),
    request=lambda _given, form: make_call(form),
    own_callbacks=_callbacks_of_a_new_call,
)
REDIRECT_CALL = MutationSpec[RedirectCallInput](
    parameters=(SID, *REDIRECT, KEY),
    rules=(_needs, _only_with_url("method", "status_callback")),
    request=_change,
)
END_CALL = MutationSpec[EndCallInput](
    parameters=(SID, Parameter("mode", "Status"), KEY),
    rules=(),
    request=_change,
)


def _pairs(given: object, parameters: Sequence[Parameter]) -> Iterator[tuple[str, str]]:
    for parameter in parameters:
        value = parameter.value(given)
        if parameter.name is not None and value is not None:
            values = dict.fromkeys(value) if isinstance(value, list) else (value,)
            yield from ((parameter.name, _text(one)) for one in values)


def _problem(attribute: str, message: str) -> ValidationError:
    return ValidationError(_path(attribute), message)


def _path(attribute: str) -> tuple[str, ...]:
    """The names that the client knows."""
    return tuple(map(graphql_name, attribute.split(".")))


def _has(given: object, attribute: str) -> bool:
    value = _value(given, attribute)
    return value is not None and value is not False


def _value(given: object, attribute: str) -> Any:
    """None where an input has no such attribute, or none was given."""
    value: Any = given
    for name in attribute.split("."):
        value = getattr(value, name, None)
    return None if value is UNSET else value


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.value if isinstance(value, Enum) else value)
