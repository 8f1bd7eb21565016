"""Stands for gateway.telemetry.metrics until that module is there: its table, in the same form."""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """Prometheus' types that are used here."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(NamedTuple):
    """One metric. `labels` are the values of each label; an empty list is open."""

    name: str
    kind: Kind
    labels: dict[str, tuple[str, ...]]


TABLE = (
    Metric(
        "http_server_request_duration_seconds",
        Kind.HISTOGRAM,
        {
            "method": ("GET", "POST", "OPTIONS", "HEAD", "other"),
            "route": (
                "/",
                "/graphql",
                "/healthz",
                "/readyz",
                "/webhooks/twilio/status",
                "/webhooks/twilio/recording",
                "other",
            ),
            "status": (),
        },
    ),
    Metric(
        "gateway_operation_duration_seconds",
        Kind.HISTOGRAM,
        {
            "type": ("query", "mutation", "subscription", "none"),
            "outcome": ("ok", "partial", "refused", "failed", "cancelled"),
        },
    ),
    Metric(
        "gateway_operation_overhead_seconds",
        Kind.HISTOGRAM,
        {"type": ("query", "mutation", "subscription", "none")},
    ),
    Metric(
        "gateway_errors_total",
        Kind.COUNTER,
        {
            "code": (
                "ACCESS_UNAVAILABLE",
                "BAD_REQUEST",
                "BAD_USER_INPUT",
                "BUDGET_EXCEEDED",
                "DRY_RUN",
                "FELL_BEHIND",
                "FORBIDDEN",
                "FOREIGN_ORIGIN",
                "GRAPHQL_PARSE_FAILED",
                "GRAPHQL_VALIDATION_FAILED",
                "INTERNAL_ERROR",
                "INTROSPECTION_DISABLED",
                "INVALID_CURSOR",
                "INVALID_FILTER",
                "LIMIT_EXCEEDED",
                "NOT_FOUND",
                "OUTCOME_UNKNOWN",
                "PERSISTED_QUERY_NOT_SUPPORTED",
                "RATE_LIMITED",
                "STORE_UNAVAILABLE",
                "TOO_MANY_SUBSCRIBERS",
                "UNAUTHENTICATED",
                "UPSTREAM_AUTH",
                "UPSTREAM_INVALID",
                "UPSTREAM_NOT_FOUND",
                "UPSTREAM_RATE_LIMITED",
                "UPSTREAM_REJECTED",
                "UPSTREAM_TIMEOUT",
                "UPSTREAM_UNAVAILABLE",
            )
        },
    ),
    Metric("gateway_refusals_total", Kind.COUNTER, {"reason": ()}),
    Metric(
        "gateway_operation_upstream_requests",
        Kind.HISTOGRAM,
        {"type": ("query", "mutation", "subscription", "none")},
    ),
    Metric(
        "gateway_upstream_avoided_total",
        Kind.COUNTER,
        {"way": ("known", "cached", "scan", "shared")},
    ),
    Metric(
        "http_client_request_duration_seconds",
        Kind.HISTOGRAM,
        {
            "resource": ("calls", "recordings", "notifications", "other"),
            "method": ("GET", "POST"),
            "status": (),
        },
    ),
    Metric(
        "gateway_upstream_wait_seconds",
        Kind.HISTOGRAM,
        {"priority": ("mutation", "interactive", "bulk")},
    ),
    Metric("gateway_upstream_retries_total", Kind.COUNTER, {"reason": ()}),
    Metric("gateway_retry_budget_tokens", Kind.GAUGE, {}),
    Metric("gateway_upstream_in_flight", Kind.GAUGE, {}),
    Metric("gateway_upstream_waiting", Kind.GAUGE, {}),
    Metric("gateway_upstream_limit", Kind.GAUGE, {}),
    Metric(
        "gateway_breaker_state", Kind.GAUGE, {"resource": ("calls", "recordings", "notifications")}
    ),
    Metric(
        "gateway_breaker_refusals_total",
        Kind.COUNTER,
        {"resource": ("calls", "recordings", "notifications")},
    ),
    Metric("gateway_cache_requests_total", Kind.COUNTER, {"result": ("hit", "miss")}),
    Metric("gateway_cache_bytes", Kind.GAUGE, {}),
    Metric("gateway_cache_evictions_total", Kind.COUNTER, {}),
    Metric("gateway_subscriptions", Kind.GAUGE, {}),
    Metric(
        "gateway_event_lag_seconds", Kind.HISTOGRAM, {"source": ("webhook", "poll", "mutation")}
    ),
    Metric(
        "gateway_webhooks_total",
        Kind.COUNTER,
        {"result": ("taken", "repeated", "late", "foreign", "forged", "limited", "invalid")},
    ),
    Metric("gateway_event_loop_lag_seconds", Kind.HISTOGRAM, {}),
    Metric("gateway_build_info", Kind.GAUGE, {"version": ()}),
)
