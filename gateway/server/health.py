"""Liveness and readiness, for whatever keeps the process running and sends it traffic."""

import asyncio
import logging
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.errors import UpstreamAuth, UpstreamError, UpstreamTimeout
from gateway.server.drain import is_draining
from gateway.server.factory import open_gateway
from gateway.server.operations import Gateway
from gateway.settings import Settings, SettingsError
from gateway.upstream.breaker import BreakerState
from gateway.upstream.calls import ListCalls
from gateway.upstream.client import LastRead

__all__ = ["check_credential", "healthz", "readyz"]

log = logging.getLogger(__name__)

# A probe every second costs one upstream request in this many seconds.
READINESS_HOLDS = 10.0
DRAINING = "DRAINING"
START_TIMEOUT = 5.0


async def healthz(_request: Request) -> JSONResponse:
    """Liveness: the process answers. It says nothing about upstream."""
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


async def readyz(request: Request) -> JSONResponse:
    """Readiness: the process has started and is not about to end; 503, DRAINING, where it is.

    It says nothing about upstream, whose failures are answered in part: `?upstream=1` adds how the
    last read of calls ended. 503 names its error's code. `breakers` names the kinds of resource
    that upstream is not asked for at present. Where only callers have accounts nothing can be read.
    """
    if is_draining(request.state):
        return _answer(DRAINING)
    gateway: Gateway = request.app.state.gateway
    if request.query_params.get("upstream", "0") == "0" or not gateway.has_account:
        return _answer(None)
    return _answer(await _how_upstream_is(request.app.state, gateway), _troubled(gateway))


async def _how_upstream_is(state: Any, gateway: Gateway) -> str | None:
    """By the gateway's own reads; by one of ours where there was none for a while."""
    clock = asyncio.get_running_loop().time
    checked: LastRead | None = getattr(state, "checked", None)
    reads = [read for read in (checked, gateway.client.last_read) if read is not None]
    newest = max(reads, key=lambda read: read.at, default=None)
    if newest is None or clock() - newest.at >= READINESS_HOLDS:
        code = await _check(gateway, gateway.settings.operation.timeout)
        newest = state.checked = LastRead(clock(), code)
    return newest.code


def _troubled(gateway: Gateway) -> dict[str, BreakerState]:
    breakers = gateway.client.breakers()
    return {kind: how for kind, how in breakers.items() if how is not BreakerState.CLOSED}


def _answer(code: str | None, troubled: dict[str, BreakerState] | None = None) -> JSONResponse:
    body: dict[str, Any] = {"status": "ready"}
    if code is not None:
        body = {"status": "not ready", "code": code}
    if troubled:
        body["breakers"] = troubled
    return JSONResponse(
        body, status_code=200 if code is None else 503, headers={"Cache-Control": "no-store"}
    )


async def check_credential(settings: Settings) -> None:
    """Asks the account of the settings once, before anything is served.

    Raises SettingsError where Twilio refuses the credential. Whatever else goes wrong is a
    warning: it may be over before the first query.
    """
    if settings.account.sid is None:
        return
    async with open_gateway(settings) as gateway:
        code = await _check(gateway, START_TIMEOUT)
    if code == UpstreamAuth.code:
        name = "TWILIO_API_SECRET" if settings.account.api_key else "TWILIO_AUTH_TOKEN"
        raise SettingsError(f"{name}: Twilio refuses this credential for {settings.account.sid}")
    if code is not None:
        log.warning("the account cannot be read at start: %s", code)


async def _check(gateway: Gateway, seconds: float) -> str | None:
    if not gateway.has_account:
        return None
    try:
        async with asyncio.timeout(seconds):
            await gateway.client.page(ListCalls(page_size=1))
    except TimeoutError:  # it may have waited for its turn
        return UpstreamTimeout.code
    except UpstreamError as error:
        return error.code
    return None
