"""The root fields that make and change calls: verbs with a payload (SCHEMA rule 9).

What the caller did wrong is data, in `userErrors`; what broke is an error. The fields of one
operation run one after the other, in order, as the GraphQL specification says.

Note [Nullable payloads]. A payload is nullable, so that a mutation that broke does not take along
the outcome of one that went before it in the same operation: that call has been made.

Note [Look before you deny]. Twilio answers 404 also where a call that is to be changed has just
ended, or was just made and is not shown yet. So a 404 is held against a read of the call: is it
there, it is not in progress; is it not there either, and nobody has heard of it lately, there is
none. A call that is late goes on: that is an error, and the same may be asked again. Nothing was
done in any case, so an idempotency key is free again.
"""

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any

import strawberry

from gateway.errors import OutcomeUnknown, UpstreamNotFound, UpstreamRejected
from gateway.live.events import FINAL, EventSource
from gateway.live.idempotency import KeyReused, MutationResult, RecordedError, caller_key
from gateway.live.snapshots import event_of, status_of
from gateway.schema.call import Call
from gateway.schema.context import Info, field_path
from gateway.schema.forms import END_CALL, MAKE_CALL, REDIRECT_CALL, Input, MutationSpec
from gateway.schema.inputs import EndCallInput, MakeCallInput, RedirectCallInput
from gateway.schema.lookup import call_by_sid
from gateway.schema.user_errors import UserError, key_reused, of_missing, of_problem, of_refusal
from gateway.upstream.calls import CallResource, CallStatus, FetchCall
from gateway.upstream.writes import CallForm

__all__ = ["Mutation"]

TRY_AGAIN = 1.0
"""Seconds after which a call that Twilio does not show yet may be there."""


Making = Annotated[MakeCallInput, strawberry.argument(description="The call to be made.")]
Redirecting = Annotated[
    RedirectCallInput, strawberry.argument(description="The call, and what it does from now on.")
]
Ending = Annotated[EndCallInput, strawberry.argument(description="The call, and how it is ended.")]


@strawberry.interface(description="What came of a mutation.")
class CallPayload:
    """Either the call, or what the caller has to correct."""

    call: Call | None = strawberry.field(
        description="The call as Twilio answered it; null when there are userErrors."
    )
    user_errors: list[UserError] = strawberry.field(
        description="What is wrong with the input; empty when it was done."
    )


@strawberry.type(description="What came of makeCall.")
class MakeCallPayload(CallPayload):
    """The call is queued, and rings soon."""


@strawberry.type(description="What came of redirectCall.")
class RedirectCallPayload(CallPayload):
    """The call follows its new instructions."""


@strawberry.type(description="What came of endCall.")
class EndCallPayload(CallPayload):
    """The call's state may still be the old one: it ends within moments."""


@strawberry.type(
    description="What makes and changes calls. The fields of one operation run in their order."
)
class Mutation:
    """SCHEMA.md, sketch."""

    @strawberry.mutation(description="Makes a call. It is never placed twice for one answer.")
    @staticmethod
    async def make_call(info: Info, input: Making) -> MakeCallPayload | None:
        """POST Calls."""
        call, user_errors = await _answer(info, MAKE_CALL, input)
        return MakeCallPayload(call=call, user_errors=user_errors)

    @strawberry.mutation(description="Gives a call in progress new instructions.")
    @staticmethod
    async def redirect_call(info: Info, input: Redirecting) -> RedirectCallPayload | None:
        """POST Calls/{sid} with Url or Twiml."""
        call, user_errors = await _answer(info, REDIRECT_CALL, input)
        return RedirectCallPayload(call=call, user_errors=user_errors)

    @strawberry.mutation(description="Ends a call.")
    @staticmethod
    async def end_call(info: Info, input: Ending) -> EndCallPayload | None:
        """POST Calls/{sid} with Status."""
        call, user_errors = await _answer(info, END_CALL, input)
        return EndCallPayload(call=call, user_errors=user_errors)


# At run time a CallResource stands for a Call.
Answer = tuple[Any, list[UserError]]


