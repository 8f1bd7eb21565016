"""The root fields that place and change calls: verbs with a payload
(docs/design/schema.md#9-mutations).

The caller's mistakes are data, in `userErrors`; failures are errors. The fields of one operation
run one after the other, in order, as the GraphQL specification says.

Note [Nullable payloads]. A payload is nullable, so that a mutation that fails does not null the
results of earlier ones in the same operation: those calls have been placed.

Note [Read after a 404]. Twilio returns 404 also if the call to be changed has just ended, or
was just placed and is not shown yet. So after a 404 the gateway reads the call. If the read finds
it, it is not in progress. If neither the read nor a recent event shows it, there is no such call.
If a recent event shows it live, Twilio is late: the field gets an error and may be retried. Nothing
was done in any case, so the idempotency key is free again.
"""

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any

import strawberry

from gateway.errors import GatewayError, OutcomeUnknown, UpstreamNotFound, UpstreamRejected
from gateway.live.events import FINAL, EventSource
from gateway.live.idempotency import KeyReused, MutationResult, RecordedError, scoped_key
from gateway.live.snapshots import event_of, status_of
from gateway.schema.call import Call
from gateway.schema.context import Info, field_path
from gateway.schema.forms import END_CALL, MAKE_CALL, REDIRECT_CALL, Input, MutationSpec
from gateway.schema.inputs import EndCallInput, MakeCallInput, RedirectCallInput
from gateway.schema.lookup import call_by_sid
from gateway.schema.user_errors import (
    CallUserError,
    key_reused,
    of_not_found,
    of_refusal,
    of_validation_error,
)
from gateway.telemetry.hooks import MutationOutcome
from gateway.upstream.calls import CallResource, CallStatus, FetchCall
from gateway.upstream.writes import CallForm

__all__ = ["Mutation"]

RETRY_AFTER = 1.0
"""Seconds after which Twilio may show a call that it did not show yet."""


MakeCallArgument = Annotated[MakeCallInput, strawberry.argument(description="The call to place.")]
RedirectCallArgument = Annotated[
    RedirectCallInput, strawberry.argument(description="The call and its new instructions.")
]
EndCallArgument = Annotated[
    EndCallInput, strawberry.argument(description="The call and how to end it.")
]


@strawberry.interface(description="The result of a mutation.")
class CallPayload:
    """Either the call, or what the caller has to correct."""

    call: Call | None = strawberry.field(
        description="The call as Twilio returned it; null if there are userErrors."
    )
    user_errors: list[CallUserError] = strawberry.field(
        description="What is wrong with the input; empty if the mutation succeeded."
    )


@strawberry.type(description="The result of makeCall.")
class MakeCallPayload(CallPayload):
    """The call is queued, and rings soon."""


@strawberry.type(description="The result of redirectCall.")
class RedirectCallPayload(CallPayload):
    """The call follows its new instructions."""


@strawberry.type(description="The result of endCall.")
class EndCallPayload(CallPayload):
    """The call may still have its old status: it ends within moments."""


@strawberry.type(
    description="Places and changes calls. The fields of one operation run one after the other."
)
class Mutation:
    """One field for each MutationSpec of `forms`."""

    @strawberry.mutation(description="Places a call. A retry by the gateway never places it twice.")
    @staticmethod
    async def make_call(info: Info, input: MakeCallArgument) -> MakeCallPayload | None:
        """POST Calls."""
        call, user_errors = await _run(info, MAKE_CALL, input)
        return MakeCallPayload(call=call, user_errors=user_errors)

    @strawberry.mutation(description="Gives a call in progress new instructions.")
    @staticmethod
    async def redirect_call(info: Info, input: RedirectCallArgument) -> RedirectCallPayload | None:
        """POST Calls/{sid} with Url or Twiml."""
        call, user_errors = await _run(info, REDIRECT_CALL, input)
        return RedirectCallPayload(call=call, user_errors=user_errors)

    @strawberry.mutation(description="Ends a call.")
    @staticmethod
    async def end_call(info: Info, input: EndCallArgument) -> EndCallPayload | None:
        """POST Calls/{sid} with Status."""
        call, user_errors = await _run(info, END_CALL, input)
        return EndCallPayload(call=call, user_errors=user_errors)


# At run time a Call is a CallResource.
PayloadFields = tuple[Any, list[CallUserError]]


