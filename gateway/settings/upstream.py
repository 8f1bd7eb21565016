"""Settings of the upstream side: the account, how requests are sent, what one operation may read.

This module must not know what a setting is used for beyond its meaning.
"""

from dataclasses import dataclass
from typing import Annotated

from gateway.settings.values import (
    AccountSid,
    CredentialSid,
    CursorSecret,
    Percent,
    PlannerMode,
    Seconds,
    Secret,
    StoreUrl,
    Switch,
    Url,
    between,
    setting,
)

__all__ = [
    "AccountSettings",
    "BreakerSettings",
    "OperationSettings",
    "SandboxSettings",
    "UpstreamSettings",
]


@dataclass(frozen=True, kw_only=True)
class AccountSettings:
    """Account: the Twilio account and its credential. Without them the sandbox answers."""

    sid: AccountSid | None = setting(
        "TWILIO_ACCOUNT_SID", None, "SID",
        "The account whose calls are served.",
    )  # fmt: skip
    auth_token: Secret | None = setting(
        "TWILIO_AUTH_TOKEN", None, "secret",
        "The account's auth token; Twilio also signs webhooks with it.",
    )  # fmt: skip
    api_key: CredentialSid | None = setting(
        "TWILIO_API_KEY", None, "SID",
        "An API key (SK) to use instead of the auth token. For a sub-account it may also be the "
        "SID (AC) of its main account.",
    )  # fmt: skip
    api_secret: Secret | None = setting(
        "TWILIO_API_SECRET", None, "secret",
        "The secret of the API key, or the auth token of the main account.",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BreakerSettings:
    """Circuit breaker: one for each kind of resource (calls, recordings, notifications)."""

    window: Seconds = setting(
        "GATEWAY_BREAKER_WINDOW", 10.0, "seconds",
        "The sliding window in which the breaker counts attempts and failures.",
    )  # fmt: skip
    min_calls: Annotated[int, between(1, 10_000)] = setting(
        "GATEWAY_BREAKER_MIN_CALLS", 20, "attempts",
        "The breaker stays closed while the window holds fewer attempts than this; a timeout "
        "counts as four.",
    )  # fmt: skip
    failure_rate: Annotated[int, between(1, 100)] = setting(
        "GATEWAY_BREAKER_FAILURE_RATE", 70, "percent",
        "The share of failed attempts in the window at which the breaker opens.",
    )  # fmt: skip
    open_duration: Seconds = setting(
        "GATEWAY_BREAKER_OPEN_DURATION", 5.0, "seconds",
        "How long an open breaker rejects requests before it becomes half-open.",
    )  # fmt: skip
    half_open_calls: Annotated[int, between(1, 100)] = setting(
        "GATEWAY_BREAKER_HALF_OPEN_CALLS", 5, "attempts",
        "How many attempts a half-open breaker lets through; it closes when the majority of them "
        "is answered, else it opens again.",
    )  # fmt: skip

    @property
    def answers_to_close(self) -> int:
        """How many answered attempts close a half-open breaker: the majority."""
        return self.half_open_calls // 2 + 1

    @property
    def failures_to_reopen(self) -> int:
        """How many failures open it again: a majority of answers is out of reach."""
        return self.half_open_calls - self.answers_to_close + 1


@dataclass(frozen=True, kw_only=True)
class UpstreamSettings:
    """Requests to Twilio: timeouts, retries, concurrency and cache, in each process."""

    base_url: Url = setting(
        "TWILIO_BASE_URL", "https://api.twilio.com", "URL",
        "The Twilio REST API: Twilio's own, a regional one, or a local stand-in.",
    )  # fmt: skip
    proxy: Url | None = setting(
        "GATEWAY_UPSTREAM_PROXY", None, "URL",
        "The HTTP proxy through which requests to Twilio go. The environment's own variables "
        "(HTTPS_PROXY) are not read.",
    )  # fmt: skip
    connect_timeout: Seconds = setting(
        "GATEWAY_CONNECT_TIMEOUT", 3.0, "seconds",
        "The longest time to open a connection to Twilio.",
    )  # fmt: skip
    attempt_timeout: Seconds = setting(
        "GATEWAY_ATTEMPT_TIMEOUT", 5.0, "seconds",
        "The longest time of one attempt of a read, from sending to the last byte. Below "
        "GATEWAY_READ_TIMEOUT, so that an attempt that hangs can be retried.",
    )  # fmt: skip
    read_timeout: Seconds = setting(
        "GATEWAY_READ_TIMEOUT", 8.0, "seconds",
        "The longest time of one read, with its attempts, backoff and time in the queue. Below "
        "GATEWAY_OPERATION_TIMEOUT, so that the rest of the operation can still be answered.",
    )  # fmt: skip
    max_attempts: Annotated[int, between(1, 3)] = setting(
        "GATEWAY_MAX_ATTEMPTS", 3, "attempts",
        "How often a read is attempted, at most, when it fails in a way that may pass; 1 means no "
        "retries.",
    )  # fmt: skip
    retry_budget_percent: Percent = setting(
        "GATEWAY_RETRY_BUDGET_PERCENT", 10, "percent",
        "Retries as a percentage of requests, at most; caps the extra load in an outage.",
    )  # fmt: skip
    max_in_flight: Annotated[int, between(1, 100)] = setting(
        "GATEWAY_MAX_IN_FLIGHT", 100, "requests",
        "How many requests run at once, at most; with GATEWAY_STORE_URL, those of all gateways of "
        "the account together. The gateway lowers the number by itself when Twilio answers 429 or "
        "slows down.",
    )  # fmt: skip
    max_queued: Annotated[int, between(1, 100_000)] = setting(
        "GATEWAY_MAX_QUEUED", 3000, "requests",
        "How many requests wait for a free slot, at most. A full queue drops the newest request of "
        "the operation that has the most in it, with UPSTREAM_RATE_LIMITED.",
    )  # fmt: skip
    cache_size: Annotated[int, between(0, 65536)] = setting(
        "GATEWAY_CACHE_SIZE", 32, "MiB",
        "How much memory holds answers that cannot change any more (finished calls and their "
        "recordings); 0 turns the cache off, the shared one, too.",
    )  # fmt: skip
    cache_store_url: StoreUrl | None = setting(
        "GATEWAY_CACHE_STORE_URL", None, "secret URL",
        "The Valkey or Redis through which several gateways share such answers for an hour "
        "(docs/live.md#shared-cache). It holds personal data and may evict, so it is another "
        "server than that of GATEWAY_STORE_URL. Without it nothing is shared.",
    )  # fmt: skip
    breaker: BreakerSettings = BreakerSettings()


@dataclass(frozen=True, kw_only=True)
class OperationSettings:
    """Operations: what one GraphQL operation may take, and how the planner reads for it."""

    timeout: Seconds = setting(
        "GATEWAY_OPERATION_TIMEOUT", 10.0, "seconds",
        "The deadline of one operation; fields that are not read by then are null, with "
        "UPSTREAM_TIMEOUT. The header Gateway-Timeout lowers it.",
    )  # fmt: skip
    request_budget: Annotated[int, between(1, 100_000)] = setting(
        "GATEWAY_REQUEST_BUDGET", 1000, "requests",
        "How many requests one operation may send to Twilio; the fields beyond it are null, with "
        "BUDGET_EXCEEDED. The header Gateway-Request-Budget lowers it.",
    )  # fmt: skip
    page_budget: Annotated[int, between(1, 1000)] = setting(
        "GATEWAY_PAGE_BUDGET", 40, "pages",
        "How many pages of Twilio's one connection may read; a list that needs more is cut short, "
        "with the warning LIST_CUT_SHORT.",
    )  # fmt: skip
    row_budget: Annotated[int, between(1, 1_000_000)] = setting(
        "GATEWAY_ROW_BUDGET", 40_000, "rows",
        "How many rows of Twilio's one connection may read; a list that needs more is cut short, "
        "with the warning LIST_CUT_SHORT.",
    )  # fmt: skip
    planner: PlannerMode = setting(
        "GATEWAY_PLANNER", PlannerMode.ADAPTIVE, "adaptive|per-key",
        "adaptive reads an edge of many calls with one list where that is exact and cheaper; "
        "per-key sends one request for each call and edge.",
    )  # fmt: skip
    scan_child_calls: Switch = setting(
        "GATEWAY_SCAN_CHILD_CALLS", Switch.OFF, "on|off",
        "Also reads childCalls with one list. A list by start time misses calls that were never "
        "dialed, so turn it on only where `gateway verify` has found no difference.",
    )  # fmt: skip
    compiled_execution: Switch = setting(
        "GATEWAY_COMPILED_EXECUTION", Switch.ON, "on|off",
        "Executes operations as compiled plans, level by level. off leaves them to graphql-core: "
        "the same responses for more CPU time.",
    )  # fmt: skip
    cursor_secret: CursorSecret | None = setting(
        "GATEWAY_CURSOR_SECRET", None, "secret",
        "Signs cursors instead of the account's own secret, so that they outlive a change of it. "
        "16 characters or more, the same for all gateways of an account.",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SandboxSettings:
    """Sandbox: its example calls."""

    calls: Annotated[int, between(0, 2_000_000)] = setting(
        "GATEWAY_SANDBOX_CALLS", 2000, "calls",
        "How many example calls the sandbox holds.",
    )  # fmt: skip
    seed: Annotated[int, between(0, 999_999_999)] = setting(
        "GATEWAY_SANDBOX_SEED", 1, "number",
        "The seed of the example calls; the same seed makes the same calls.",
    )  # fmt: skip
