"""What the gateway tells of its work: operations, upstream requests, mutations, webhooks, events.

Queries, variables and documents hold phone numbers, which are personal data, so no record has them.
This module must not know who tells, nor what the hooks do.

Note [Told once, at the end]. A record is complete when it is told. `Telemetry` tells it to all
hooks: log lines, metrics, traces. What no hook wants is not recorded (`wants_operations`,
`wants_events`, `wants_traces`: plans and the client's traceparent).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.telemetry.records import UpstreamExchange
from gateway.telemetry.upstream_trace import UpstreamTrace

__all__ = [
    "Hooks",
    "MutationOutcome",
    "OperationOutcome",
    "Outcome",
    "Telemetry",
    "WebhookResult",
]


class Outcome(StrEnum):
    """What came of an operation. The list is closed.

    PARTIAL has data and errors. REFUSED was not executed, for a reason on the caller's side. FAILED
    has no data for any other reason. CANCELLED was left by its client, or ended with the gateway.
    """

    OK = "ok"
    PARTIAL = "partial"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True)
class OperationOutcome:
    """One operation, or one request that was refused before it became one.

    `transport` is http, sse or websocket. `began` is a time of the loop's clock, and `seconds` last
    from there to the response, or to the end of a stream. `type` is query, mutation or
    subscription, None before the document was read. `caller` is the caller's public name, None
    before it was known. `codes` are those of its errors, `limit` is the limit that was exceeded.
    `document` is the name of a trusted document, None for any other.
    `status` is that of HTTP, None over WebSocket. `results` counts those of a stream. `trace` has
    the upstream requests of a query, mutation or event. `traceparent` is the client's (W3C Trace
    Context), and `trace_id` that of the span, if there is one.
    """

    transport: str
    began: float
    seconds: float = 0.0
    type: str | None = None
    caller: str | None = None
    outcome: Outcome = Outcome.CANCELLED
    codes: tuple[str, ...] = ()
    limit: str | None = None
    status: int | None = None
    results: int = 0
    priority: str = "interactive"
    trace: UpstreamTrace | None = None
    traceparent: str | None = None
    is_parent_trusted: bool = False
    trace_id: str | None = None
    document: str | None = None


@dataclass(frozen=True, slots=True)
class MutationOutcome:
    """One mutation: who wanted what, of which call, and what came of it.

    `caller` is the caller's public name; `sid` is the call's, None where none was placed. `result`
    is ok or the code of an error or user error.
    """

    caller: str
    field: str
    sid: str | None
    result: str


class WebhookResult(StrEnum):
    """What became of a webhook. The list is closed.

    REPEATED and LATE ones are genuine, but change nothing; FOREIGN ones are of another account.
    """

    TAKEN = "taken"
    REPEATED = "repeated"
    LATE = "late"
    FOREIGN = "foreign"
    FORGED = "forged"
    LIMITED = "limited"
    INVALID = "invalid"


class Hooks:
    """What listens. A method must be quick and must not raise; those left as here hear nothing."""

    def on_operation(self, outcome: OperationOutcome) -> None:
        """An operation has ended."""

    def on_exchange(self, exchange: UpstreamExchange) -> None:
        """An upstream request has ended."""

    def on_mutation(self, outcome: MutationOutcome) -> None:
        """A mutation has ended."""

    def on_webhook(self, result: WebhookResult) -> None:
        """A webhook was answered."""

    def on_event(self, source: str, seconds: float) -> None:
        """A subscriber gets an event, so long after the gateway learned of it."""

    def on_event_execution(self, outcome: OperationOutcome) -> None:
        """An event was executed, once for all subscribers that get the same result."""


class Telemetry(Hooks):
    """Tells all hooks; see Note [Told once, at the end]."""

    def __init__(self, *hooks: Hooks) -> None:
        self._operations = _own(hooks, "on_operation")
        self._exchanges = _own(hooks, "on_exchange")
        self._mutations = _own(hooks, "on_mutation")
        self._webhooks = _own(hooks, "on_webhook")
        self._events = _own(hooks, "on_event")
        self.wants_operations = bool(self._operations)
        self._event_executions = _own(hooks, "on_event_execution")
        self.wants_events = bool(self._events)
        self.wants_traces = bool(self._event_executions)

    def on_operation(self, outcome: OperationOutcome) -> None:
        """See Hooks."""
        for hook in self._operations:
            hook(outcome)

    def on_exchange(self, exchange: UpstreamExchange) -> None:
        """See Hooks."""
        for hook in self._exchanges:
            hook(exchange)

    def on_mutation(self, outcome: MutationOutcome) -> None:
        """See Hooks."""
        for hook in self._mutations:
            hook(outcome)

    def on_webhook(self, result: WebhookResult) -> None:
        """See Hooks."""
        for hook in self._webhooks:
            hook(result)

    def on_event(self, source: str, seconds: float) -> None:
        """See Hooks."""
        for hook in self._events:
            hook(source, seconds)

    def on_event_execution(self, outcome: OperationOutcome) -> None:
        """See Hooks."""
        for hook in self._event_executions:
            hook(outcome)


def _own(hooks: tuple[Hooks, ...], name: str) -> list[Callable[..., Any]]:
    """The methods of this name that are not the empty one."""
    empty = getattr(Hooks, name)
    return [getattr(hook, name) for hook in hooks if getattr(type(hook), name) is not empty]
