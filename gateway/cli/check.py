"""What `gateway check` does: it prints the settings, then what credential and stores answer.

This module must not know what a setting means, nor how a request is sent.
"""

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from gateway.errors import StoreUnavailable
from gateway.server import check_access, read_account
from gateway.settings import Secret, Settings, SettingsError, is_secret
from gateway.telemetry.logs import configure_logging

__all__ = ["run"]

NOT_ASKED = "not asked (--offline)"


def run(settings: Settings, *, offline: bool) -> int:
    """Prints one line for each setting that has a value, and for each check; the exit code."""
    configure_logging(settings.server.log_level)
    print("\n".join(_lines(settings)))
    settings.require_access_control()
    asyncio.run(check_access(settings))
    problems = []
    for name, check in (("account", _account), ("store", _store), ("shared cache", _shared_cache)):
        try:
            print(f"{name}: {asyncio.run(check(settings, offline))}", flush=True)
        except SettingsError as error:
            problems.append(str(error))
    for problem in problems:
        print(f"gateway: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _lines(group: Any) -> Iterator[str]:
    """NAME=value for each setting, without secrets."""
    for row in fields(group):
        value = getattr(group, row.name)
        if is_dataclass(value):
            yield from _lines(value)
        elif value is not None:
            shown = "(secret)" if is_secret(row.type) else _text(value)
            default = "  # default" if value == row.default else ""
            yield f"{row.metadata['name']}={shown}{default}"


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


async def _account(settings: Settings, offline: bool) -> str:
    if settings.uses_sandbox:
        return "an embedded sandbox answers, because no TWILIO_ACCOUNT_SID is set"
    sid = settings.account.sid
    if sid is None:
        return "each caller's own"
    if offline:
        return NOT_ASKED
    code = await read_account(settings)
    if code is not None:
        raise SettingsError(
            f"account: {sid} cannot be read at {settings.upstream.base_url}: {code}"
        )
    return f"{sid} can be read"


async def _store(settings: Settings, offline: bool) -> str:
    url = settings.live.store_url
    if url is None:
        return "in memory, because no GATEWAY_STORE_URL is set"
    return NOT_ASKED if offline else await _ping("GATEWAY_STORE_URL", url)


async def _shared_cache(settings: Settings, offline: bool) -> str:
    url = settings.upstream.cache_store_url
    if url is None:
        return "none, because no GATEWAY_CACHE_STORE_URL is set"
    return NOT_ASKED if offline else await _ping("GATEWAY_CACHE_STORE_URL", url)


async def _ping(name: str, url: Secret) -> str:
    from gateway.live.valkey import ping  # its client takes 6 MB that others do not need

    try:
        await ping(url.reveal())
    except StoreUnavailable as error:
        raise SettingsError(f"{name}: {error}") from None
    return "answers"
