"""The control surface for tests: reset, rows, clock, traffic and request log, below ``/sandbox``.

Only there when the sandbox is started with it, and only for those who know the credentials. It is
no part of Twilio's API. Bodies and answers are JSON; instants are seconds since 1970, UTC.
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
    """How many example calls to begin again with; none means as many as at the start."""

    calls: int | None = None
    seed: int | None = None


class LoadRows(msgspec.Struct, forbid_unknown_fields=True):
    """Rows to put in, as the store keeps them; one whose SID is there takes its place."""

    calls: list[CallRow] = []
    recordings: list[RecordingRow] = []
    notifications: list[NotificationRow] = []


class ClockChange(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A step forward and a new speed; in an answer, what the clock shows."""

    step: float = 0.0
    speed: float | None = None
    now: float | None = None


class Log(msgspec.Struct):
    """The requests below the accounts, oldest first."""

    requests: list[LoggedRequest]


def rules_of(config: SandboxConfig) -> Rules:
    """The traffic rules that a sandbox starts with."""
    return Rules(
        concurrency=config.concurrency,
        latency=config.latency,
        latency_per_row=config.latency_per_row,
        latency_jitter=config.latency_jitter,
    )


def routes(sandbox: Sandbox, traffic: FaultInjector) -> list[Route]:
    """The routes of the control surface."""

    async def reset(request: Request) -> Response:
        asked = await _body(request, Reset)
        await sandbox.run(lambda context: _reset(context, sandbox.config, asked))
        traffic.rules = rules_of(sandbox.config)
        traffic.log.clear()
        return Response(status_code=204)

    async def rows(request: Request) -> Response:
        given = await _body(request, LoadRows)
        await sandbox.run(lambda context: _put(context, given))
        return Response(status_code=204)

    async def clock(request: Request) -> Response:
        if request.method == "POST":
            asked = await _body(request, ClockChange)
            if asked.speed is not None:
                await sandbox.set_speed(asked.speed)
            await sandbox.step(asked.step)
        now = await sandbox.run(lambda context: context.now)
        return _json(ClockChange(now=now))

    async def rules(request: Request) -> Response:
        if request.method == "PUT":
            traffic.rules = await _body(request, Rules)
        return _json(traffic.rules)

    async def log(request: Request) -> Response:
        answer = _json(Log(list(traffic.log)))
        if request.method == "DELETE":
            traffic.log.clear()
        return answer

    return [
        Route(PREFIX + "reset", reset, methods=["POST"]),
        Route(PREFIX + "rows", rows, methods=["POST"]),
        Route(PREFIX + "clock", clock, methods=["GET", "POST"]),
        Route(PREFIX + "traffic", rules, methods=["GET", "PUT"]),
        Route(PREFIX + "requests", log, methods=["GET", "DELETE"]),
    ]


async def _body(request: Request, kind: type[B]) -> B:
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        raise TwilioError(400, None, str(error)) from None


def _json(answer: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _reset(context: SandboxContext, config: SandboxConfig, asked: Reset) -> None:
    context.store.clear()
    context.simulator.reset()
    calls = config.calls if asked.calls is None else asked.calls
    seed = config.seed if asked.seed is None else asked.seed
    context.store.add(example_rows(calls, seed, int(context.now)))


def _put(context: SandboxContext, given: LoadRows) -> None:
    rows: list[Row] = [*given.calls, *given.recordings, *given.notifications]
    for row in rows:
        if context.store.get(type(row), row.sid) is None:
            context.store.add([row])
        else:
            context.store.update(row)