async def _run(info: Info, spec: MutationSpec[Input], input_: Input) -> PayloadFields:
    """The call and the user errors. Raises GatewayErrors, among them OutcomeUnknown.

    It tells what came of the mutation, in any case.
    """
    sid, result = _changed_call(input_), "cancelled"
    try:
        call, user_errors = await _payload(info, spec, input_)
        sid = call.sid if call else sid
        result = user_errors[0].code.value if user_errors else "ok"
    except Exception as error:
        result = error.code if isinstance(error, GatewayError) else GatewayError.code
        raise
    finally:
        caller = info.context.caller.public_name
        info.context.on_mutation(MutationOutcome(caller, info.field_name, sid, result))
    return call, user_errors


async def _payload(info: Info, spec: MutationSpec[Input], input_: Input) -> PayloadFields:
    errors = spec.validate(input_)
    if errors:
        return None, [of_validation_error(error) for error in errors]
    try:
        result, row = await _execute(info, spec, input_)
    except KeyReused:
        return None, [key_reused()]
    except UpstreamNotFound as error:
        changed = _changed_call(input_)
        if changed is None:
            raise
        return None, [await _not_found(info, changed, error)]
    if result.refusal is not None:
        return None, [of_refusal(result.refusal)]
    if result.is_unknown:
        raise _outcome_unknown(input_, result)
    if row is None:  # an earlier request with the same key did it: read what became of the call
        row = await call_by_sid(info, result.call_sid or "")
    return row, []


async def _not_found(info: Info, sid: str, not_found: UpstreamNotFound) -> CallUserError:
    """The user error for a 404, after a read of the call. See Note [Read after a 404]."""
    refusal = _refusal(not_found)
    row = await info.context.loaders.row(FetchCall(sid=sid), field_path(info))
    late = None
    if row is None:
        late = await info.context.account.recent_call(sid, info.context.deadline)
    if late is not None and status_of(late) not in FINAL:
        raise UpstreamNotFound(
            "This call is not shown yet; nothing was done, try again",
            status=not_found.status,
            twilio_code=not_found.twilio_code,
            more_info=not_found.more_info,
            request_id=not_found.request_id,
            retry_after=RETRY_AFTER,
        )
    return of_not_found(refusal, is_there=(row or late) is not None)


def _refusal(error: UpstreamRejected) -> RecordedError:
    return RecordedError(error.status, error.twilio_code, error.more_info)


async def _execute(
    info: Info, spec: MutationSpec[Input], input_: Input
) -> tuple[MutationResult, CallResource | None]:
    """The result, of this request or an earlier one with the same key; the row if of this one."""
    context, rows = info.context, list[CallResource]()

    async def send() -> MutationResult:
        since = datetime.now(UTC)
        try:
            request = spec.request_of(input_, context.callback_url)
            row = await context.loaders.send(request, field_path(info))
        except OutcomeUnknown as error:
            return MutationResult(since=since, until=datetime.now(UTC), request_id=error.request_id)
        except UpstreamNotFound:  # not recorded: see Note [Read after a 404]
            raise
        except UpstreamRejected as error:
            return MutationResult(refusal=_refusal(error))
        rows.append(row)
        event = event_of(row, EventSource.MUTATION, datetime.now(UTC))
        if _changed_call(input_) is None and event.status is CallStatus.UNKNOWN:
            event = replace(event, status=CallStatus.QUEUED)  # the first status of a new call
        await context.account.store.publish(event)
        return MutationResult(call_sid=row.sid)

    if input_.idempotency_key is None:
        result = await context.account.mutations.run(send)
    else:
        await context.account.require_membership(context.deadline)
        result = await context.account.idempotent.execute(
            scoped_key(context.caller.name, input_.idempotency_key),
            _fingerprint(spec.request_of(input_, None)),
            send,
            context.deadline,
        )
    return result, rows[0] if rows else None


def _changed_call(input_: object) -> str | None:
    """The SID of the call that is changed; None if a call is placed."""
    return getattr(input_, "sid", None)


def _fingerprint(request: CallForm) -> str:
    """A hash of what the caller requested, without the gateway's own callbacks."""
    return sha256(repr((request.path, request.form)).encode()).hexdigest()


def _outcome_unknown(input_: object, result: MutationResult) -> OutcomeUnknown:
    """The error of a write that may have happened.

    `look_for` says what to look for; of a phone number it has only the end.
    """
    error = OutcomeUnknown(OutcomeUnknown.MESSAGE, request_id=result.request_id)
    named = (
        {"to": _last_digits(input_.to), "from": _last_digits(input_.from_)}
        if isinstance(input_, MakeCallInput)
        else {"sid": _changed_call(input_)}
    )
    window = {"since": result.since, "until": result.until}
    times = {name: moment.isoformat() for name, moment in window.items() if moment}
    error.look_for = {**named, **times}
    return error


def _last_digits(party: str) -> str:
    return "…" + party[-4:]
