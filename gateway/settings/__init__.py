"""Every setting, default and limit: one frozen table, in groups that are handed on as they are.

A setting is read from the environment, or from a file if it is a secret; else it has its default.
docs/settings.md prints these tables and a test holds the two equal. This module must not know what
a setting is used for beyond its meaning.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from gateway.settings.documents import DocumentSettings
from gateway.settings.names import (
    TOKEN_VARIABLE,
    URL_VARIABLE,
    own_variables,
    unknown_names,
)
from gateway.settings.serving import AccessSettings, JwtSettings, LiveSettings, ServerSettings
from gateway.settings.upstream import (
    AccountSettings,
    BreakerSettings,
    OperationSettings,
    SandboxSettings,
    UpstreamSettings,
)
from gateway.settings.values import (
    UNIX_PEER,
    UNIX_SOCKET,
    AccessMode,
    CacheControl,
    DocumentPolicy,
    Environment,
    LogFormat,
    LogLevel,
    PlannerMode,
    Secret,
    Switch,
    is_loopback,
    is_own_machine,
    is_secret,
    read_value,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "PRODUCTION",
    "RENAMED",
    "TOKEN_VARIABLE",
    "UNIX_PEER",
    "UNIX_SOCKET",
    "URL_VARIABLE",
    "AccessMode",
    "AccessSettings",
    "AccountSettings",
    "BreakerSettings",
    "CacheControl",
    "DocumentPolicy",
    "DocumentSettings",
    "Environment",
    "JwtSettings",
    "LiveSettings",
    "LogFormat",
    "LogLevel",
    "OperationSettings",
    "PlannerMode",
    "SandboxSettings",
    "Secret",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "Switch",
    "UpstreamSettings",
    "is_loopback",
    "is_secret",
    "settings_by_name",
    "settings_tables",
    "unknown_settings",
]

G = TypeVar("G", bound="DataclassInstance")

RENAMED = {
    "GATEWAY_TRY_TIMEOUT": "GATEWAY_ATTEMPT_TIMEOUT",
    "GATEWAY_TRIES": "GATEWAY_MAX_ATTEMPTS",
    "GATEWAY_RETRY_SHARE": "GATEWAY_RETRY_BUDGET_PERCENT",
    "GATEWAY_MAX_WAITING": "GATEWAY_MAX_QUEUED",
    "GATEWAY_BREAKER_SAMPLES": "GATEWAY_BREAKER_MIN_CALLS",
    "GATEWAY_BREAKER_FAILURES": "GATEWAY_BREAKER_FAILURE_RATE",
    "GATEWAY_BREAKER_PAUSE": "GATEWAY_BREAKER_OPEN_DURATION",
    "GATEWAY_BREAKER_PROBES": "GATEWAY_BREAKER_HALF_OPEN_CALLS",
    "GATEWAY_KEEP_ALIVE": "GATEWAY_KEEP_ALIVE_TIMEOUT",
    "GATEWAY_WEBHOOK_RATE": "GATEWAY_WEBHOOK_RATE_LIMIT",
}
"""Names of earlier versions, and today's: the gateway does not start with an old one."""

REDIS_PORT = 6379
PRODUCTION = (
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "GATEWAY_ENV",
    "GATEWAY_HOST",
    "GATEWAY_PUBLIC_URL",
    "GATEWAY_ACCESS",
    "GATEWAY_TOKENS_FILE",
    "GATEWAY_STORE_URL",
)
"""The eight settings that docs/settings.md begins with."""


