"""Liveness and readiness, for whatever keeps the process running and sends it traffic."""

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.app.gateway import Gateway
from gateway.errors import UpstreamError, UpstreamTimeout
from gateway.upstream.breaker import BreakerState
from gateway.upstream.requests import ListCalls

__all__ = ["healthz", "readyz"]

# A probe every second costs one upstream request in this many seconds.
READINESS_HOLDS = 10.0


async def healthz(_request: Request) -> JSONResponse:
    """Liveness: the process answers. It says nothing about upstream."""
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


async def readyz(request: Request) -> JSONResponse:
    """Readiness: upstream answers the smallest read. 503 names the error's code where not.

    `breakers` names the kinds of resource that upstream is not asked for at present: recordings
    that are down are no reason to send no traffic here.
    """
    state = request.app.state
    checked_at, code = getattr(state, "readiness", (-READINESS_HOLDS, None))
    if time.monotonic() - checked_at >= READINESS_HOLDS:
        code = await _check(state.gateway)
        state.readiness = (time.monotonic(), code)
    body: dict[str, Any] = {"status": "ready"}
    if code is not None:
        body = {"status": "not ready", "code": code}
    breakers = state.gateway.client.breakers()
    troubled = {kind: how for kind, how in breakers.items() if how is not BreakerState.CLOSED}
    if troubled:
        body["breakers"] = troubled
    return JSONResponse(
        body, status_code=200 if code is None else 503, headers={"Cache-Control": "no-store"}
    )


async def _check(gateway: Gateway) -> str | None:
    try:
        async with asyncio.timeout(gateway.settings.operation_timeout):
            await gateway.client.page(ListCalls(page_size=1))
    except TimeoutError:  # it may have waited for its turn
        return UpstreamTimeout.code
    except UpstreamError as error:
        return error.code
    return None
