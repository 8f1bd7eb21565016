"""Settings of the way in: where it listens, who may ask, what calls back.

This module must not know what a setting is used for beyond its meaning.
"""

from dataclasses import dataclass

from gateway.settings.values import (
    AccessMode,
    Environment,
    LogLevel,
    Secret,
    Switch,
    addresses,
    delay,
    key,
    key_url,
    one_of,
    origins,
    scope_words,
    seconds,
    secrets,
    setting,
    store_url,
    text,
    url,
    whole,
)

__all__ = ["ServingSettings"]


@dataclass(frozen=True, kw_only=True)
class ServingSettings:
    """The address, callers, connections, webhooks and live updates."""

    host: str = setting(
        "GATEWAY_HOST", text, "127.0.0.1", "address",
        "The address that the gateway listens on, where no service manager hands it a socket.",
    )  # fmt: skip
    port: int = setting(
        "GATEWAY_PORT", whole(0, 65535), 8000, "port",
        "The port that the gateway listens on; 0 takes a free one.",
    )  # fmt: skip
    workers: int = setting(
        "GATEWAY_WORKERS", whole(1, 64), 1, "processes",
        "How many processes serve. They share one sandbox and, without GATEWAY_STORE_URL, one "
        "store in the memory of their parent.",
    )  # fmt: skip
    public_url: str | None = setting(
        "GATEWAY_PUBLIC_URL", url, None, "URL",
        "The URL under which people reach the gateway when it is not host and port (a proxy); "
        "printed at start.",
    )  # fmt: skip
    environment: Environment = setting(
        "GATEWAY_ENV", one_of(Environment), Environment.DEVELOPMENT, "development|production",
        "In production there is no GraphiQL page, and errors do not suggest the schema's names.",
    )  # fmt: skip
    access: AccessMode = setting(
        "GATEWAY_ACCESS", one_of(AccessMode), AccessMode.NONE, "none|token|jwt|passthrough",
        "Who may ask: anyone, holders of a token, of a signed JWT, or of a Twilio credential of "
        "their own (docs/access.md).",
    )  # fmt: skip
    allow_anyone: Switch = setting(
        "GATEWAY_ALLOW_ANYONE", one_of(Switch), Switch.OFF, "on|off",
        "Also starts where GATEWAY_ACCESS is none, the address is not this machine's own and the "
        "account is a real one: whoever reaches the gateway reads its calls. And lets "
        "GATEWAY_ALLOWED_ORIGINS be *.",
    )  # fmt: skip
    tokens_file: str | None = setting(
        "GATEWAY_TOKENS_FILE", text, None, "path",
        "token: the file of `name scopes sha256` lines that `gateway token` makes.",
    )  # fmt: skip
    jwt_jwks_url: str | None = setting(
        "GATEWAY_JWT_JWKS_URL", key_url, None, "URL", "jwt: where the provider's key set is."
    )
    jwt_key_file: str | None = setting(
        "GATEWAY_JWT_KEY_FILE", text, None, "path",
        "jwt: a public key in PEM, in place of a key set.",
    )  # fmt: skip
    jwt_issuer: str | None = setting(
        "GATEWAY_JWT_ISSUER", text, None, "text", "jwt: the `iss` that a token must have."
    )
    jwt_audience: str | None = setting(
        "GATEWAY_JWT_AUDIENCE", text, None, "text", "jwt: the `aud` that a token must have."
    )
    jwt_leeway: float = setting(
        "GATEWAY_JWT_LEEWAY", delay, 30.0, "seconds",
        "jwt: how far the provider's clock may differ from this machine's.",
    )  # fmt: skip
    jwt_scope_claim: str = setting(
        "GATEWAY_JWT_SCOPE_CLAIM", text, "scope", "text",
        "jwt: the claim that holds scopes, as a list or a text with spaces.",
    )  # fmt: skip
    jwt_scopes: str = setting(
        "GATEWAY_JWT_SCOPES", scope_words, "read=read,call=call,pii=pii", "pairs",
        "jwt: what the claim's words grant, as calls.read=read,calls.personal=pii.",
    )  # fmt: skip
    passthrough_clients: int = setting(
        "GATEWAY_PASSTHROUGH_CLIENTS", whole(1, 1000), 100, "clients",
        "passthrough: for how many Twilio credentials connections are kept.",
    )  # fmt: skip
    rate_limit: int = setting(
        "GATEWAY_RATE_LIMIT", whole(1, 100_000), 200, "requests/second",
        "How many requests a second one caller may go on sending (each process counts); more are "
        "answered 429, RATE_LIMITED.",
    )  # fmt: skip
    rate_burst: int = setting(
        "GATEWAY_RATE_BURST", whole(1, 1_000_000), 2000, "requests",
        "How many requests a caller who has rested may send at once.",
    )  # fmt: skip
    trusted_proxies: str | None = setting(
        "GATEWAY_TRUSTED_PROXIES", addresses, None, "addresses",
        "Whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses or networks with "
        "commas between, or unix for whoever comes by a unix socket; nobody's where it is not set.",
    )  # fmt: skip
    request_timeout: float = setting(
        "GATEWAY_REQUEST_TIMEOUT", seconds, 20.0, "seconds",
        "The time in which a client must have sent a whole request, or have read 64 KB of an "
        "answer (or all), before its connection is closed.",
    )  # fmt: skip
    keep_alive: float = setting(
        "GATEWAY_KEEP_ALIVE", seconds, 20.0, "seconds",
        "How long a connection may rest between requests. A proxy in front must close sooner.",
    )  # fmt: skip
    max_connections: int = setting(
        "GATEWAY_MAX_CONNECTIONS", whole(1, 100_000), 4000, "connections",
        "How many clients a process serves at once; more are answered 503. Fewer where the "
        "machine allows fewer open files.",
    )  # fmt: skip
    drain_delay: float = setting(
        "GATEWAY_DRAIN_DELAY", delay, 0.0, "seconds",
        "How long connections are still taken after SIGTERM, while /readyz says no: above the "
        "interval at which a load balancer asks it.",
    )  # fmt: skip
    drain_timeout: float = setting(
        "GATEWAY_DRAIN_TIMEOUT", seconds, 15.0, "seconds",
        "How long requests in flight may take to finish after that, before they are cut off.",
    )  # fmt: skip
    log_level: LogLevel = setting(
        "GATEWAY_LOG_LEVEL", one_of(LogLevel), LogLevel.INFO, "debug|info|warning|error",
        "How much is logged, on standard error. Never a secret, never a phone number.",
    )  # fmt: skip
    webhook_url: str | None = setting(
        "GATEWAY_WEBHOOK_URL", url, None, "URL",
        "The URL under which Twilio reaches this gateway's webhooks, when it is not "
        "GATEWAY_PUBLIC_URL. Signatures are checked against it; makeCall sends it along.",
    )  # fmt: skip
    webhook_auth_tokens: tuple[Secret, ...] | None = setting(
        "GATEWAY_WEBHOOK_AUTH_TOKENS", secrets, None, "secrets, by comma",
        "Further auth tokens that webhooks may be signed with: while one is replaced, or where "
        "TWILIO_AUTH_TOKEN, which always counts, is not set: an API key or a main account signs "
        "no webhook of the account's.",
    )  # fmt: skip
    webhook_shared_keys: tuple[Secret, ...] | None = setting(
        "GATEWAY_WEBHOOK_SHARED_KEYS", secrets, None, "secrets, by comma",
        "Shared keys that webhooks may be signed with by HMAC-SHA256, where the account uses them.",
    )  # fmt: skip
    webhook_rate: int = setting(
        "GATEWAY_WEBHOOK_RATE", whole(1, 100_000), 500, "webhooks a second",
        "How many callbacks of the account one process takes in a second. Those above it get 429, "
        "which Twilio does not repeat; what Twilio did not sign gets 403 and does not count.",
    )  # fmt: skip
    store_url: Secret | None = setting(
        "GATEWAY_STORE_URL", store_url, None, "URL",
        "The Valkey or Redis (valkey://, redis://, rediss://) through which several gateways share "
        "live calls and idempotency keys. Without it each gateway keeps its own, in memory.",
    )  # fmt: skip
    max_subscribers: int = setting(
        "GATEWAY_MAX_SUBSCRIBERS", whole(0, 1_000_000), 5000, "subscriptions",
        "How many subscriptions one process serves at once; more end with TOO_MANY_SUBSCRIBERS.",
    )  # fmt: skip
    allowed_origins: tuple[str, ...] | None = setting(
        "GATEWAY_ALLOWED_ORIGINS", origins, None, "origins",
        "Other origins whose pages may ask from a browser, with commas between: "
        "https://example.com, https://*.example.com (one label), capacitor://localhost. * is all "
        "of them; it needs GATEWAY_ALLOW_ANYONE=on or a GATEWAY_ACCESS. The gateway's own (the "
        "request's Host, and GATEWAY_PUBLIC_URL) always may.",
    )  # fmt: skip
    cursor_secret: Secret | None = setting(
        "GATEWAY_CURSOR_SECRET", key, None, "secret",
        "What cursors are signed with, in place of the account's own secret: with it they outlive "
        "a change of that. The same for all gateways of an account; 16 characters at least.",
    )  # fmt: skip
