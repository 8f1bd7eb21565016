"""Prometheus metrics: the table of all of them, and the hooks that count.

The values of a label are a closed list, so that no client can make up a time series: what is not on
the list counts as `other`. `sample` sets the gauges from the gateway's state. This module must not
know how metrics are served, nor where the state comes from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.errors import GatewayError
from gateway.telemetry.hooks import Hooks, OperationOutcome, Outcome, WebhookResult
from gateway.telemetry.records import UpstreamExchange
from gateway.telemetry.samples import ProcessSample, UpstreamSample

__all__ = ["TABLE", "Metric", "Metrics"]

OTHER = "other"
# Time series that are kept at hand, more than there are.
MAX_CHILDREN = 2000
MAX_DOCUMENTS = 500
# Buckets of HTTP durations in seconds, by OpenTelemetry's semantic conventions, and two that an
# operation of 30 seconds needs.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 30)
REQUESTS = (0, 1, 2, 3, 5, 8, 13, 21, 50, 100, 250, 1000)
RESOURCES = ("calls", "recordings", "notifications")
WAYS = ("known", "cached", "scan", "shared")
STATES = {"closed": 0, "half-open": 1, "open": 2}


class Kind(StrEnum):
    """Prometheus' types that are used here."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric. `labels` are the values of each label; an empty list is explained by the help.

    `over_workers` says what several workers' gauges become: their sum or their maximum.
    """

    name: str
    kind: Kind
    help: str
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    buckets: Sequence[float] = SECONDS
    over_workers: str = "livesum"

    def register(self, registry: CollectorRegistry) -> Any:
        """The metric as the library's instrument."""
        given = {"labelnames": tuple(self.labels), "registry": registry}
        match self.kind:
            case Kind.COUNTER:
                return Counter(self.name, self.help, **given)  # type: ignore[arg-type]
            case Kind.HISTOGRAM:
                return Histogram(self.name, self.help, buckets=self.buckets, **given)  # type: ignore[arg-type]
            case Kind.GAUGE:
                mode: Any = self.over_workers
                return Gauge(self.name, self.help, multiprocess_mode=mode, **given)  # type: ignore[arg-type]


def _codes(error: type[GatewayError]) -> set[str]:
    return {error.code}.union(*map(_codes, error.__subclasses__()))


