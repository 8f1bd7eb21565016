"""Settings of the server side: listening, access, webhooks and live updates.

This module must not know what a setting is used for beyond its meaning.
"""

from dataclasses import dataclass
from typing import Annotated

from gateway.settings.values import (
    AccessMode,
    CacheControl,
    Delay,
    KeyUrl,
    LogFormat,
    LogLevel,
    Networks,
    Origins,
    ScopePairs,
    Seconds,
    Secrets,
    StoreUrl,
    Switch,
    Url,
    between,
    setting,
)

__all__ = ["AccessSettings", "JwtSettings", "LiveSettings", "ServerSettings"]


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Server: address, processes, connections and logs."""

    host: str = setting(
        "GATEWAY_HOST", "127.0.0.1", "address",
        "The address to listen on, unless a service manager hands over a socket.",
    )  # fmt: skip
    port: Annotated[int, between(0, 65535)] = setting(
        "GATEWAY_PORT", 8000, "port",
        "The port to listen on; 0 takes a free one.",
    )  # fmt: skip
    public_url: Url | None = setting(
        "GATEWAY_PUBLIC_URL", None, "URL",
        "The URL under which clients and Twilio reach the gateway through a proxy.",
    )  # fmt: skip
    workers: Annotated[int, between(1, 64)] = setting(
        "GATEWAY_WORKERS", 1, "processes",
        "How many processes serve. They share one sandbox and, without GATEWAY_STORE_URL, one "
        "store in the memory of their parent.",
    )  # fmt: skip
    trusted_proxies: Networks | None = setting(
        "GATEWAY_TRUSTED_PROXIES", None, "addresses",
        "The proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted: addresses or "
        "networks with commas between, and unix for a proxy on a unix socket.",
    )  # fmt: skip
    allowed_origins: Origins | None = setting(
        "GATEWAY_ALLOWED_ORIGINS", None, "origins",
        "Further origins whose pages may send requests from a browser (CORS), with commas between: "
        "https://example.com, https://*.example.com (one label; two or more follow it), "
        "capacitor://localhost. * allows all of them and needs a GATEWAY_ACCESS or "
        "GATEWAY_ALLOW_ANYONE=on.",
    )  # fmt: skip
    max_connections: Annotated[int, between(1, 100_000)] = setting(
        "GATEWAY_MAX_CONNECTIONS", 4000, "connections",
        "How many client connections one process serves at once; further ones are answered 503. "
        "The limit of open files lowers it.",
    )  # fmt: skip
    request_timeout: Seconds = setting(
        "GATEWAY_REQUEST_TIMEOUT", 20.0, "seconds",
        "The longest time for a client to send a whole request, or to read 64 KB of the response, "
        "before its connection is closed.",
    )  # fmt: skip
    keep_alive_timeout: Seconds = setting(
        "GATEWAY_KEEP_ALIVE_TIMEOUT", 20.0, "seconds",
        "How long an idle connection is kept open. A proxy in front must close sooner.",
    )  # fmt: skip
    cache_control: CacheControl = setting(
        "GATEWAY_CACHE_CONTROL", CacheControl.OFF, "off|private|public",
        "Whether responses say for how long they may be reused: never, by the caller only, or by "
        "any cache in between (docs/caching.md).",
    )  # fmt: skip
    drain_delay: Delay = setting(
        "GATEWAY_DRAIN_DELAY", 0.0, "seconds",
        "How long the gateway still accepts connections after SIGTERM while /readyz fails. Longer "
        "than the interval of the load balancer's health checks.",
    )  # fmt: skip
    drain_timeout: Seconds = setting(
        "GATEWAY_DRAIN_TIMEOUT", 15.0, "seconds",
        "How long requests in flight may take to finish after that before they are cut off.",
    )  # fmt: skip
    log_level: LogLevel = setting(
        "GATEWAY_LOG_LEVEL", LogLevel.INFO, "debug|info|warning|error",
        "How much is logged to standard error. No level logs a secret or a phone number.",
    )  # fmt: skip
    log_format: LogFormat = setting(
        "GATEWAY_LOG_FORMAT", LogFormat.TEXT, "text|json",
        "How a log line is written: text with name=value, or one JSON object.",
    )  # fmt: skip
    metrics: Switch = setting(
        "GATEWAY_METRICS", Switch.OFF, "off|on",
        "Whether Prometheus metrics are served at /metrics of GATEWAY_METRICS_PORT.",
    )  # fmt: skip
    metrics_host: str = setting(
        "GATEWAY_METRICS_HOST", "127.0.0.1", "address",
        "The address at which metrics are served.",
    )  # fmt: skip
    metrics_port: Annotated[int, between(0, 65535)] = setting(
        "GATEWAY_METRICS_PORT", 9464, "port",
        "The port at which metrics are served; 0 takes a free one.",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class JwtSettings:
    """JWT: what a token must have where GATEWAY_ACCESS is jwt."""

    jwks_url: KeyUrl | None = setting(
        "GATEWAY_JWT_JWKS_URL", None, "URL",
        "The identity provider's key set.",
    )  # fmt: skip
    key_file: str | None = setting(
        "GATEWAY_JWT_KEY_FILE", None, "path",
        "A public key in PEM, instead of a key set.",
    )  # fmt: skip
    issuer: str | None = setting(
        "GATEWAY_JWT_ISSUER", None, "text",
        "The `iss` that a token must have.",
    )  # fmt: skip
    audience: str | None = setting(
        "GATEWAY_JWT_AUDIENCE", None, "text",
        "The `aud` that a token must have.",
    )  # fmt: skip
    leeway: Delay = setting(
        "GATEWAY_JWT_LEEWAY", 30.0, "seconds",
        "How far the identity provider's clock may differ from this machine's.",
    )  # fmt: skip
    scope_claim: str = setting(
        "GATEWAY_JWT_SCOPE_CLAIM", "scope", "text",
        "The claim that holds the scopes, as a list or as text with spaces between.",
    )  # fmt: skip
    scopes: ScopePairs = setting(
        "GATEWAY_JWT_SCOPES", "read=read,call=call,pii=pii", "pairs",
        "Which of the gateway's scopes each word of that claim grants, for example "
        "calls.read=read,calls.personal=pii.",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AccessSettings:
    """Access: who may send requests, and how many."""

    mode: AccessMode = setting(
        "GATEWAY_ACCESS", AccessMode.NONE, "none|token|jwt|passthrough",
        "Who may send requests: anyone, holders of a token, holders of a signed JWT, or holders of "
        "a Twilio credential of their own (docs/access.md).",
    )  # fmt: skip
    allow_anyone: Switch = setting(
        "GATEWAY_ALLOW_ANYONE", Switch.OFF, "on|off",
        "Allows GATEWAY_ACCESS=none with a real account on an address that other machines reach: "
        "everybody who reaches the gateway can read the account's calls.",
    )  # fmt: skip
    tokens_file: str | None = setting(
        "GATEWAY_TOKENS_FILE", None, "path",
        "For GATEWAY_ACCESS=token: the file of `name scopes sha256` lines that `gateway token` "
        "prints.",
    )  # fmt: skip
    passthrough_clients: Annotated[int, between(1, 1000)] = setting(
        "GATEWAY_PASSTHROUGH_CLIENTS", 100, "clients",
        "For GATEWAY_ACCESS=passthrough: for how many Twilio credentials connections are kept.",
    )  # fmt: skip
    rate_limit: Annotated[int, between(1, 100_000)] = setting(
        "GATEWAY_RATE_LIMIT", 200, "requests/second",
        "The rate at which one caller may send requests to one process, or to all gateways with "
        "the same GATEWAY_STORE_URL; further ones are answered 429, RATE_LIMITED.",
    )  # fmt: skip
    rate_burst: Annotated[int, between(1, 1_000_000)] = setting(
        "GATEWAY_RATE_BURST", 2000, "requests",
        "How many requests a caller may send at once after a pause.",
    )  # fmt: skip
    jwt: JwtSettings = JwtSettings()

    @property
    def is_open(self) -> bool:
        """True where anyone has access and nobody has said that this is meant."""
        return self.mode is AccessMode.NONE and self.allow_anyone is Switch.OFF


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """Live updates: webhooks, subscriptions, and the store that several gateways share."""

    webhook_url: Url | None = setting(
        "GATEWAY_WEBHOOK_URL", None, "URL",
        "The URL under which Twilio reaches the gateway's webhooks, where it is not "
        "GATEWAY_PUBLIC_URL. makeCall passes it on, and signatures are checked against it.",
    )  # fmt: skip
    webhook_auth_tokens: Secrets | None = setting(
        "GATEWAY_WEBHOOK_AUTH_TOKENS", None, "secrets, by comma",
        "Further auth tokens that may sign webhooks, besides TWILIO_AUTH_TOKEN: while it is "
        "replaced, or where an API key or a main account's credential is set instead of it.",
    )  # fmt: skip
    webhook_shared_keys: Secrets | None = setting(
        "GATEWAY_WEBHOOK_SHARED_KEYS", None, "secrets, by comma",
        "Shared keys that may sign webhooks (HMAC-SHA256), where the account uses them.",
    )  # fmt: skip
    webhook_rate_limit: Annotated[int, between(1, 100_000)] = setting(
        "GATEWAY_WEBHOOK_RATE_LIMIT", 500, "webhooks/second",
        "The rate at which one process accepts signed webhooks of the account; further ones are "
        "answered 429, and Twilio does not repeat them.",
    )  # fmt: skip
    store_url: StoreUrl | None = setting(
        "GATEWAY_STORE_URL", None, "secret URL",
        "The Valkey or Redis (valkey://, redis://, rediss://) through which several gateways share "
        "live calls, idempotency keys, the requests that run at once and their callers' rates. "
        "Without it each gateway keeps its own in memory.",
    )  # fmt: skip
    max_subscribers: Annotated[int, between(0, 1_000_000)] = setting(
        "GATEWAY_MAX_SUBSCRIBERS", 5000, "subscriptions",
        "How many subscriptions one process serves at once; further ones end with "
        "TOO_MANY_SUBSCRIBERS.",
    )  # fmt: skip
