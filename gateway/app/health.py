"""Liveness and readiness, for whatever keeps the process running and sends it traffic."""

import asyncio
import logging
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.app.drain import is_draining
from gateway.app.gateway import Gateway
from gateway.app.opening import open_gateway
from gateway.errors import UpstreamAuth, UpstreamError, UpstreamTimeout
from gateway.settings import Settings, SettingsError
from gateway.upstream.breaker import BreakerState
from gateway.upstream.requests import ListCalls

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
    """Readiness: upstream answers the smallest read, and the process is not about to end.

    503 names the error's code where not. Where only callers have accounts nothing can be read.
    `breakers` names the kinds of resource that upstream is not asked for at present: recordings
    that are down are no reason to send no traffic here.
    """
    if is_draining(request.state):
        return _answer(DRAINING)
    state = request.app.state
    checked_at, code = getattr(state, "readiness", (-READINESS_HOLDS, None))
    if time.monotonic() - checked_at >= READINESS_HOLDS:
        code = await _check(state.gateway, state.gateway.settings.operation_timeout)
        state.readiness = (time.monotonic(), code)
    return _answer(code, _troubled(state.gateway))


def _troubled(gateway: Gateway) -> dict[str, BreakerState]:
    breakers = gateway.client.breakers() if gateway.has_account else {}
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
    warning: it may be over before the first query, and readiness says no until then.
    """
    if settings.account_sid is None:
        return
    async with open_gateway(settings) as gateway:
        code = await _check(gateway, START_TIMEOUT)
    if code == UpstreamAuth.code:
        name = "TWILIO_API_SECRET" if settings.api_key else "TWILIO_AUTH_TOKEN"
        raise SettingsError(f"{name}: Twilio refuses this credential for {settings.account_sid}")
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