TYPES = ("query", "mutation", "subscription", "none")
CODES = tuple(sorted(_codes(GatewayError)))
HTTP_SECONDS = Metric(
    "http_server_request_duration_seconds",
    Kind.HISTOGRAM,
    "Seconds until a response to an HTTP client is complete. Event streams are not counted. "
    "`status` is the HTTP status.",
    {
        "method": ("GET", "POST", "OPTIONS", "HEAD", OTHER),
        "route": (
            "/", "/graphql", "/healthz", "/readyz", "/webhooks/twilio/status",
            "/webhooks/twilio/recording", OTHER,
        ),
        "status": (),
    },
)  # fmt: skip
OPERATION_SECONDS = Metric(
    "gateway_operation_duration_seconds",
    Kind.HISTOGRAM,
    "Seconds of an operation, of a subscription to its end. `type` is none for a request that was "
    "refused before its document was read.",
    {"type": TYPES, "outcome": tuple(Outcome)},
)
OVERHEAD_SECONDS = Metric(
    "gateway_operation_overhead_seconds",
    Kind.HISTOGRAM,
    "Seconds of a query or mutation in which it waited for no upstream request.",
    {"type": TYPES},
)
DOCUMENT_OPERATIONS = Metric(
    "gateway_document_operations_total",
    Kind.COUNTER,
    "Operations of each trusted document, by its name in the manifest (docs/documents.md); `other` "
    "for all others, and beyond 500 names.",
    {"document": (), "outcome": tuple(Outcome)},
)
ERRORS = Metric(
    "gateway_errors_total",
    Kind.COUNTER,
    "Operations with an error of this code (docs/errors.md).",
    {"code": CODES},
)
REFUSALS = Metric(
    "gateway_refusals_total",
    Kind.COUNTER,
    "Operations that were refused, by the limit that they exceeded, else by their error's code.",
    {"reason": ()},
)
OPERATION_REQUESTS = Metric(
    "gateway_operation_upstream_requests",
    Kind.HISTOGRAM,
    "Upstream requests of a query or mutation.",
    {"type": TYPES},
    buckets=REQUESTS,
)
AVOIDED = Metric(
    "gateway_upstream_avoided_total",
    Kind.COUNTER,
    "Upstream requests that were not needed: `known` from rows of the same operation, `cached` "
    "from rows of earlier ones, `scan` by lists that answer many keys, `shared` by an equal "
    "request in flight.",
    {"way": WAYS},
)
UPSTREAM_SECONDS = Metric(
    "http_client_request_duration_seconds",
    Kind.HISTOGRAM,
    "Seconds of a request to Twilio, from sending to the last byte. `status` is the HTTP status, "
    "or the name of the error where there is none.",
    {"resource": (*RESOURCES, OTHER), "method": ("GET", "POST"), "status": ()},
)
UPSTREAM_WAIT = Metric(
    "gateway_upstream_wait_seconds",
    Kind.HISTOGRAM,
    "Seconds that an upstream request spent in the queue and in failed attempts.",
    {"priority": ("mutation", "interactive", "bulk")},
)
UPSTREAM_RETRIES = Metric(
    "gateway_upstream_retries_total",
    Kind.COUNTER,
    "Attempts that repeat a failed one. `reason` is the name of the failure.",
    {"reason": ()},
)
RETRY_BUDGET = Metric(
    "gateway_retry_budget_tokens",
    Kind.GAUGE,
    "Retries that the budget still allows.",
    over_workers="livesum",
)
IN_FLIGHT = Metric(
    "gateway_upstream_in_flight", Kind.GAUGE, "Upstream requests that are in flight."
)
WAITING = Metric("gateway_upstream_waiting", Kind.GAUGE, "Upstream requests that wait for a slot.")
LIMIT = Metric(
    "gateway_upstream_limit", Kind.GAUGE, "Upstream requests that may be in flight at once."
)
BREAKER_STATE = Metric(
    "gateway_breaker_state",
    Kind.GAUGE,
    "The circuit breaker: 0 closed, 1 half-open, 2 open.",
    {"resource": RESOURCES},
    over_workers="livemax",
)
BREAKER_REFUSALS = Metric(
    "gateway_breaker_refusals_total",
    Kind.COUNTER,
    "Upstream requests that an open breaker refused.",
    {"resource": RESOURCES},
)
CACHE_REQUESTS = Metric(
    "gateway_cache_requests_total",
    Kind.COUNTER,
    "Look-ups in the cache of what cannot change.",
    {"result": ("hit", "miss")},
)
CACHE_BYTES = Metric("gateway_cache_bytes", Kind.GAUGE, "Bytes that the cache uses.")
CACHE_EVICTIONS = Metric(
    "gateway_cache_evictions_total", Kind.COUNTER, "Entries that the cache dropped for room."
)
CACHE_STORE_REQUESTS = Metric(
    "gateway_cache_store_requests_total",
    Kind.COUNTER,
    "Look-ups in the shared cache (GATEWAY_CACHE_STORE_URL) of what this process has not cached. "
    "`failed`: the store is away or slow, or its entry cannot be decoded.",
    {"result": ("hit", "miss", "failed")},
)
SUBSCRIPTIONS = Metric("gateway_subscriptions", Kind.GAUGE, "Subscriptions that are open.")
EVENT_LAG = Metric(
    "gateway_event_lag_seconds",
    Kind.HISTOGRAM,
    "Seconds from an event's arrival to its result for a subscriber.",
    {"source": ("webhook", "poll", "mutation")},
)
WEBHOOKS = Metric(
    "gateway_webhooks_total",
    Kind.COUNTER,
    "Webhooks by what became of them.",
    {"result": tuple(WebhookResult)},
)
LOOP_LAG = Metric(
    "gateway_event_loop_lag_seconds",
    Kind.HISTOGRAM,
    "Seconds by which the event loop ran a timer late: a busy process.",
)
BUILD_INFO = Metric(
    "gateway_build_info",
    Kind.GAUGE,
    "1; `version` is the gateway's.",
    {"version": ()},
    over_workers="livemax",
)
TABLE: tuple[Metric, ...] = tuple(
    metric for metric in list(globals().values()) if isinstance(metric, Metric)
)