class SettingsError(Exception):
    """A setting that cannot be used; the message names it. It ends the program with one line."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, in groups. Made once, at start, by `from_environment`."""

    account: AccountSettings = AccountSettings()
    server: ServerSettings = ServerSettings()
    access: AccessSettings = AccessSettings()
    live: LiveSettings = LiveSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    operation: OperationSettings = OperationSettings()
    documents: DocumentSettings = DocumentSettings()
    sandbox: SandboxSettings = SandboxSettings()

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], options: Mapping[str, str] | None = None
    ) -> "Settings":
        """Reads the settings from the environment; an empty variable counts as not set.

        `options` has values from the command line by the variables that they override. Variables
        that Kubernetes sets are ignored. A secret may stand in a file that `NAME_FILE` names.
        Raises SettingsError for a value that cannot be used, an incomplete credential, or a name
        of an earlier version. The error names the setting and never repeats its value.
        """
        given = own_variables(environment) | {**(options or {})}
        for old, new in RENAMED.items():
            if old in given:
                raise SettingsError(f"{old}: is called {new} now")
        return _read_group(cls, given)

    def __post_init__(self) -> None:
        account, access = self.account, self.access
        if (account.api_key is None) != (account.api_secret is None):
            missing = "TWILIO_API_SECRET" if account.api_secret is None else "TWILIO_API_KEY"
            raise SettingsError(f"{missing}: is missing; the key and its secret go together")
        if account.sid and not (account.auth_token or account.api_key):
            raise SettingsError(
                "TWILIO_AUTH_TOKEN: is missing for TWILIO_ACCOUNT_SID "
                "(or set TWILIO_API_KEY and TWILIO_API_SECRET)"
            )
        if not account.sid and (account.auth_token or account.api_key):
            raise SettingsError("TWILIO_ACCOUNT_SID: is missing for the credential that is set")
        if access.mode is AccessMode.TOKEN and not access.tokens_file:
            raise SettingsError("GATEWAY_TOKENS_FILE: is missing for GATEWAY_ACCESS=token")
        if access.mode is AccessMode.JWT:
            _check_jwt(access.jwt)
        _check_cache_store(self.live.store_url, self.upstream.cache_store_url)
        if self.server.cache_control is CacheControl.PUBLIC and access.mode is not AccessMode.NONE:
            raise SettingsError(
                "GATEWAY_CACHE_CONTROL: public is only for GATEWAY_ACCESS=none: a shared cache "
                "asks nobody for a credential"
            )
        if self.documents.policy is not DocumentPolicy.OFF and not self.documents.manifests:
            raise SettingsError(
                f"GATEWAY_DOCUMENTS_FILE: is missing for GATEWAY_DOCUMENTS={self.documents.policy}"
            )
        if access.is_open and "*" in (self.server.allowed_origins or ()):
            raise SettingsError(
                "GATEWAY_ALLOWED_ORIGINS: must not be * (every origin) where GATEWAY_ACCESS is "
                "none, unless GATEWAY_ALLOW_ANYONE=on is set"
            )

    def require_access_control(self) -> None:
        """Raises SettingsError where anyone on the network could read a real account's calls.

        `server.host` must be the actual listening address.
        """
        host = self.server.host
        if self.access.is_open and self.account.sid and not is_own_machine(host):
            raise SettingsError(
                f"GATEWAY_ACCESS: is none, so anyone who reaches {host} could read the calls of "
                "the account; choose token, jwt or passthrough, or set GATEWAY_ALLOW_ANYONE=on"
            )

    @property
    def callback_url(self) -> str | None:
        """The base URL under which Twilio reaches this gateway; None where it does not."""
        return self.live.webhook_url or self.server.public_url

    @property
    def uses_sandbox(self) -> bool:
        """True when no credential is set: the embedded sandbox replaces Twilio.

        In passthrough callers bring their own credentials, so Twilio is used.
        """
        return self.account.sid is None and self.access.mode is not AccessMode.PASSTHROUGH


def _check_jwt(jwt: JwtSettings) -> None:
    if (jwt.jwks_url is None) == (jwt.key_file is None):
        raise SettingsError(
            "GATEWAY_JWT_JWKS_URL: is missing for GATEWAY_ACCESS=jwt "
            "(it or GATEWAY_JWT_KEY_FILE, not both)"
        )
    for name, value in {
        "GATEWAY_JWT_ISSUER": jwt.issuer,
        "GATEWAY_JWT_AUDIENCE": jwt.audience,
    }.items():
        if value is None:
            raise SettingsError(f"{name}: is missing for GATEWAY_ACCESS=jwt")


