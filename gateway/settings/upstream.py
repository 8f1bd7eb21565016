"""Settings of the way upstream: whose calls, how long it may take, how much it may read.

This module must not know what a setting is used for beyond its meaning.
"""

from dataclasses import dataclass

from gateway.settings.values import (
    PlannerMode,
    Secret,
    Switch,
    one_of,
    seconds,
    setting,
    sid,
    url,
    whole,
)

__all__ = ["UpstreamSettings"]


@dataclass(frozen=True, kw_only=True)
class UpstreamSettings:
    """The account, its upstream, and what one operation may cost there."""

    account_sid: str | None = setting(
        "TWILIO_ACCOUNT_SID", sid("AC"), None, "SID",
        "The account whose calls are served. Without a credential the sandbox answers.",
    )  # fmt: skip
    auth_token: Secret | None = setting(
        "TWILIO_AUTH_TOKEN", Secret, None, "secret", "The account's auth token."
    )
    api_key: str | None = setting(
        "TWILIO_API_KEY", sid("SK", "AC"), None, "SID",
        "An API key (SK), used instead of the auth token when set together with its secret. For a "
        "sub-account also its main account's SID (AC), with that account's auth token as secret.",
    )  # fmt: skip
    api_secret: Secret | None = setting(
        "TWILIO_API_SECRET",
        Secret,
        None,
        "secret",
        "The API key's secret, or the main account's auth token.",
    )
    base_url: str = setting(
        "TWILIO_BASE_URL", url, "https://api.twilio.com", "URL",
        "Where the Twilio REST API is: Twilio's own, a regional one, or a local stand-in.",
    )  # fmt: skip
    operation_timeout: float = setting(
        "GATEWAY_OPERATION_TIMEOUT", seconds, 10.0, "seconds",
        "The deadline of one GraphQL operation; what is not read by then is null, with "
        "UPSTREAM_TIMEOUT. The header Gateway-Timeout lowers it.",
    )  # fmt: skip
    read_timeout: float = setting(
        "GATEWAY_READ_TIMEOUT", seconds, 8.0, "seconds",
        "The time that one read upstream may take, with its tries and waits: less than an "
        "operation, so that something is left for the rest of it.",
    )  # fmt: skip
    try_timeout: float = setting(
        "GATEWAY_TRY_TIMEOUT", seconds, 5.0, "seconds",
        "The time that one try of a read may take from sending to the last byte: less than a "
        "read, so that one that hangs can be repeated.",
    )  # fmt: skip
    connect_timeout: float = setting(
        "GATEWAY_CONNECT_TIMEOUT", seconds, 3.0, "seconds",
        "The time that making a connection upstream may take.",
    )  # fmt: skip
    max_in_flight: int = setting(
        "GATEWAY_MAX_IN_FLIGHT", whole(1, 100), 100, "requests",
        "How many upstream requests run at once at most; more wait their turn. How many really do "
        "follows Twilio's 429s and its latency.",
    )  # fmt: skip
    max_waiting: int = setting(
        "GATEWAY_MAX_WAITING", whole(1, 100_000), 3000, "requests",
        "How many upstream requests wait for their turn at most; the newest of the longest "
        "operation is given up then, with UPSTREAM_RATE_LIMITED. More could not be answered "
        "before their deadline.",
    )  # fmt: skip
    tries: int = setting(
        "GATEWAY_TRIES", whole(1, 3), 3, "tries",
        "How often a read is tried that failed in a way that may pass; 1 repeats nothing.",
    )  # fmt: skip
    retry_share: int = setting(
        "GATEWAY_RETRY_SHARE", whole(0, 100), 10, "percent",
        "How many tries may be repeats, of the requests that are asked: what an outage is made "
        "worse by at most.",
    )  # fmt: skip
    breaker_window: float = setting(
        "GATEWAY_BREAKER_WINDOW", seconds, 10.0, "seconds",
        "Over which time failures of one kind of resource are counted: long enough for a trend, "
        "short enough to forget one bad second.",
    )  # fmt: skip
    breaker_samples: int = setting(
        "GATEWAY_BREAKER_SAMPLES", whole(1, 10_000), 20, "tries",
        "How many tries must have ended in that time before it may open; fewer say nothing.",
    )  # fmt: skip
    breaker_failures: int = setting(
        "GATEWAY_BREAKER_FAILURES", whole(1, 100), 70, "percent",
        "How many of them must have come to nothing: one that loses a third is still better asked.",
    )  # fmt: skip
    breaker_pause: float = setting(
        "GATEWAY_BREAKER_PAUSE", seconds, 5.0, "seconds",
        "How long upstream is not asked then: a sixth of the time in which service must be back.",
    )  # fmt: skip
    breaker_probes: int = setting(
        "GATEWAY_BREAKER_PROBES", whole(1, 100), 5, "tries",
        "How many tries are let through after that; more than half of them must be answered.",
    )  # fmt: skip
    cache_size: int = setting(
        "GATEWAY_CACHE_SIZE", whole(0, 65536), 32, "MiB",
        "How much memory holds what cannot change any more (finished calls and recordings), in "
        "each process; 0 keeps nothing.",
    )  # fmt: skip
    page_budget: int = setting(
        "GATEWAY_PAGE_BUDGET", whole(1, 1000), 40, "pages",
        "How many upstream pages one connection may read; then the list is cut short, with the "
        "warning LIST_CUT_SHORT.",
    )  # fmt: skip
    row_budget: int = setting(
        "GATEWAY_ROW_BUDGET", whole(1, 1_000_000), 40_000, "rows",
        "How many upstream rows one connection may read; then the list is cut short, with the "
        "warning LIST_CUT_SHORT.",
    )  # fmt: skip
    planner: PlannerMode = setting(
        "GATEWAY_PLANNER", one_of(PlannerMode), PlannerMode.ADAPTIVE, "adaptive|per-key",
        "adaptive reads an edge of many calls by one covering list where that is right and "
        "cheaper; per-key asks one request for each call and edge.",
    )  # fmt: skip
    scan_child_calls: Switch = setting(
        "GATEWAY_SCAN_CHILD_CALLS", one_of(Switch), Switch.OFF, "on|off",
        "Also reads childCalls by covering lists. A range of start times shows no call that was "
        "never dialed: only for accounts where `gateway verify` has found no difference.",
    )  # fmt: skip
    request_budget: int = setting(
        "GATEWAY_REQUEST_BUDGET", whole(1, 100_000), 1000, "requests",
        "How many upstream requests one operation may send; what is left is null, with "
        "BUDGET_EXCEEDED. The header Gateway-Request-Budget lowers it.",
    )  # fmt: skip
    sandbox_calls: int = setting(
        "GATEWAY_SANDBOX_CALLS", whole(0, 2_000_000), 2000, "calls",
        "How many example calls the sandbox holds.",
    )  # fmt: skip
    sandbox_seed: int = setting(
        "GATEWAY_SANDBOX_SEED", whole(0, 999_999_999), 1, "number",
        "The number from which the example calls are made; the same number, the same calls.",
    )  # fmt: skip
