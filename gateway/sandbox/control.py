"""The control API for tests: reset, rows, clock, traffic and request log, below ``/sandbox``.

It is off by default, requires the account's credentials, and is no part of Twilio's API. Requests
and responses are JSON; instants are seconds since 1970, UTC.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.context import SandboxContext
from gateway.sandbox.errors import TwilioError
from gateway.sandbox.resources import CallRow, NotificationRow, RecordingRow, Row
from gateway.sandbox.seed import example_rows
from gateway.sandbox.service import Sandbox
from gateway.sandbox.traffic import FaultInjector, LoggedRequest, Rules

PREFIX = "/sandbox/"

B = TypeVar("B", bound=msgspec.Struct)
Endpoint = Callable[[Request], Awaitable[Response]]


class Reset(msgspec.Struct, forbid_unknown_fields=True):
    """Example calls to start over with; None means the value of the configuration."""

    calls: int | None = None
    seed: int | None = None


class LoadRows(msgspec.Struct, forbid_unknown_fields=True):
    """Rows to insert, as the store keeps them; a row with an existing SID replaces that row."""

    calls: list[CallRow] = []
    recordings: list[RecordingRow] = []
    notifications: list[NotificationRow] = []


class ClockChange(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A step in seconds and a new speed; a response has only ``now``, the current time."""

    step: float = 0.0
    speed: float | None = None
    now: float | None = None


class Log(msgspec.Struct):
    """The requests below the accounts, oldest first."""

    requests: list[LoggedRequest]


def rules_of(config: SandboxConfig) -> Rules:
    """The initial traffic rules of a sandbox."""
    return Rules(
        concurrency=config.concurrency,
        latency=config.latency,
        latency_per_row=config.latency_per_row,
        latency_jitter=config.latency_jitter,
    )


def routes(sandbox: Sandbox, traffic: FaultInjector) -> list[Route]:
    """The routes of the control API."""

    async def reset(request: Request) -> Response:
        options = await _body(request, Reset)
        await sandbox.run(lambda context: _reset(context, sandbox.config, options))
        traffic.rules = rules_of(sandbox.config)
        traffic.log.clear()
        return Response(status_code=204)

    async def rows(request: Request) -> Response:
        body = await _body(request, LoadRows)
        await sandbox.run(lambda context: _put(context, body))
        return Response(status_code=204)

    async def clock(request: Request) -> Response:
        if request.method == "POST":
            change = await _body(request, ClockChange)
            if change.speed is not None:
                await sandbox.set_speed(change.speed)
            await sandbox.step(change.step)
        now = await sandbox.run(lambda context: context.now)
        return _json(ClockChange(now=now))

    async def rules(request: Request) -> Response:
        if request.method == "PUT":
            traffic.rules = await _body(request, Rules)
        return _json(traffic.rules)

    async def log(request: Request) -> Response:
        response = _json(Log(list(traffic.log)))
        if request.method == "DELETE":
            traffic.log.clear()
        return response

    return [
        Route(PREFIX + "reset", reset, methods=["POST"]),
        Route(PREFIX + "rows", rows, methods=["POST"]),
        Route(PREFIX + "clock", clock, methods=["GET", "POST"]),
        Route(PREFIX + "traffic", rules, methods=["GET", "PUT"]),
        Route(PREFIX + "requests", log, methods=["GET", "DELETE"]),
    ]


async def _body(request: Request, body_type: type[B]) -> B:
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=body_type)
    except msgspec.MsgspecError as error:
        raise TwilioError(400, None, str(error)) from None


def _json(body: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


def _reset(context: SandboxContext, config: SandboxConfig, options: Reset) -> None:
    context.store.clear()
    context.simulator.reset()
    calls = config.calls if options.calls is None else options.calls
    seed = config.seed if options.seed is None else options.seed
    context.store.add(example_rows(calls, seed, int(context.now)))


def _put(context: SandboxContext, body: LoadRows) -> None:
    rows: list[Row] = [*body.calls, *body.recordings, *body.notifications]
    for row in rows:
        if context.store.get(type(row), row.sid) is None:
            context.store.add([row])
        else:
            context.store.update(row)