async def _answer(info: Info, spec: MutationSpec[Input], given: Input) -> Answer:
    """The call and the user errors. Raises what broke, and OutcomeUnknown."""
    problems = spec.problems(given)
    if problems:
        return None, [of_problem(problem) for problem in problems]
    try:
        outcome, row = await _done(info, spec, given)
    except KeyReused:
        return None, [key_reused()]
    except UpstreamNotFound as error:
        changed = _changed_call(given)
        if changed is None:
            raise
        return None, [await _missing(info, changed, error)]
    if outcome.refusal is not None:
        return None, [of_refusal(outcome.refusal)]
    if outcome.is_unknown:
        raise _unknown(given, outcome)
    if row is None:  # it was done before: what has become of it
        row = await call_by_sid(info, outcome.call_sid or "")
    return row, []


async def _missing(info: Info, sid: str, denial: UpstreamNotFound) -> UserError:
    """Whether a call that Twilio did not find is there. See Note [Look before you deny]."""
    refusal = _refusal(denial)
    row = await info.context.loaders.row(FetchCall(sid=sid), field_path(info))
    late = None
    if row is None:
        late = await info.context.account.recent_call(sid, info.context.deadline)
    if late is not None and status_of(late) not in FINAL:
        raise UpstreamNotFound(
            "Twilio does not show this call yet; nothing was done, try again",
            status=denial.status,
            twilio_code=denial.twilio_code,
            more_info=denial.more_info,
            request_id=denial.request_id,
            retry_after=TRY_AGAIN,
        )
    return of_missing(refusal, is_there=(row or late) is not None)


def _refusal(error: UpstreamRejected) -> RecordedError:
    return RecordedError(error.status, error.twilio_code, error.more_info)


async def _done(
    info: Info, spec: MutationSpec[Input], given: Input
) -> tuple[MutationResult, CallResource | None]:
    """What came of it, now or earlier under the same key; the row, if that was now."""
    context, rows = info.context, list[CallResource]()

    async def act() -> MutationResult:
        since = datetime.now(UTC)
        try:
            request = spec.request_of(given, context.callback_url)
            row = await context.loaders.send(request, field_path(info))
        except OutcomeUnknown as error:
            return MutationResult(since=since, until=datetime.now(UTC), request_id=error.request_id)
        except UpstreamNotFound:  # not kept: see Note [Look before you deny]
            raise
        except UpstreamRejected as error:
            return MutationResult(refusal=_refusal(error))
        rows.append(row)
        event = event_of(row, EventSource.MUTATION, datetime.now(UTC))
        if _changed_call(given) is None and event.status is CallStatus.UNKNOWN:
            event = replace(event, status=CallStatus.QUEUED)  # at least: it has just been made
        await context.account.store.publish(event)
        return MutationResult(call_sid=row.sid)

    if given.idempotency_key is None:
        outcome = await context.account.running.run(act)
    else:
        await context.account.enter(context.deadline)
        outcome = await context.account.idempotent.once(
            caller_key(context.caller.name, given.idempotency_key),
            _fingerprint(spec.request_of(given, None)),
            act,
            context.deadline,
        )
    return outcome, rows[0] if rows else None


def _changed_call(given: object) -> str | None:
    """The SID of the call that is changed; None where one is made."""
    return getattr(given, "sid", None)


def _fingerprint(request: CallForm) -> str:
    """Of what the caller asked for: the gateway's own callbacks are no part of it."""
    return sha256(repr((request.path, request.form)).encode()).hexdigest()


def _unknown(given: object, outcome: MutationResult) -> OutcomeUnknown:
    """It may have been done: says what to look for, with numbers cut down to their ends."""
    error = OutcomeUnknown(
        "Twilio was asked and it is not known whether it was done: look before you repeat it",
        request_id=outcome.request_id,
    )
    named = (
        {"to": _end_of(given.to), "from": _end_of(given.from_)}
        if isinstance(given, MakeCallInput)
        else {"sid": _changed_call(given)}
    )
    window = {"since": outcome.since, "until": outcome.until}
    times = {name: moment.isoformat() for name, moment in window.items() if moment}
    error.look_for = {**named, **times}
    return error


def _end_of(party: str) -> str:
    return "…" + party[-4:]
