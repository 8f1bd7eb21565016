"""The pipeline of a request: circuit breaker, admission queue, attempts, backoff, result or error.

This module joins the breaker of the resource, the queue, the transport and the retry budget. It
must not know what a request reads, nor who shares its response.

Note [Deadlines]. There are three, each for the whole of its step and each inside the next. An
attempt ends after GATEWAY_ATTEMPT_TIMEOUT. A read, with its attempts and waits, ends after
GATEWAY_READ_TIMEOUT, or when nobody waits for it any more. An operation ends after
GATEWAY_OPERATION_TIMEOUT. An attempt gets no more time than its read has left. A read gets no more
than the longest of its operations has left, less RESPONSE_MARGIN, so that the results are answered
before the operation ends. An attempt of a write may take the whole time of the write, because a
write that was cut short cannot be retried.
"""

import asyncio
import itertools
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
from gateway.telemetry.samples import UpstreamSample
from gateway.upstream.breaker import Breaker, BreakerState, Permit
from gateway.upstream.calls import CALLS
from gateway.upstream.catalog import RESOURCES
from gateway.upstream.concurrency import AdaptiveLimit, AdmissionQueue, Priority
from gateway.upstream.replies import Reply, error_for_reply
from gateway.upstream.retries import RetryBudget, backoff, is_retryable
from gateway.upstream.sending import HttpRequest, Transport
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
# Seconds that the last read leaves to the operation, to put its response together.
RESPONSE_MARGIN = 0.05
# An attempt that times out is a hang from so many seconds on; a shorter timeout proves nothing.
HANG_SECONDS = 2.0
# Seconds after which a client may retry after a 429; Twilio does not say
# (docs/twilio.md#2-urls-formats-authentication).
DEFAULT_RETRY_AFTER = 1.0
REFUSALS = (UpstreamRateLimited, UpstreamAuth, UpstreamRejected)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The operation that a request is sent for, its priority and its deadline.

    `until` is the deadline on the loop's clock; None where only the client's own timeouts hold.
    """

    operation: Hashable = None
    priority: Priority = Priority.INTERACTIVE
    until: float | None = None

    def deadline(self, now: float, longest: float) -> float:
        """The deadline of a read: at most `longest` seconds from now."""
        until = now + longest
        return until if self.until is None else min(until, self.until - RESPONSE_MARGIN)


ANONYMOUS_CONTEXT = RequestContext()


@dataclass(frozen=True, slots=True)
class UpstreamRequest(Generic[T]):
    """One request as it is sent, and the decoder of its body, which raises UpstreamInvalid."""

    path: str
    kind: str
    http_request: HttpRequest
    decode: Callable[[bytes], T]

    @property
    def latency_class(self) -> Hashable:
        """Equal for requests whose responses take about as long."""
        return self.kind, self.http_request.max_bytes.bit_length()

    @property
    def is_read(self) -> bool:
        """True for a request that changes nothing."""
        return self.http_request.method == "GET"

    @property
    def accepted(self) -> frozenset[int]:
        """The statuses of a success."""
        return READ if self.is_read else WRITE


@dataclass(slots=True)
class AttemptResult(Generic[T]):
    """The result of one attempt: a value or an error. `timeout` is the seconds that it had."""

    began: float
    ended: float = 0.0
    timeout: float = 0.0
    reply: Reply | None = None
    value: T | None = None
    error: UpstreamError | None = None

    @property
    def answer(self) -> T:
        """The value. Raises the error if there is one."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value] # (there is one or the other)

    @property
    def seconds(self) -> float:
        """From sending to the last byte."""
        return self.ended - self.began

    @property
    def is_answer(self) -> bool:
        """True where upstream gave a proper response; a 4xx is one, too."""
        return self.error is None or isinstance(self.error, REFUSALS)

    @property
    def is_hang(self) -> bool:
        """True where the attempt timed out after HANG_SECONDS or more."""
        return isinstance(self.error, UpstreamTimeout) and self.seconds >= HANG_SECONDS

    @property
    def is_inconclusive(self) -> bool:
        """True where the attempt timed out after a timeout too short to count as a failure."""
        return isinstance(self.error, UpstreamTimeout) and self.timeout < HANG_SECONDS


@dataclass(frozen=True, slots=True)
class LastRead:
    """When a read ended, by the loop's clock, and the code of its error, if it failed."""

    at: float
    code: str | None = None