class Metrics(Hooks):
    """Counts into a registry. `version` is the gateway's."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        self._instruments = {metric: metric.register(registry) for metric in TABLE}
        self._children: dict[tuple[Any, ...], Any] = {}
        self._documents: set[str] = set()
        self._seen: dict[int, UpstreamSample] = {}
        self._of(BUILD_INFO, version).set(1)
        for metric in TABLE:  # a series that begins at 1 hides its first event from increase()
            if metric.kind is Kind.COUNTER and all(metric.labels.values()):
                for values in product(*metric.labels.values()):
                    self._of(metric, *values)

    def on_operation(self, outcome: OperationOutcome) -> None:
        """See Hooks."""
        type_ = outcome.type or "none"
        self._of(OPERATION_SECONDS, type_, outcome.outcome).observe(outcome.seconds)
        self._of(DOCUMENT_OPERATIONS, self._document(outcome), outcome.outcome).inc()
        for code in outcome.codes:
            self._of(ERRORS, code).inc()
        if outcome.outcome is Outcome.REFUSED:
            self._of(REFUSALS, outcome.limit or outcome.codes[0]).inc()
        trace = outcome.trace
        if trace is None:
            return
        sent = trace.sent()
        self._of(OPERATION_REQUESTS, type_).observe(len(sent))
        self._of(OVERHEAD_SECONDS, type_).observe(max(outcome.seconds - trace.waited(), 0.0))
        for way, count in trace.avoided().items():
            if count:
                self._of(AVOIDED, way).inc(count)
        wait = self._of(UPSTREAM_WAIT, outcome.priority)
        for record in sent:
            wait.observe(record.wait)

    def _document(self, outcome: OperationOutcome) -> str:
        """The document's label. Manifests that are reloaded may bring more names than is good."""
        if outcome.document and len(self._documents) < MAX_DOCUMENTS:
            self._documents.add(outcome.document)
        return outcome.document if outcome.document in self._documents else OTHER

    def on_exchange(self, exchange: UpstreamExchange) -> None:
        """See Hooks."""
        status = str(exchange.status or exchange.failure)
        self._of(UPSTREAM_SECONDS, exchange.resource, exchange.method, status).observe(
            exchange.seconds
        )
        if exchange.retry_of is not None:
            self._of(UPSTREAM_RETRIES, exchange.retry_of).inc()

    def on_webhook(self, result: WebhookResult) -> None:
        """See Hooks."""
        self._of(WEBHOOKS, result).inc()

    def on_event(self, source: str, seconds: float) -> None:
        """See Hooks."""
        self._of(EVENT_LAG, source).observe(seconds)

    def on_response(self, method: str, route: str, status: int, seconds: float) -> None:
        """An HTTP response is complete."""
        self._of(HTTP_SECONDS, method, route, str(status)).observe(seconds)

    def sample(self, state: ProcessSample) -> None:
        """Sets the gauges, and adds what the clients have counted since the last sample."""
        clients = state.clients.values()
        totals: dict[Metric, Callable[[UpstreamSample], int]] = {
            IN_FLIGHT: lambda one: one.in_flight,
            WAITING: lambda one: one.waiting,
            LIMIT: lambda one: one.limit,
            RETRY_BUDGET: lambda one: one.retry_tokens,
            CACHE_BYTES: lambda one: one.cache_bytes,
        }
        for metric, value in totals.items():
            self._of(metric).set(sum(map(value, clients)))
        for resource in RESOURCES:
            states = [STATES[one.breakers[resource]] for one in clients if resource in one.breakers]
            self._of(BREAKER_STATE, resource).set(max(states, default=0))
        for key, now in state.clients.items():
            self._count(self._seen.get(key, UpstreamSample()), now)
        self._seen = dict(state.clients)
        self._of(SUBSCRIPTIONS).set(state.subscriptions)
        self._of(LOOP_LAG).observe(max(state.lag, 0.0))

    def _count(self, before: UpstreamSample, now: UpstreamSample) -> None:
        self._of(CACHE_REQUESTS, "hit").inc(now.cache_hits - before.cache_hits)
        self._of(CACHE_REQUESTS, "miss").inc(now.cache_misses - before.cache_misses)
        self._of(CACHE_EVICTIONS).inc(now.cache_evictions - before.cache_evictions)
        for result, count in now.cache_store.items():
            self._of(CACHE_STORE_REQUESTS, result).inc(count - before.cache_store.get(result, 0))
        for resource, count in now.breaker_refusals.items():
            new = count - before.breaker_refusals.get(resource, 0)
            self._of(BREAKER_REFUSALS, resource).inc(new)

    def _of(self, metric: Metric, *values: str) -> Any:
        """The time series of these label values, each on its closed list or `other`."""
        key = (metric, *values)
        child = self._children.get(key)
        if child is None:
            instrument = self._instruments[metric]
            allowed = zip(values, metric.labels.values(), strict=True)
            closed = [str(one) if not some or one in some else OTHER for one, some in allowed]
            child = instrument.labels(*closed) if closed else instrument
            if len(self._children) < MAX_CHILDREN:
                self._children[key] = child
        return child
