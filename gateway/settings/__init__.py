"""Every setting, default and limit, in one frozen table.

The environment first, then the default. docs/settings.md prints this table and a test holds the
two equal. This module must not know what a setting is used for beyond its meaning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from gateway.settings.document_limits import DocumentSettings
from gateway.settings.serving import ServingSettings
from gateway.settings.upstream import UpstreamSettings
from gateway.settings.values import (
    UNIX_PEER,
    UNIX_SOCKET,
    AccessMode,
    Environment,
    LogLevel,
    PlannerMode,
    Secret,
    Switch,
    is_loopback,
    is_own_machine,
)

__all__ = [
    "UNIX_PEER",
    "UNIX_SOCKET",
    "AccessMode",
    "Environment",
    "LogLevel",
    "PlannerMode",
    "Secret",
    "Settings",
    "SettingsError",
    "Switch",
    "is_loopback",
    "settings_table",
]


class SettingsError(Exception):
    """A setting that cannot be used; the message names it. It ends the program with one line."""


@dataclass(frozen=True, kw_only=True)
class Settings(DocumentSettings, ServingSettings, UpstreamSettings):
    """What the operator decided. Made once, at start, by `from_environment`."""

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
        is_open = self.access is AccessMode.NONE and self.allow_anyone is Switch.OFF
        if is_open and "*" in (self.allowed_origins or ()):
            raise SettingsError(
                "GATEWAY_ALLOWED_ORIGINS: must not be * (everybody's pages) where GATEWAY_ACCESS "
                "is none, unless GATEWAY_ALLOW_ANYONE=on says that anyone may ask"
            )

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

    def require_access_control(self) -> None:
        """Raises SettingsError where anyone on the network could read a real account's calls.

        `host` must be the address that is really listened on.
        """
        is_open = self.access is AccessMode.NONE and self.allow_anyone is Switch.OFF
        if is_open and self.account_sid and not is_own_machine(self.host):
            raise SettingsError(
                f"GATEWAY_ACCESS: is none, so whoever reaches {self.host} could read the calls of "
                "the account; choose token, jwt or passthrough, or set GATEWAY_ALLOW_ANYONE=on"
            )

    @property
    def shows_page(self) -> bool:
        """True when browsers get the GraphiQL page."""
        return self.environment is Environment.DEVELOPMENT

    @property
    def shows_schema(self) -> bool:
        """True when the schema may be asked for."""
        if self.introspection is None:
            return self.environment is Environment.DEVELOPMENT
        return self.introspection is Switch.ON

    @property
    def callback_url(self) -> str | None:
        """Where Twilio reaches this gateway, if it does: without a path of ours."""
        return self.webhook_url or self.public_url

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
