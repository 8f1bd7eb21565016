"""User errors: what the caller of a mutation did wrong, as data
(docs/design/schema.md#9-mutations).

Messages are the gateway's own; Twilio's error number and page are passed on. This module must not
know where a refusal comes from.
"""

from collections.abc import Mapping
from enum import Enum

import strawberry

from gateway.live.idempotency import RecordedError
from gateway.schema.forms import ValidationError
from gateway.schema.scalars import described_enum

__all__ = [
    "CallUserError",
    "CallUserErrorCode",
    "key_reused",
    "of_not_found",
    "of_refusal",
    "of_validation_error",
]


class CallUserErrorCode(Enum):
    """For programs; the message is for people."""

    INVALID_INPUT = "INVALID_INPUT"
    INVALID_NUMBER = "INVALID_NUMBER"
    NOT_VERIFIED = "NOT_VERIFIED"
    NOT_PERMITTED = "NOT_PERMITTED"
    NOT_REACHABLE = "NOT_REACHABLE"
    NOT_FOUND = "NOT_FOUND"
    CALL_NOT_IN_PROGRESS = "CALL_NOT_IN_PROGRESS"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    REJECTED = "REJECTED"


described_enum(
    CallUserErrorCode,
    "The kind of a user error.",
    {
        CallUserErrorCode.INVALID_INPUT: "Twilio does not accept the value. Nothing was done.",
        CallUserErrorCode.INVALID_NUMBER: "There is no such phone number.",
        CallUserErrorCode.NOT_VERIFIED: "The number must be verified for your account first.",
        CallUserErrorCode.NOT_PERMITTED: "Your account may not call this number.",
        CallUserErrorCode.NOT_REACHABLE: "The number cannot be reached.",
        CallUserErrorCode.NOT_FOUND: "There is no call with this SID.",
        CallUserErrorCode.CALL_NOT_IN_PROGRESS: "The call is not in progress, so it cannot be "
        "changed.",
        CallUserErrorCode.IDEMPOTENCY_KEY_REUSED: "The key was used within 24 hours with other "
        "input. Nothing was sent.",
        CallUserErrorCode.REJECTED: "Twilio refused for another reason: see twilioCode and "
        "moreInfo.",
    },
)


@strawberry.type(description="What is wrong with a mutation's input, or why Twilio refused it.")
class CallUserError:
    """The caller has to correct the input; a retry alone will not help."""

    field: list[str] | None = strawberry.field(
        description="The path of the field, from `input` down; null if no single field is wrong."
    )
    message: str = strawberry.field(description="What is wrong, for people.")
    code: CallUserErrorCode = strawberry.field(description="The kind of error, for programs.")
    twilio_code: int | None = strawberry.field(
        description="Twilio's error number, if Twilio refused the request."
    )
    more_info: str | None = strawberry.field(description="Twilio's page about the error number.")


_CODE = CallUserErrorCode
# By Twilio's error number (docs/twilio.md#7-errors): the field, the kind, and our words.
REFUSALS: Mapping[int, tuple[str, CallUserErrorCode, str]] = {
    20404: ("sid", _CODE.NOT_FOUND, "There is no call with this SID"),
    21201: ("to", _CODE.INVALID_INPUT, "The number to call is missing"),
    21202: ("to", _CODE.NOT_PERMITTED, "This is a premium number"),
    21203: ("to", _CODE.NOT_PERMITTED, "International calls are not enabled for your account"),
    21205: ("instructions.url", _CODE.INVALID_INPUT, "This URL is not accepted"),
    21206: ("sendDigits", _CODE.INVALID_INPUT, "These digits are not accepted"),
    21208: ("timeout", _CODE.INVALID_INPUT, "This timeout is not accepted"),
    21209: ("method", _CODE.INVALID_INPUT, "This method is not accepted"),
    21210: ("from", _CODE.NOT_VERIFIED, "This number is neither yours nor verified"),
    21211: ("to", _CODE.INVALID_NUMBER, "This is not a valid phone number"),
    21212: ("from", _CODE.INVALID_NUMBER, "This is not a valid phone number to call from"),
    21213: ("from", _CODE.INVALID_INPUT, "The number to call from is missing"),
    21214: ("to", _CODE.NOT_REACHABLE, "This number cannot be reached"),
    21215: ("to", _CODE.NOT_PERMITTED, "Your account may not call this country or number"),
    21216: ("to", _CODE.NOT_PERMITTED, "This number is on a block list"),
    21217: ("to", _CODE.INVALID_NUMBER, "This does not appear to be a valid phone number"),
    21218: (
        "instructions.applicationSid",
        _CODE.INVALID_INPUT,
        "There is no such application",
    ),
    21219: ("to", _CODE.NOT_VERIFIED, "A trial account may only call verified numbers"),
    21220: ("sid", _CODE.CALL_NOT_IN_PROGRESS, "The call is not in progress"),
    21221: ("sipAuthUsername", _CODE.INVALID_INPUT, "This SIP user is too long"),
    21222: ("sipAuthUsername", _CODE.INVALID_INPUT, "This SIP user has invalid characters"),
    21223: ("sipAuthPassword", _CODE.INVALID_INPUT, "This SIP password is too long"),
    21224: ("sipAuthPassword", _CODE.INVALID_INPUT, "This SIP password has invalid characters"),
    21225: ("sipAuthPassword", _CODE.INVALID_INPUT, "SIP user and password must go together"),
    21234: (
        "machineDetection",
        _CODE.INVALID_INPUT,
        "This machine detection is not accepted",
    ),
    21263: ("machineDetection", _CODE.INVALID_INPUT, "These times are not accepted"),
    21609: ("statusCallback", _CODE.INVALID_INPUT, "This callback URL is not accepted"),
    21626: ("statusCallbackEvent", _CODE.INVALID_INPUT, "These events are not accepted"),
}


def of_validation_error(error: ValidationError) -> CallUserError:
    """The user error of an input that the gateway rejects before it sends anything."""
    name = ".".join(error.path)
    return _user_error(error.path, f"{name} {error.message}", _CODE.INVALID_INPUT)


def of_refusal(refusal: RecordedError) -> CallUserError:
    """The user error of a request that Twilio refused, by Twilio's error number."""
    return _refusal_error(refusal.twilio_code or 0, refusal)


def of_not_found(refusal: RecordedError, *, is_there: bool) -> CallUserError:
    """The user error of a call that Twilio did not find.

    If `is_there` (the gateway knows the call), it has ended; else there is no such call.
    """
    return _refusal_error(21220 if is_there else 20404, refusal)


def key_reused() -> CallUserError:
    """The user error of an idempotency key that was used with other input."""
    message = "This key was used within 24 hours with other input; nothing was sent"
    return _user_error(("idempotencyKey",), message, _CODE.IDEMPOTENCY_KEY_REUSED)


def _refusal_error(number: int, refusal: RecordedError) -> CallUserError:
    field, code, message = REFUSALS.get(number, ("", _CODE.REJECTED, "The request was refused"))
    path = tuple(field.split(".")) if field else None
    return _user_error(path, message, code, refusal)


def _user_error(
    path: tuple[str, ...] | None,
    message: str,
    code: CallUserErrorCode,
    refusal: RecordedError | None = None,
) -> CallUserError:
    return CallUserError(
        field=["input", *path] if path else None,
        message=message,
        code=code,
        twilio_code=refusal.twilio_code if refusal else None,
        more_info=refusal.more_info if refusal else None,
    )