def _check_cache_store(store: Secret | None, cache_store: Secret | None) -> None:
    if store and cache_store and _server_of(store) == _server_of(cache_store):
        raise SettingsError(
            "GATEWAY_CACHE_STORE_URL: must be another server than that of GATEWAY_STORE_URL: a "
            "cache may evict, and a server evicts idempotency keys, too"
        )


def _server_of(url: Secret) -> tuple[str | None, int]:
    parts = urlsplit(url.reveal())
    return parts.hostname, parts.port or REDIS_PORT


def _read_group(group: type[G], given: Mapping[str, str]) -> G:
    values: dict[str, Any] = {}
    for row in fields(group):
        if isinstance(row.type, type) and is_dataclass(row.type):
            values[row.name] = _read_group(row.type, given)
        elif found := _lookup(row.metadata["name"], row.type, given):
            values[row.name] = _read(*found, row.type)
    return group(**values)


def _read(name: str, text: str, kind: Any) -> Any:
    try:
        return read_value(kind, text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None


def _lookup(name: str, kind: Any, given: Mapping[str, str]) -> tuple[str, str] | None:
    """The variable that is set, and its text; of a secret that may be NAME_FILE."""
    text, file = given.get(name), f"{name}_FILE"
    if not is_secret(kind) or file not in given:
        return (name, text) if text else None
    if text:
        raise SettingsError(f"{file}: must not be set together with {name}")
    return file, _content(file, given[file])


def _content(name: str, path: str) -> str:
    """The text of a secret's file. The path is not repeated: it may be the secret, by mistake."""
    try:
        content = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{name}: the file cannot be read: {error.strerror}") from None
    except ValueError:
        raise SettingsError(f"{name}: the file is not text in UTF-8") from None
    if not content:
        raise SettingsError(f"{name}: the file is empty")
    return content


def settings_by_name() -> dict[str, Field[Any]]:
    """Every setting by the name of its variable, with its default, unit and meaning."""
    return {row.metadata["name"]: row for group in _groups() for row in _settings_in(group)}


def unknown_settings(environment: Mapping[str, str]) -> list[str]:
    """A line for each GATEWAY_… variable that is set and is no setting."""
    every = settings_by_name()
    files = {f"{name}_FILE" for name, row in every.items() if is_secret(row.type)}
    unknown = unknown_names(own_variables(environment), {*every, *files, *RENAMED})
    return [
        f"{name}: is no setting" + (f"; did you mean {near}?" if near else "")
        for name, near in unknown.items()
    ]


def settings_tables() -> str:
    """The tables as Markdown, for docs/settings.md: the eight of production, then each group."""
    every = settings_by_name()
    sections = [
        "## The eight you need in production\n\n" + _table(every[name] for name in PRODUCTION)
    ]
    for group in _groups():
        title, words = (group.__doc__ or "").split(": ", 1)
        words = f"{words[0].upper()}{words[1:]}"
        sections.append(f"## {title}\n\n{words}\n\n" + _table(_settings_in(group)))
    return "\n".join(sections)


def _groups(group: type[Any] = Settings) -> Iterator[type[Any]]:
    """The groups in the order of their fields; one within another follows it."""
    for row in fields(group):
        if isinstance(row.type, type) and is_dataclass(row.type):
            yield row.type
            yield from _groups(row.type)


def _settings_in(group: type[Any]) -> list[Field[Any]]:
    """The settings of a group, without those of groups within it."""
    return [row for row in fields(group) if "name" in row.metadata]


def _table(rows: Iterable[Field[Any]]) -> str:
    lines = ["| setting | default | unit | meaning |", "|---|---|---|---|"]
    for row in rows:
        default = "" if row.default is None else f"`{row.default}`"
        unit = row.metadata["unit"].replace("|", ", ")
        lines.append(
            f"| `{row.metadata['name']}` | {default} | {unit} | {row.metadata['meaning']} |"
        )
    return "\n".join(lines) + "\n"
