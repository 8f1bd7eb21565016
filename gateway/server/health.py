"""Liveness and readiness probes for supervisors and load balancers."""

import asyncio
import logging
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.errors import UpstreamAuth, UpstreamError, UpstreamTimeout
from gateway.server.drain import is_draining
from gateway.server.factory import own_account
from gateway.server.operations import Gateway
from gateway.settings import Settings, SettingsError
from gateway.telemetry.records import log_exchange
from gateway.upstream.breaker import BreakerState
from gateway.upstream.calls import ListCalls
from gateway.upstream.client import LastRead, UpstreamClient

__all__ = ["check_credential", "healthz", "read_account", "readyz"]

log = logging.getLogger(__name__)

# Seconds. However often it is probed, readiness sends one upstream request in this time.
MAX_READ_AGE = 10.0
DRAINING = "DRAINING"
START_TIMEOUT = 5.0


async def healthz(request: Request) -> JSONResponse:
    """Liveness: the process responds. It says nothing about upstream's state.

    `sandbox` is true where the embedded sandbox answers, so that no telephone rings.
    """
    body: dict[str, Any] = {"status": "ok"}
    if request.app.state.gateway.settings.uses_sandbox:
        body["sandbox"] = True
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


async def readyz(request: Request) -> JSONResponse:
    """Readiness: the process has started and is not draining; else 503 with code DRAINING.

    It says nothing about upstream by default, since the gateway answers in part when upstream
    fails. `?upstream=1` adds the result of the last read of calls: 503 with the error's code if it
    failed. `breakers` lists the kinds of resource whose circuit breaker is not closed. A gateway
    without an account of its own reads nothing.
    """
    if is_draining(request.state):
        return _response(DRAINING)
    gateway: Gateway = request.app.state.gateway
    if request.query_params.get("upstream", "0") == "0" or not gateway.has_account:
        return _response(None)
    return _response(
        await _upstream_error_code(request.app.state, gateway), _open_breakers(gateway)
    )


async def _upstream_error_code(state: Any, gateway: Gateway) -> str | None:
    """The error code of the last read of calls; reads once if there was none for MAX_READ_AGE."""
    clock = asyncio.get_running_loop().time
    last_check: LastRead | None = getattr(state, "last_check", None)
    reads = [read for read in (last_check, gateway.client.last_read) if read is not None]
    newest = max(reads, key=lambda read: read.at, default=None)
    if newest is None or clock() - newest.at >= MAX_READ_AGE:
        code = await _probe(gateway.client, gateway.settings.operation.timeout)
        newest = state.last_check = LastRead(clock(), code)
    return newest.code


def _open_breakers(gateway: Gateway) -> dict[str, BreakerState]:
    breakers = gateway.client.breakers()
    return {kind: state for kind, state in breakers.items() if state is not BreakerState.CLOSED}


def _response(code: str | None, breakers: dict[str, BreakerState] | None = None) -> JSONResponse:
    body: dict[str, Any] = {"status": "ready"}
    if code is not None:
        body = {"status": "not ready", "code": code}
    if breakers:
        body["breakers"] = breakers
    return JSONResponse(
        body, status_code=200 if code is None else 503, headers={"Cache-Control": "no-store"}
    )


async def check_credential(settings: Settings) -> None:
    """Reads the account beside the start. Raises SettingsError if Twilio refuses the credential.

    It logs any other failure as a warning, since that may be over before the first query.
    """
    code = await read_account(settings)
    if code is not None:
        log.warning("the account cannot be read at start: %s", code)


async def read_account(settings: Settings) -> str | None:
    """Sends one request with the credential of the settings; the error's code if it fails.

    It sends none where there is no credential. Raises SettingsError if Twilio refuses it.
    """
    account = None if settings.uses_sandbox else own_account(settings)
    if account is None:
        return None
    client = UpstreamClient(account, settings.upstream, None, log_exchange)
    code = await _probe(client, START_TIMEOUT)
    await client.aclose()
    if code == UpstreamAuth.code:
        name = "TWILIO_API_SECRET" if settings.account.api_key else "TWILIO_AUTH_TOKEN"
        raise SettingsError(f"{name}: Twilio refuses this credential for {settings.account.sid}")
    return code


async def _probe(client: UpstreamClient, seconds: float) -> str | None:
    try:
        async with asyncio.timeout(seconds):
            await client.page(ListCalls(page_size=1))
    except TimeoutError:  # it may have waited for a slot
        return UpstreamTimeout.code
    except UpstreamError as error:
        return error.code
    return None
