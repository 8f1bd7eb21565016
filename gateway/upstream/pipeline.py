"""A request on its way: its turn, its tries, the pauses between them, until an answer or an error.

Here the parts meet: the breaker of its kind, the line, the sender, the retry budget. This module
must not know what a request asks, nor who shares its answer.

Note [Deadlines]. Three, each total and each inside the next. A try ends after ATTEMPT_TIMEOUT, a
read with all its tries and waits after READ_TIMEOUT or when nobody waits for it any more, an
operation after its own. A try is capped by what is left of the read, and the read by what is left
of its most patient operation less TIDY_UP, so that what is ready is answered before the operation
ends. A request that changes something has one try for the whole time, since a try that was cut
short cannot be repeated.
"""

import asyncio
import itertools
import math
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.errors import (
    OutcomeUnknown,
    RequestNotSent,
    UpstreamAuth,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from gateway.settings import UpstreamSettings
from gateway.telemetry.records import UpstreamExchange, UpstreamHook
from gateway.upstream.breaker import Breaker, BreakerState, Permit
from gateway.upstream.calls import CALLS
from gateway.upstream.catalog import RESOURCES
from gateway.upstream.concurrency import AdaptiveLimit, AdmissionQueue, Priority
from gateway.upstream.replies import Reply, error_for_reply
from gateway.upstream.retries import RetryBudget, backoff, is_retryable
from gateway.upstream.sending import HttpRequest, Sender
from gateway.upstream.single_flight import Deadline

__all__ = [
    "ANONYMOUS_CONTEXT",
    "AttemptResult",
    "LastRead",
    "RequestContext",
    "RequestPipeline",
    "UpstreamRequest",
]

T = TypeVar("T")
READ, WRITE = frozenset({200}), frozenset({200, 201})
# What is left after the last read to put an answer together.
RESPONSE_MARGIN = 0.05
# A try that was given less time than this and did not end says nothing about upstream.
HANG_SECONDS = 2.0
# Seconds after which a client may ask again what Twilio refused with 429: it does not say itself
# (FACTS section 2).
DEFAULT_RETRY_AFTER = 1.0
REFUSALS = (UpstreamRateLimited, UpstreamAuth, UpstreamRejected)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """For whom something is read: the operation, how urgent it is, and until when it waits.

    `until` is a time of the loop's clock, None where only the client's own limits hold.
    """

    operation: Hashable = None
    priority: Priority = Priority.INTERACTIVE
    until: float | None = None

    def deadline(self, now: float, longest: float) -> float:
        """When its read must have ended, `longest` seconds from now at the latest."""
        until = now + longest
        return until if self.until is None else min(until, self.until - RESPONSE_MARGIN)


ANONYMOUS_CONTEXT = RequestContext()


@dataclass(frozen=True, slots=True)
class UpstreamRequest(Generic[T]):
    """One request as it is sent, and how its answer is read: `decode` raises UpstreamInvalid."""

    path: str
    kind: str
    sending: HttpRequest
    decode: Callable[[bytes], T]

    @property
    def latency_class(self) -> Hashable:
        """Equal for requests whose answers take about as long."""
        return self.kind, self.sending.max_bytes.bit_length()

    @property
    def is_read(self) -> bool:
        """True where a repeat changes nothing."""
        return self.sending.method == "GET"


@dataclass(frozen=True, slots=True)
class AttemptResult(Generic[T]):
    """What one try came to: a value or an error. `allowed` is the seconds that it was given."""

    began: float
    ended: float
    allowed: float
    reply: Reply | None = None
    value: T | None = None
    error: UpstreamError | None = None

    @property
    def answer(self) -> T:
        """The value. Raises the error, if it is one."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value] # (there is one or the other)

    @property
    def seconds(self) -> float:
        """From sending to the last byte."""
        return self.ended - self.began

    @property
    def is_answer(self) -> bool:
        """True where upstream has said something that it says: a refusal is an answer, too."""
        return self.error is None or isinstance(self.error, REFUSALS)

    @property
    def is_hang(self) -> bool:
        """True where nothing whole came in a time in which something does."""
        return isinstance(self.error, UpstreamTimeout) and self.seconds >= HANG_SECONDS

    @property
    def is_inconclusive(self) -> bool:
        """True where nothing came, but was not waited for long enough to mean anything."""
        return isinstance(self.error, UpstreamTimeout) and self.allowed < HANG_SECONDS


@dataclass(frozen=True, slots=True)
class LastRead:
    """When a read ended, by the loop's clock, and the code of its error, if it was one."""

    at: float
    code: str | None = None


class RequestPipeline:
    """The way upstream of one client. Every failure is an UpstreamError."""

    def __init__(self, sender: Sender, settings: UpstreamSettings, hook: UpstreamHook) -> None:
        self._sender = sender
        self._settings = settings
        self._hook = hook
        self._budget = RetryBudget(settings.retry_budget_percent)
        self._limit = AdaptiveLimit(settings.max_in_flight)
        self._queue = AdmissionQueue(self._limit, settings.max_queued)
        self._breakers = {
            resource.name: Breaker(resource.name, settings.breaker) for resource in RESOURCES
        }
        self.last_read: LastRead | None = None
        """The last read of calls that says something of upstream."""

    @property
    def concurrency(self) -> int:
        """How many requests may run at once at present."""
        return self._limit.value

    def breakers(self) -> dict[str, BreakerState]:
        """Each kind of resource and what its breaker does now."""
        now = asyncio.get_running_loop().time()
        return {kind: breaker.state(now) for kind, breaker in self._breakers.items()}

    def close(self) -> None:
        """To be called at the end."""
        self._queue.close()

    async def run(
        self,
        outgoing: UpstreamRequest[T],
        deadline: Deadline,
        context: RequestContext,
        on_attempt: UpstreamHook | None,
    ) -> AttemptResult[T]:
        """The try that brought a value. Raises UpstreamError, of a change OutcomeUnknown where
        it may have happened."""
        began = asyncio.get_running_loop().time()
        self._budget.earn()
        for attempt in itertools.count(1):
            try:
                outcome = await self._attempt(outgoing, deadline, context, on_attempt)
                self._note(outgoing, began)
                return outcome
            except UpstreamError as error:
                wait = self._backoff(error, outgoing, attempt, deadline)
                if wait is None:
                    self._note(outgoing, began, error)
                    if isinstance(error, UpstreamRateLimited):
                        error.retry_after = error.retry_after or DEFAULT_RETRY_AFTER
                    raise
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    def _note(
        self, outgoing: UpstreamRequest[T], began: float, error: UpstreamError | None = None
    ) -> None:
        now = asyncio.get_running_loop().time()
        is_of_calls = outgoing.is_read and outgoing.kind == CALLS.name
        if is_of_calls and (error is None or _is_upstreams(error, now - began)):
            self.last_read = LastRead(now, error.code if error else None)

    def _backoff(
        self, error: UpstreamError, outgoing: UpstreamRequest[T], attempt: int, deadline: Deadline
    ) -> float | None:
        """The pause before the next try; None where there is to be none."""
        if attempt >= self._settings.max_attempts or not is_retryable(
            error, is_read=outgoing.is_read
        ):
            return None
        left = deadline.until - asyncio.get_running_loop().time()
        wait = backoff(attempt, random.random(), error.retry_after, left)  # noqa: S311 (no secret)
        return wait if wait is not None and self._budget.spend() else None

    async def _attempt(
        self,
        outgoing: UpstreamRequest[T],
        deadline: Deadline,
        context: RequestContext,
        on_attempt: UpstreamHook | None,
    ) -> AttemptResult[T]:
        clock = asyncio.get_running_loop().time
        breaker = self._breakers[outgoing.kind]
        breaker.refuse_if_open(clock())
        slot = self._queue.slot(outgoing.kind, context.priority, context.operation, deadline.until)
        async with slot:
            permit = breaker.admit(clock())
            try:
                outcome = await self._send(outgoing, deadline.until)
            except BaseException:  # nobody waits any more
                breaker.cancelled(permit)
                raise
            self._learn(outgoing, outcome, breaker, permit)
        for hook in (self._hook, on_attempt):
            if hook is not None:
                hook(_exchange(outgoing, outcome))
        if outcome.error is not None:
            raise outcome.error if outgoing.is_read else _write_error(outcome.error)
        return outcome

    async def _send(self, outgoing: UpstreamRequest[T], until: float) -> AttemptResult[T]:
        clock = asyncio.get_running_loop().time
        began = clock()
        allowed = min(
            until - began, self._settings.attempt_timeout if outgoing.is_read else math.inf
        )
        reply, value, error = None, None, None
        try:
            reply = await self._sender.send(outgoing.sending, allowed)
            error = error_for_reply(reply, READ if outgoing.is_read else WRITE)
            value = outgoing.decode(reply.body) if error is None else None
        except UpstreamError as failure:
            error = failure
        return AttemptResult(began, clock(), allowed, reply, value, error)

    def _learn(
        self,
        outgoing: UpstreamRequest[T],
        outcome: AttemptResult[T],
        breaker: Breaker,
        permit: Permit,
    ) -> None:
        """What a try came to is told to the breaker of its kind and to the limit."""
        if outcome.is_answer:
            breaker.answered(permit, outcome.ended)
        elif outcome.is_inconclusive:
            breaker.cancelled(permit)
        else:
            breaker.failed(permit, outcome.ended, was_hang=outcome.is_hang)
        counted = outcome.reply.concurrent_requests if outcome.reply else None
        if isinstance(outcome.error, UpstreamRateLimited):
            self._limit.refused(outcome.began, outcome.ended, counted)
        elif outcome.is_answer:  # hangs are the breaker's: a few must not slow all the others
            self._limit.answered(
                outgoing.latency_class,
                outcome.seconds,
                outcome.ended,
                in_flight=counted or self._queue.in_flight,
                is_full=self._queue.waiting > 0,
            )


def _is_upstreams(error: UpstreamError, seconds: float) -> bool:
    """True where a read failed by upstream, not by what was asked, by our line or in no time."""
    match error:
        case UpstreamRejected():
            return False
        case UpstreamTimeout():
            return seconds >= HANG_SECONDS
        case UpstreamRateLimited():
            return error.status is not None
    return True


def _write_error(error: UpstreamError) -> UpstreamError:
    """The error of a request that changes something: certain, or OutcomeUnknown."""
    if isinstance(error, (RequestNotSent, *REFUSALS)):
        return error
    return OutcomeUnknown(
        "The request was sent and its outcome is not known: look before you repeat it",
        status=error.status,
        twilio_code=error.twilio_code,
        more_info=error.more_info,
        request_id=error.request_id,
    )


def _exchange(outgoing: UpstreamRequest[T], outcome: AttemptResult[T]) -> UpstreamExchange:
    reply, error = outcome.reply, outcome.error
    return UpstreamExchange(
        path=outgoing.path,
        seconds=outcome.seconds,
        status=reply.status if reply else None,
        request_id=reply.request_id if reply else None,
        failure=type(error).__name__ if error else None,
        method=outgoing.sending.method,
    )
