"""One specification for each mutation: input fields, Twilio's parameters, rules between them.

Validation finds every error of an input, not only the first. Twilio silently ignores a parameter
whose companion is missing; here that is an error, because the caller meant something by it. Pure:
this module must not know who sends a request.
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
    whole_number,
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
MAX_TWIML_LENGTH = 4000
MAX_CALL_SECONDS = 24 * 3600


class MutationInput(Protocol):
    """What every mutation's input has."""

    idempotency_key: str | None


Input = TypeVar("Input", bound=MutationInput)


@dataclass(frozen=True, slots=True)
class ValidationError:
    """What is wrong with a field. `path` holds GraphQL names from the input down."""

    path: tuple[str, ...]
    message: str


Rule = Callable[[Any], Iterable[ValidationError]]
"""A check of several fields of an input together."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """An attribute of an input (`instructions.url`), its check, and the name of Twilio's parameter.

    A parameter without a name is not sent.
    """

    attribute: str
    name: str | None
    check: Check = anything

    def value(self, input_: object) -> Any:
        """The value in the input; None if there is none."""
        return _value(input_, self.attribute)

    def error_of(self, input_: object) -> str | None:
        """What is wrong with the value; None if nothing is."""
        value = self.value(input_)
        if value == []:
            return "must not be empty; omit it instead"
        return None if value is None else self.check(value)


@dataclass(frozen=True, kw_only=True)
class MutationSpec(Generic[Input]):
    """One mutation. `parameters` stand in the order of Twilio's form.

    `request` makes the POST of a form. `own_callbacks` gives the callback parameters that the
    gateway adds, with its own public URL.
    """

    parameters: Sequence[Parameter]
    rules: Sequence[Rule]
    request: Callable[[Input, Form], CallForm]
    own_callbacks: Callable[[Input, str], Iterable[tuple[str, str]]] = lambda _given, _url: ()

    def validate(self, input_: Input) -> Sequence[ValidationError]:
        """Everything that is wrong with an input; empty if it can be sent."""
        errors = [
            ValidationError(_path(parameter.attribute), message)
            for parameter in self.parameters
            if (message := parameter.error_of(input_)) is not None
        ]
        return [*errors, *(error for rule in self.rules for error in rule(input_))]

    def request_of(self, input_: Input, callback_url: str | None) -> CallForm:
        """The request to send. With a `callback_url` it has the gateway's own callbacks."""
        own = self.own_callbacks(input_, callback_url) if callback_url else ()
        return self.request(input_, (*_form_fields(input_, self.parameters), *own))


