"""Settings for tests, by the names of their variables in lower case and without the prefix."""

from dataclasses import fields, is_dataclass
from typing import Any

from gateway.settings import Settings

DEFAULTS: dict[str, Any] = {}
"""What this run of the tests sets unless a test does."""


def settings_of(**given: Any) -> Settings:
    """The defaults but for what is given, as `account_sid=...` for TWILIO_ACCOUNT_SID."""
    left = DEFAULTS | given
    made: Settings = _made(Settings, left)
    assert not left, f"no settings: {sorted(left)}"
    return made


def _made(group: Any, left: dict[str, Any]) -> Any:
    values = {}
    for row in fields(group):
        if isinstance(row.type, type) and is_dataclass(row.type):
            values[row.name] = _made(row.type, left)
            continue
        name = row.metadata["name"].partition("_")[2].lower()
        if name in left:
            values[row.name] = left.pop(name)
    return group(**values)
