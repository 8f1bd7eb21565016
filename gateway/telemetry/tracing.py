"""OpenTelemetry traces: operation → plan → upstream request, made from records when all is over.

So nothing is traced on the way of a request, and an unsampled operation costs one decision. A
partial answer is no error of its span: its codes are an attribute. No span has a document, a
variable, a query string or an operation's name. Nothing of a trace goes to Twilio.

Note [Whose trace]. A trusted caller's traceparent is the parent, and decides sampling. From anybody
else it would let strangers decide what is sampled and join foreign traces, so it is only a link.

This module must not know how spans are exported.
"""

import re
import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.trace import (
    Link,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.telemetry.hooks import Hooks, OperationOutcome, Outcome
from gateway.telemetry.upstream_trace import PlanRecord, RequestRecord, UpstreamTrace

__all__ = ["Tracing"]

SID = re.compile("[A-Z]{2}[0-9a-f]{32}")
Attributes = dict[str, Any]
_propagator = TraceContextTextMapPropagator()


class Tracing(Hooks):
    """Makes the spans of each operation, and of each event. `server` is the host of upstream."""

    def __init__(self, provider: TracerProvider, version: str, server: str) -> None:
        self._provider = provider
        self._tracer: Tracer = provider.get_tracer("gateway", version)  # type: ignore[assignment]
        self._server = server

    def on_operation(self, outcome: OperationOutcome) -> None:
        """See Hooks. A subscription has a span for each event instead."""
        if outcome.type != "subscription":
            self._record(outcome)

    def on_event_execution(self, outcome: OperationOutcome) -> None:
        """See Hooks."""
        self._record(outcome)

    def close(self) -> None:
        """Exports what is left; it may wait for the exporter."""
        self._provider.shutdown()

    def _record(self, outcome: OperationOutcome) -> None:
        parent, links = _parent(outcome)
        # What the loop's clock calls 0, in nanoseconds since 1970.
        zero = time.time_ns() - int((outcome.began + outcome.seconds) * 1e9)
        span = self._tracer.start_span(
            outcome.type or "GraphQL Operation",
            parent,
            SpanKind.SERVER,
            links=links,
            start_time=zero + int(outcome.began * 1e9),
        )
        outcome.trace_id = f"{span.get_span_context().trace_id:032x}"
        if span.is_recording():
            span.set_attributes(_attributes(outcome))
            if outcome.outcome is Outcome.FAILED:
                span.set_status(Status(StatusCode.ERROR))
                span.set_attribute("error.type", outcome.codes[0])
            if outcome.trace is not None:
                self._record_children(outcome.trace, set_span_in_context(span, Context()), zero)
        span.end(zero + int((outcome.began + outcome.seconds) * 1e9))

    def _record_children(self, trace: UpstreamTrace, context: Context, zero: int) -> None:
        for plan in trace.plans or ():
            self._child("plan", context, SpanKind.INTERNAL, zero, plan, _plan_attributes(plan))
        for record in trace.sent():
            name = record.exchange.method if record.exchange else "shared"
            attributes = {"server.address": self._server} | _request_attributes(record)
            self._child(name, context, SpanKind.CLIENT, zero, record, attributes)

    def _child(
        self,
        name: str,
        context: Context,
        kind: SpanKind,
        zero: int,
        record: PlanRecord | RequestRecord,
        attributes: Attributes,
    ) -> None:
        began = record.began or 0.0
        ended = max(record.ended or began, began)
        span = self._tracer.start_span(
            name, context, kind, attributes, start_time=zero + int(began * 1e9)
        )
        if "error.type" in attributes:
            span.set_status(Status(StatusCode.ERROR))
        span.end(zero + int(ended * 1e9))


def _parent(outcome: OperationOutcome) -> tuple[Context, list[Link]]:
    """See Note [Whose trace]."""
    context = Context()
    if outcome.traceparent is None:
        return context, []
    carrier: Mapping[str, str] = {"traceparent": outcome.traceparent}
    theirs = _propagator.extract(carrier, context)
    if outcome.is_parent_trusted:
        return theirs, []
    other = get_current_span(theirs).get_span_context()
    return context, [Link(other)] if other.is_valid else []


def _attributes(outcome: OperationOutcome) -> Attributes:
    attributes: Attributes = {
        "graphql.operation.type": outcome.type or "none",
        "gateway.outcome": outcome.outcome.value,
        "gateway.transport": outcome.transport,
    }
    if outcome.codes:
        attributes["gateway.error.codes"] = outcome.codes
    if outcome.status is not None:
        attributes["http.response.status_code"] = outcome.status
    if outcome.trace is not None:
        attributes["gateway.upstream.requests"] = len(outcome.trace.sent())
        attributes["gateway.upstream.avoided"] = sum(outcome.trace.avoided().values())
    return attributes


def _plan_attributes(plan: PlanRecord) -> Attributes:
    return {
        "gateway.plan.per_key_requests": plan.per_key,
        "gateway.plan.scans": plan.scans,
        "gateway.plan.predicted_requests": plan.requests,
        "gateway.plan.predicted_seconds": plan.seconds,
    }


def _request_attributes(record: RequestRecord) -> Attributes:
    attributes: Attributes = {
        "url.template": "/" + SID.sub("{sid}", record.path),
        "gateway.way": record.strategy,
        "gateway.rows": record.rows or 0,
        "gateway.used": record.used or 0,
        "gateway.wait_seconds": record.wait,
        "http.request.resend_count": record.retries,
    }
    if record.failures:
        attributes["gateway.failed_attempts"] = record.failures
    if record.status != "ok":
        attributes["error.type"] = record.status
    exchange = record.exchange
    if exchange is not None:
        attributes["http.request.method"] = exchange.method
        if exchange.status is not None:
            attributes["http.response.status_code"] = exchange.status
        if exchange.request_id is not None:
            attributes["twilio.request_id"] = exchange.request_id
    return attributes