class RequestPipeline:
    """Sends the requests of one client. Every failure is an UpstreamError."""

    def __init__(
        self, transport: Transport, settings: UpstreamSettings, hook: UpstreamHook
    ) -> None:
        self._transport = transport
        self._clock = asyncio.get_running_loop().time
        self._settings = settings
        self._hook = hook
        self._budget = RetryBudget(settings.retry_budget_percent)
        self._limit = AdaptiveLimit(settings.max_in_flight)
        self._queue = AdmissionQueue(self._limit, settings.max_queued)
        self._breakers = {
            resource.name: Breaker(resource.name, settings.breaker) for resource in RESOURCES
        }
        self.last_read: LastRead | None = None
        """The last read of calls that shows how upstream is."""

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight at present."""
        return self._limit.value

    @property
    def queue(self) -> AdmissionQueue:
        """The queue of requests and its limit."""
        return self._queue

    def breakers(self) -> dict[str, BreakerState]:
        """The state of the breaker of each kind of resource."""
        now = self._clock()
        return {kind: breaker.state(now) for kind, breaker in self._breakers.items()}

    def sample(self) -> UpstreamSample:
        """The state of the queue, the limit, the retry budget and the breakers."""
        return UpstreamSample(
            in_flight=self._queue.in_flight,
            waiting=self._queue.waiting,
            limit=self.concurrency,
            retry_tokens=self._budget.tokens,
            breakers={kind: state.value for kind, state in self.breakers().items()},
            breaker_refusals={kind: breaker.refusals for kind, breaker in self._breakers.items()},
        )

    def close(self) -> None:
        """Stops the queue's timer; call it at the end."""
        self._queue.close()

    async def run(
        self,
        request: UpstreamRequest[T],
        context: RequestContext,
        on_attempt: UpstreamHook | None,
        deadline: Deadline,
    ) -> AttemptResult[T]:
        """The attempt that succeeded. Raises UpstreamError; of a write, OutcomeUnknown where it
        may have happened."""
        began = self._clock()
        self._budget.earn()
        failure = None
        for attempt in itertools.count(1):
            try:
                result = await self._attempt(request, context, on_attempt, deadline, failure)
            except UpstreamError as error:
                failure = type(error).__name__
                wait = self._backoff(error, request, attempt, deadline)
                if wait is None:
                    self._record_last_read(request, began, error)
                    if isinstance(error, UpstreamRateLimited):
                        error.retry_after = error.retry_after or DEFAULT_RETRY_AFTER
                    raise
            else:
                self._record_last_read(request, began)
                return result
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")

    async def _attempt(
        self,
        request: UpstreamRequest[T],
        context: RequestContext,
        on_attempt: UpstreamHook | None,
        deadline: Deadline,
        retry_of: str | None,
    ) -> AttemptResult[T]:
        clock, breaker = self._clock, self._breakers[request.kind]
        breaker.refuse_if_open(clock())
        slot = await self._queue.acquire(
            request.kind, context.priority, context.operation, deadline.until
        )
        try:
            result: AttemptResult[T] = AttemptResult(clock())
            permit = breaker.admit(result.began)
            result.timeout = deadline.until - result.began
            if request.is_read:
                result.timeout = min(result.timeout, self._settings.attempt_timeout)
            try:
                reply = await self._transport.exchange(request.http_request, result.timeout)
                result.reply, result.error = reply, error_for_reply(reply, request.accepted)
                if result.error is None:
                    result.value = request.decode(reply.body)
            except UpstreamError as error:
                result.error = error
            except BaseException:  # cancelled: nobody waits any more
                breaker.cancelled(permit)
                raise
            result.ended = clock()
            self._report(request, result, breaker, permit)
        finally:
            self._queue.release(slot)
        exchange = _exchange_record(request, result, retry_of)
        self._hook(exchange)
        if on_attempt is not None:
            on_attempt(exchange)
        if result.error is not None:
            raise result.error if request.is_read else _write_error(result.error)
        return result

    def _backoff(
        self, error: UpstreamError, request: UpstreamRequest[T], attempt: int, deadline: Deadline
    ) -> float | None:
        """The seconds before the next attempt; None where there is none."""
        if attempt >= self._settings.max_attempts or not is_retryable(
            error, is_read=request.is_read
        ):
            return None
        remaining = deadline.until - self._clock()
        jitter = random.random()  # noqa: S311 (no secret)
        wait = backoff(attempt, jitter, error.retry_after, remaining)
        return wait if wait is not None and self._budget.spend() else None

    def _record_last_read(
        self, request: UpstreamRequest[T], began: float, error: UpstreamError | None = None
    ) -> None:
        if request.is_read and request.kind == CALLS.name:
            now = self._clock()
            if error is None or _is_fault_of_upstream(error, now - began):
                self.last_read = LastRead(now, error.code if error else None)

    def _report(
        self,
        request: UpstreamRequest[T],
        result: AttemptResult[T],
        breaker: Breaker,
        permit: Permit,
    ) -> None:
        """Reports the result of an attempt to the breaker of its kind and to the limit."""
        if result.is_answer:
            breaker.answered(permit, result.ended)
        elif result.is_inconclusive:
            breaker.cancelled(permit)
        else:
            breaker.failed(permit, result.ended, was_hang=result.is_hang)
        counted = result.reply.concurrent_requests if result.reply else None
        if isinstance(result.error, UpstreamRateLimited):
            self._limit.refused(result.began, result.ended, counted)
        elif result.is_answer:  # hangs count for the breaker only: a few must not slow the others
            self._limit.answered(
                request.latency_class,
                result.seconds,
                result.ended,
                in_flight=counted or self._queue.in_flight,
                is_full=self._queue.waiting > 0,
            )


def _is_fault_of_upstream(error: UpstreamError, seconds: float) -> bool:
    """True where upstream made a read fail, not the request, our queue or a short timeout."""
    match error:
        case UpstreamRejected():
            return False
        case UpstreamTimeout():
            return seconds >= HANG_SECONDS
        case UpstreamRateLimited():
            return error.status is not None
    return True


def _write_error(error: UpstreamError) -> UpstreamError:
    """The error of a write: the same where the write did not happen, else OutcomeUnknown."""
    if isinstance(error, (RequestNotSent, *REFUSALS)):
        return error
    return OutcomeUnknown(
        OutcomeUnknown.MESSAGE,
        status=error.status,
        twilio_code=error.twilio_code,
        more_info=error.more_info,
        request_id=error.request_id,
    )


def _exchange_record(
    request: UpstreamRequest[T], result: AttemptResult[T], retry_of: str | None
) -> UpstreamExchange:
    reply, error = result.reply, result.error
    return UpstreamExchange(
        path=request.path,
        seconds=result.seconds,
        status=reply.status if reply else None,
        request_id=reply.request_id if reply else None,
        failure=type(error).__name__ if error else None,
        method=request.http_request.method,
        resource=request.kind,
        retry_of=retry_of,
    )
