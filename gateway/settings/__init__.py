"""Every setting, default and limit, in one frozen table.

The environment first, then the default. docs/settings.md prints this table and a test holds the
two equal. This module must not know what a setting is used for beyond its meaning.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gateway.settings.values import (
    AccessMode,
    Environment,
    LogLevel,
    PlannerMode,
    Secret,
    Switch,
    addresses,
    delay,
    is_loopback,
    key_url,
    one_of,
    scope_words,
    seconds,
    sid,
    text,
    url,
    whole,
)

__all__ = [
    "AccessMode",
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
    access: AccessMode = _setting(
        "GATEWAY_ACCESS", one_of(AccessMode), AccessMode.NONE, "none|token|jwt|passthrough",
        "Who may ask: anyone, holders of a token, of a signed JWT, or of a Twilio credential of "
        "their own (docs/access.md).",
    )  # fmt: skip
    allow_anyone: Switch = _setting(
        "GATEWAY_ALLOW_ANYONE", one_of(Switch), Switch.OFF, "on|off",
        "Also starts where GATEWAY_ACCESS is none, the address is not this machine's own and the "
        "account is a real one: whoever reaches the gateway reads its calls.",
    )  # fmt: skip
    tokens_file: str | None = _setting(
        "GATEWAY_TOKENS_FILE", text, None, "path",
        "token: the file of `name scopes sha256` lines that `gateway token` makes.",
    )  # fmt: skip
    jwt_jwks_url: str | None = _setting(
        "GATEWAY_JWT_JWKS_URL", key_url, None, "URL", "jwt: where the provider's key set is."
    )
    jwt_key_file: str | None = _setting(
        "GATEWAY_JWT_KEY_FILE", text, None, "path",
        "jwt: a public key in PEM, in place of a key set.",
    )  # fmt: skip
    jwt_issuer: str | None = _setting(
        "GATEWAY_JWT_ISSUER", text, None, "text", "jwt: the `iss` that a token must have."
    )
    jwt_audience: str | None = _setting(
        "GATEWAY_JWT_AUDIENCE", text, None, "text", "jwt: the `aud` that a token must have."
    )
    jwt_leeway: float = _setting(
        "GATEWAY_JWT_LEEWAY", delay, 30.0, "seconds",
        "jwt: how far the provider's clock may differ from this machine's.",
    )  # fmt: skip
    jwt_scope_claim: str = _setting(
        "GATEWAY_JWT_SCOPE_CLAIM", text, "scope", "text",
        "jwt: the claim that holds scopes, as a list or a text with spaces.",
    )  # fmt: skip
    jwt_scopes: str = _setting(
        "GATEWAY_JWT_SCOPES", scope_words, "read=read,call=call,pii=pii", "pairs",
        "jwt: what the claim's words grant, as calls.read=read,calls.personal=pii.",
    )  # fmt: skip
    passthrough_clients: int = _setting(
        "GATEWAY_PASSTHROUGH_CLIENTS", whole(1, 1000), 100, "clients",
        "passthrough: for how many Twilio credentials connections are kept.",
    )  # fmt: skip
    rate_limit: int = _setting(
        "GATEWAY_RATE_LIMIT", whole(1, 100_000), 200, "requests/second",
        "How many requests a second one caller may go on sending (each process counts); more are "
        "answered 429, RATE_LIMITED.",
    )  # fmt: skip
    rate_burst: int = _setting(
        "GATEWAY_RATE_BURST", whole(1, 1_000_000), 2000, "requests",
        "How many requests a caller who has rested may send at once.",
    )  # fmt: skip
    trusted_proxies: str | None = _setting(
        "GATEWAY_TRUSTED_PROXIES", addresses, None, "addresses",
        "Whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses or networks with "
        "commas between; nobody's where it is not set.",
    )  # fmt: skip
    request_timeout: float = _setting(
        "GATEWAY_REQUEST_TIMEOUT", seconds, 20.0, "seconds",
        "The time in which a client must have sent a whole request, or have read 64 KB of an "
        "answer (or all), before its connection is closed.",
    )  # fmt: skip
    keep_alive: float = _setting(
        "GATEWAY_KEEP_ALIVE", seconds, 20.0, "seconds",
        "How long a connection may rest between requests. A proxy in front must close sooner.",
    )  # fmt: skip
    max_connections: int = _setting(
        "GATEWAY_MAX_CONNECTIONS", whole(1, 100_000), 4000, "connections",
        "How many clients a process serves at once; more are answered 503. Fewer where the "
        "machine allows fewer open files.",
    )  # fmt: skip
    drain_delay: float = _setting(
        "GATEWAY_DRAIN_DELAY", delay, 0.0, "seconds",
        "How long connections are still taken after SIGTERM, while /readyz says no: above the "
        "interval at which a load balancer asks it.",
    )  # fmt: skip
    drain_timeout: float = _setting(
        "GATEWAY_DRAIN_TIMEOUT", seconds, 15.0, "seconds",
        "How long requests in flight may take to finish after that, before they are cut off.",
    )  # fmt: skip
    log_level: LogLevel = _setting(
        "GATEWAY_LOG_LEVEL", one_of(LogLevel), LogLevel.INFO, "debug|info|warning|error",
        "How much is logged, on standard error. Never a secret, never a phone number.",
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
        if self.access is AccessMode.TOKEN and not self.tokens_file:
            raise SettingsError("GATEWAY_TOKENS_FILE: is missing for GATEWAY_ACCESS=token")
        if self.access is AccessMode.JWT:
            self._check_jwt()

    def _check_jwt(self) -> None:
        if (self.jwt_jwks_url is None) == (self.jwt_key_file is None):
            raise SettingsError(
                "GATEWAY_JWT_JWKS_URL: is missing for GATEWAY_ACCESS=jwt "
                "(it or GATEWAY_JWT_KEY_FILE, not both)"
            )
        needed = {"GATEWAY_JWT_ISSUER": self.jwt_issuer, "GATEWAY_JWT_AUDIENCE": self.jwt_audience}
        for name, value in needed.items():
            if value is None:
                raise SettingsError(f"{name}: is missing for GATEWAY_ACCESS=jwt")

    def refuse_open_door(self) -> None:
        """Raises SettingsError where anyone on the network could read a real account's calls."""
        is_open = self.access is AccessMode.NONE and self.allow_anyone is Switch.OFF
        if is_open and self.account_sid and not is_loopback(self.host):
            raise SettingsError(
                f"GATEWAY_ACCESS: is none, so whoever reaches {self.host} could read the calls of "
                "the account; choose token, jwt or passthrough, or set GATEWAY_ALLOW_ANYONE=on"
            )

    @property
    def shows_page(self) -> bool:
        """True when browsers get the GraphiQL page."""
        return self.environment is Environment.DEVELOPMENT

    @property
    def uses_sandbox(self) -> bool:
        """True when no credential is set: the embedded sandbox answers instead of Twilio.

        In passthrough callers bring theirs, and Twilio answers.
        """
        return self.account_sid is None and self.access is not AccessMode.PASSTHROUGH


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