SID = Parameter("sid", None, sid("CA"))
KEY = Parameter("idempotency_key", None, text(200))
INSTRUCTIONS = (
    Parameter("instructions.url", "Url", url),
    Parameter("instructions.twiml", "Twiml", text(MAX_TWIML_LENGTH)),
)
APPLICATION = Parameter("instructions.application_sid", "ApplicationSid", sid("AP"))
METHOD = Parameter("method", "Method")
FALLBACK = (
    Parameter("fallback_url", "FallbackUrl", url),
    Parameter("fallback_method", "FallbackMethod"),
)
STATUS_CALLBACK = Parameter("status_callback", "StatusCallback", callback)
STATUS_CALLBACK_METHOD = Parameter("status_callback_method", "StatusCallbackMethod")
TIME_LIMIT = Parameter("time_limit", "TimeLimit", whole_number(1, MAX_CALL_SECONDS))
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
    Parameter("timeout", "Timeout", whole_number(1, 600)),
    TIME_LIMIT,
    Parameter("record", "Record"),
    Parameter("recording_channels", "RecordingChannels"),
    Parameter("recording_track", "RecordingTrack"),
    Parameter("trim", "Trim"),
    Parameter("recording_status_callback", "RecordingStatusCallback", callback),
    Parameter("recording_status_callback_event", "RecordingStatusCallbackEvent"),
    Parameter("recording_status_callback_method", "RecordingStatusCallbackMethod"),
    Parameter("machine_detection", "MachineDetection"),
    Parameter("machine_detection_timeout", "MachineDetectionTimeout", whole_number(3, 59)),
    Parameter(
        "machine_detection_speech_threshold",
        "MachineDetectionSpeechThreshold",
        whole_number(1000, 6000),
    ),
    Parameter(
        "machine_detection_speech_end_threshold",
        "MachineDetectionSpeechEndThreshold",
        whole_number(500, 5000),
    ),
    Parameter(
        "machine_detection_silence_timeout",
        "MachineDetectionSilenceTimeout",
        whole_number(2000, 10_000),
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

# The first has no effect without the second (docs/twilio.md#8-making-and-modifying-a-call).
DEPENDENCIES = (
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
# An application sets these, and Twilio ignores them in the request.
SET_BY_APPLICATION = (
    "fallback_url",
    "fallback_method",
    "status_callback",
    "status_callback_event",
    "status_callback_method",
)


def _missing_dependencies(input_: object) -> Iterator[ValidationError]:
    for attribute, needed in DEPENDENCIES:
        if _has(input_, attribute) and not _has(input_, needed):
            yield _error(attribute, f"has no effect without {graphql_name(needed)}")


def _only_with_url(*attributes: str) -> Rule:
    def rule(input_: object) -> Iterator[ValidationError]:
        for attribute in attributes:
            if _has(input_, attribute) and not _has(input_, "instructions.url"):
                yield _error(attribute, "has no effect without instructions.url")

    return rule


def _set_by_application(input_: object) -> Iterator[ValidationError]:
    for attribute in SET_BY_APPLICATION:
        if _has(input_, attribute) and _has(input_, "instructions.application_sid"):
            yield _error(attribute, "is set by the application; omit it")


def _digits_with_detection(input_: object) -> Iterator[ValidationError]:
    if _has(input_, "send_digits") and _has(input_, "machine_detection"):
        yield _error("machine_detection", "cannot be combined with sendDigits")


def _number_calls_number(input_: MakeCallInput) -> Iterator[ValidationError]:
    if is_number(input_.to) and party(input_.from_) is None and not is_number(input_.from_):
        yield _error("from", "must be a phone number if to is one")


def _callbacks_of_a_new_call(input_: MakeCallInput, base: str) -> Iterator[tuple[str, str]]:
    """All events, so that subscribers see the call ring. An application has its own callbacks."""
    if not _has(input_, "status_callback") and not _has(input_, "instructions.application_sid"):
        yield "StatusCallback", base + STATUS_PATH
        yield from (("StatusCallbackEvent", event.value) for event in CallProgressEvent)
    if input_.record and not _has(input_, "recording_status_callback"):
        yield "RecordingStatusCallback", base + RECORDING_PATH
        yield from (("RecordingStatusCallbackEvent", event.value) for event in RecordingEvent)


def _modify(input_: RedirectCallInput | EndCallInput, form: Form) -> CallForm:
    return modify_call(input_.sid, form)


MAKE_CALL = MutationSpec[MakeCallInput](
    parameters=(*MAKE, KEY),
    rules=(
        _missing_dependencies,
        _only_with_url("method"),
        _set_by_application,
        _digits_with_detection,
        _number_calls_number,
    ),
    request=lambda _given, form: make_call(form),
    own_callbacks=_callbacks_of_a_new_call,
)
REDIRECT_CALL = MutationSpec[RedirectCallInput](
    parameters=(SID, *REDIRECT, KEY),
    rules=(_missing_dependencies, _only_with_url("method", "status_callback")),
    request=_modify,
)
END_CALL = MutationSpec[EndCallInput](
    parameters=(SID, Parameter("mode", "Status"), KEY),
    rules=(),
    request=_modify,
)


def _form_fields(input_: object, parameters: Sequence[Parameter]) -> Iterator[tuple[str, str]]:
    for parameter in parameters:
        value = parameter.value(input_)
        if parameter.name is not None and value is not None:
            values = dict.fromkeys(value) if isinstance(value, list) else (value,)
            yield from ((parameter.name, _text(item)) for item in values)


def _error(attribute: str, message: str) -> ValidationError:
    return ValidationError(_path(attribute), message)


def _path(attribute: str) -> tuple[str, ...]:
    """The GraphQL names."""
    return tuple(map(graphql_name, attribute.split(".")))


def _has(input_: object, attribute: str) -> bool:
    value = _value(input_, attribute)
    return value is not None and value is not False


def _value(input_: object, attribute: str) -> Any:
    """None if the input has no such attribute, or no value for it."""
    value: Any = input_
    for name in attribute.split("."):
        value = getattr(value, name, None)
    return None if value is UNSET else value


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.value if isinstance(value, Enum) else value)
