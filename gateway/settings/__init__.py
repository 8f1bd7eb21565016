"""Every setting, default and limit, in one frozen table.

The environment first, then the default. docs/settings.md prints this table and a test holds the
two equal. This module must not know what a setting is used for beyond its meaning.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gateway.settings.values import (
    Environment,
    LogLevel,
    PlannerMode,
    Secret,
    Switch,
    one_of,
    seconds,
    secrets,
    sid,
    store_url,
    text,
    url,
    whole,
)

__all__ = [
    "Environment",
    "LogLevel",
    "PlannerMode",
    "Secret",
    "Settings",
    "SettingsError",
    "Switch",
    "settings_table",
]


class SettingsError(Exception):
    """A setting that cannot be used; the message names it. It ends the program with one line."""


def _setting(name: str, parse: Callable[[str], Any], default: Any, unit: str, meaning: str) -> Any:
    return field(
        default=default,
        metadata={"name": name, "parse": parse, "unit": unit, "meaning": meaning},
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator decided. Made once, at start, by `from_environment`."""

    account_sid: str | None = _setting(
        "TWILIO_ACCOUNT_SID", sid("AC"), None, "SID",
        "The account whose calls are served. Without a credential the sandbox answers.",
    )  # fmt: skip
    auth_token: Secret | None = _setting(
        "TWILIO_AUTH_TOKEN", Secret, None, "secret", "The account's auth token."
    )
    api_key: str | None = _setting(
        "TWILIO_API_KEY", sid("SK"), None, "SID",
        "An API key, used instead of the auth token when set together with its secret.",
    )  # fmt: skip
    api_secret: Secret | None = _setting(
        "TWILIO_API_SECRET", Secret, None, "secret", "The API key's secret."
    )
    base_url: str = _setting(
        "TWILIO_BASE_URL", url, "https://api.twilio.com", "URL",
        "Where the Twilio REST API is: Twilio's own, a regional one, or a local stand-in.",
    )  # fmt: skip
    host: str = _setting(
        "GATEWAY_HOST", text, "127.0.0.1", "address", "The address that the gateway listens on."
    )
    port: int = _setting(
        "GATEWAY_PORT", whole(0, 65535), 8000, "port",
        "The port that the gateway listens on; 0 takes a free one.",
    )  # fmt: skip
    workers: int = _setting(
        "GATEWAY_WORKERS", whole(1, 64), 1, "processes",
        "How many processes serve; they share one sandbox.",
    )  # fmt: skip
    public_url: str | None = _setting(
        "GATEWAY_PUBLIC_URL", url, None, "URL",
        "The URL under which people reach the gateway when it is not host and port (a proxy); "
        "printed at start.",
    )  # fmt: skip
    environment: Environment = _setting(
        "GATEWAY_ENV", one_of(Environment), Environment.DEVELOPMENT, "development|production",
        "In production there is no GraphiQL page.",
    )  # fmt: skip
    log_level: LogLevel = _setting(
        "GATEWAY_LOG_LEVEL", one_of(LogLevel), LogLevel.INFO, "debug|info|warning|error",
        "How much is logged, on standard error. Never a secret, never a phone number.",
    )  # fmt: skip
    webhook_url: str | None = _setting(
        "GATEWAY_WEBHOOK_URL", url, None, "URL",
        "The URL under which Twilio reaches this gateway's webhooks, when it is not "
        "GATEWAY_PUBLIC_URL. Signatures are checked against it; makeCall sends it along.",
    )  # fmt: skip
    webhook_auth_tokens: tuple[Secret, ...] | None = _setting(
        "GATEWAY_WEBHOOK_AUTH_TOKENS", secrets, None, "secrets, by comma",
        "Further auth tokens that webhooks may be signed with: while one is replaced, or where "
        "an API key is used upstream. TWILIO_AUTH_TOKEN always counts.",
    )  # fmt: skip
    webhook_shared_keys: tuple[Secret, ...] | None = _setting(
        "GATEWAY_WEBHOOK_SHARED_KEYS", secrets, None, "secrets, by comma",
        "Shared keys that webhooks may be signed with by HMAC-SHA256, where the account uses them.",
    )  # fmt: skip
    webhook_rate: int = _setting(
        "GATEWAY_WEBHOOK_RATE", whole(1, 100_000), 500, "webhooks a second",
        "How many webhooks one process takes in a second; those above it get 429.",
    )  # fmt: skip
    store_url: Secret | None = _setting(
        "GATEWAY_STORE_URL", store_url, None, "URL",
        "The Valkey or Redis (valkey://, redis://, rediss://) through which several gateways or "
        "workers share live calls and idempotency keys. Without it each process keeps its own.",
    )  # fmt: skip
    operation_timeout: float = _setting(
        "GATEWAY_OPERATION_TIMEOUT", seconds, 10.0, "seconds",
        "The deadline of one GraphQL operation; what is not read by then is null, with "
        "UPSTREAM_TIMEOUT. The header Gateway-Timeout lowers it.",
    )  # fmt: skip
    read_timeout: float = _setting(
        "GATEWAY_READ_TIMEOUT", seconds, 8.0, "seconds",
        "The time that one read upstream may take, with its tries and waits: less than an "
        "operation, so that something is left for the rest of it.",
    )  # fmt: skip
    try_timeout: float = _setting(
        "GATEWAY_TRY_TIMEOUT", seconds, 5.0, "seconds",
        "The time that one try of a read may take from sending to the last byte: less than a "
        "read, so that one that hangs can be repeated.",
    )  # fmt: skip
    connect_timeout: float = _setting(
        "GATEWAY_CONNECT_TIMEOUT", seconds, 3.0, "seconds",
        "The time that making a connection upstream may take.",
    )  # fmt: skip
    max_in_flight: int = _setting(
        "GATEWAY_MAX_IN_FLIGHT", whole(1, 100), 100, "requests",
        "How many upstream requests run at once at most; more wait their turn. How many really do "
        "follows Twilio's 429s and its latency.",
    )  # fmt: skip
    max_waiting: int = _setting(
        "GATEWAY_MAX_WAITING", whole(1, 100_000), 3000, "requests",
        "How many upstream requests wait for their turn at most; the newest of the longest "
        "operation is given up then, with UPSTREAM_RATE_LIMITED. More could not be answered "
        "before their deadline.",
    )  # fmt: skip
    tries: int = _setting(
        "GATEWAY_TRIES", whole(1, 3), 3, "tries",
        "How often a read is tried that failed in a way that may pass; 1 repeats nothing.",
    )  # fmt: skip
    retry_share: int = _setting(
        "GATEWAY_RETRY_SHARE", whole(0, 100), 10, "percent",
        "How many tries may be repeats, of the requests that are asked: what an outage is made "
        "worse by at most.",
    )  # fmt: skip
    cache_size: int = _setting(
        "GATEWAY_CACHE_SIZE", whole(0, 65536), 32, "MiB",
        "How much memory holds what cannot change any more (finished calls and recordings), in "
        "each process; 0 keeps nothing.",
    )  # fmt: skip
    page_budget: int = _setting(
        "GATEWAY_PAGE_BUDGET", whole(1, 1000), 40, "pages",
        "How many upstream pages one connection may read before it ends with BUDGET_EXCEEDED.",
    )  # fmt: skip
    row_budget: int = _setting(
        "GATEWAY_ROW_BUDGET", whole(1, 1_000_000), 40_000, "rows",
        "How many upstream rows one connection may read before it ends with BUDGET_EXCEEDED.",
    )  # fmt: skip
    planner: PlannerMode = _setting(
        "GATEWAY_PLANNER", one_of(PlannerMode), PlannerMode.ADAPTIVE, "adaptive|per-key",
        "adaptive reads an edge of many calls by one covering list where that is right and "
        "cheaper; per-key asks one request for each call and edge.",
    )  # fmt: skip
    scan_child_calls: Switch = _setting(
        "GATEWAY_SCAN_CHILD_CALLS", one_of(Switch), Switch.OFF, "on|off",
        "Also reads childCalls by covering lists. A range of start times shows no call that was "
        "never dialed: only for accounts where `gateway verify` has found no difference.",
    )  # fmt: skip
    request_budget: int = _setting(
        "GATEWAY_REQUEST_BUDGET", whole(1, 100_000), 1000, "requests",
        "How many upstream requests one operation may send; what is left is null, with "
        "BUDGET_EXCEEDED. The header Gateway-Request-Budget lowers it.",
    )  # fmt: skip
    max_subscribers: int = _setting(
        "GATEWAY_MAX_SUBSCRIBERS", whole(0, 1_000_000), 5000, "subscriptions",
        "How many subscriptions one process serves at once; more end with TOO_MANY_SUBSCRIBERS.",
    )  # fmt: skip
    sandbox_calls: int = _setting(
        "GATEWAY_SANDBOX_CALLS", whole(0, 2_000_000), 2000, "calls",
        "How many example calls the sandbox holds.",
    )  # fmt: skip
    sandbox_seed: int = _setting(
        "GATEWAY_SANDBOX_SEED", whole(0, 999_999_999), 1, "number",
        "The number from which the example calls are made; the same number, the same calls.",
    )  # fmt: skip

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Reads the table from the environment; a name that is set to nothing counts as not set.

        Raises SettingsError, which names the setting, where a value cannot be used or where a
        credential is incomplete. The value of a secret is never repeated.
        """
        given = {}
        for row in fields(cls):
            value = environment.get(row.metadata["name"], "").strip()
            if value:
                given[row.name] = _parse(row.metadata, value)
        return cls(**given)

    def __post_init__(self) -> None:
        if (self.api_key is None) != (self.api_secret is None):
            missing = "TWILIO_API_SECRET" if self.api_secret is None else "TWILIO_API_KEY"
            raise SettingsError(f"{missing}: is missing; the key and its secret go together")
        if self.account_sid and not (self.auth_token or self.api_key):
            raise SettingsError(
                "TWILIO_AUTH_TOKEN: is missing for TWILIO_ACCOUNT_SID "
                "(or set TWILIO_API_KEY and TWILIO_API_SECRET)"
            )
        if not self.account_sid and (self.auth_token or self.api_key):
            raise SettingsError("TWILIO_ACCOUNT_SID: is missing for the credential that is set")

    @property
    def shows_page(self) -> bool:
        """True when browsers get the GraphiQL page."""
        return self.environment is Environment.DEVELOPMENT

    @property
    def callback_url(self) -> str | None:
        """Where Twilio reaches this gateway, if it does: without a path of ours."""
        return self.webhook_url or self.public_url

    @property
    def uses_sandbox(self) -> bool:
        """True when no credential is set: the embedded sandbox answers instead of Twilio."""
        return self.account_sid is None


def _parse(metadata: Mapping[str, Any], value: str) -> Any:
    try:
        return metadata["parse"](value)
    except ValueError as error:
        raise SettingsError(f"{metadata['name']}: {error}") from None


def settings_table() -> str:
    """The table as Markdown, for docs/settings.md."""
    lines = ["| setting | default | unit | meaning |", "|---|---|---|---|"]
    for row in fields(Settings):
        default = "" if row.default is None else f"`{row.default}`"
        unit = row.metadata["unit"].replace("|", ", ")
        lines.append(
            f"| `{row.metadata['name']}` | {default} | {unit} | {row.metadata['meaning']} |"
        )
    return "\n".join(lines) + "\n"
