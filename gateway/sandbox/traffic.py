"""The middleware in front of the routes: headers, concurrency limit, latency, faults, request log.

Knows no resource and no row, and only the format of errors.
"""

import asyncio
import re
import time
import uuid
from collections import deque
from random import Random

import msgspec
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.sandbox.errors import TwilioError, too_many_requests
from gateway.sandbox.formats import Instance, split_suffix

LOG_SIZE = 10_000
"""The number of requests that the log keeps."""
_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag",
    "X-API-Domain": "api.twilio.com",
    "X-Home-Region": "us1",
    "X-Powered-By": "AT-5000",
    "X-Shenanigans": "none",
}


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A failure of the next ``times`` matching requests, after ``skip`` that succeed."""

    method: str | None = None
    path: str = ""
    """A regular expression that is searched in the path."""
    skip: int = 0
    """The number of matching requests that succeed first."""
    times: int = 1
    delay: float = 0.0
    """Seconds before the response; without another fault the request then succeeds."""
    status: int | None = None
    code: int | None = None
    message: str = "Injected fault"
    body: str | None = None
    """Sent unchanged instead of the error's body, with ``status`` or 200."""
    cut: bool = False
    """Whether the connection closes in the middle of the response."""

    def applies_to(self, method: str, path: str) -> bool:
        """Whether the fault applies to this request; a match decrements ``skip`` or ``times``."""
        if self.times <= 0 or self.method not in (None, method) or not re.search(self.path, path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class Rules(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The rules for the latency, the concurrency and the faults of requests."""

    concurrency: int | None = 100
    """Maximum concurrent requests; the rest are refused, not processed. None means no limit."""
    latency: float = 0.0
    """Seconds that every request takes."""
    latency_per_row: float = 0.0
    """Additional seconds for each row of a response."""
    latency_jitter: float = 0.0
    """Jitter as a fraction of the latency, from 0 to 1, in both directions."""
    faults: list[Fault] = []


class LoggedRequest(msgspec.Struct, frozen=True):
    """One request in the log."""

    request_id: str
    method: str
    path: str
    query: str
    status: int
    duration: float
    """Seconds."""


class FaultInjector:
    """The rules and the request log of one sandbox."""

    def __init__(self, rules: Rules, seed: int) -> None:
        self.rules = rules
        self.log: deque[LoggedRequest] = deque(maxlen=LOG_SIZE)
        self.in_flight = 0
        self._random = Random(seed)  # noqa: S311 - jitter is no secret

    def latency(self, rows: int) -> float:
        """Seconds that a response of so many rows takes, jitter included."""
        mean = self.rules.latency + self.rules.latency_per_row * rows
        jitter = self.rules.latency_jitter
        return mean * self._random.uniform(1 - jitter, 1 + jitter) if mean else 0.0

    async def delay(self, rows: int) -> None:
        """Sleeps for the latency of so many rows."""
        if seconds := self.latency(rows):
            await asyncio.sleep(seconds)

    def is_over_limit(self) -> bool:
        """Whether more requests are in flight than the limit allows."""
        limit = self.rules.concurrency
        return limit is not None and self.in_flight > limit

    def fault(self, method: str, path: str) -> Fault | None:
        """The first fault that applies to a request, if any."""
        return next((fault for fault in self.rules.faults if fault.applies_to(method, path)), None)


def error_response(path: str, error: TwilioError) -> Response:
    """An error in the format of the path's suffix."""
    format_ = split_suffix(path)[1]
    body = format_.write(Instance("RestException", error.body()))
    return Response(body, error.status, error.headers, media_type=format_.media_type)


class TrafficMiddleware:
    """Applies the rules to every request below a path, and logs it.

    An endpoint sets ``request.state.rows`` to the number of rows in its response.
    """

    def __init__(self, app: ASGIApp, traffic: FaultInjector, below: str) -> None:
        self._app, self._traffic, self._below = app, traffic, below

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(self._below):
            await self._app(scope, receive, send)
            return
        self._traffic.in_flight += 1
        try:
            await self._handle(scope, receive, send)
        finally:
            self._traffic.in_flight -= 1

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, request_id = time.perf_counter(), f"RQ{uuid.uuid4().hex}"
        in_flight = self._traffic.in_flight

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._traffic.delay(scope.get("state", {}).get("rows", 0))
                duration = time.perf_counter() - started
                self._log(scope, request_id, message["status"], duration)
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers["Twilio-Request-Id"] = request_id
                headers["Twilio-Request-Duration"] = f"{duration:.3f}"
                headers["Twilio-Concurrent-Requests"] = str(in_flight)
            await send(message)

        await self._answer(scope, receive, send_with_headers)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if self._traffic.is_over_limit():
            await error_response(path, too_many_requests())(scope, receive, send)
            return
        fault = self._traffic.fault(scope["method"], path)
        if fault is not None:
            await asyncio.sleep(fault.delay)
        if fault is None or not (fault.cut or fault.body is not None or fault.status):
            await self._app(scope, receive, send)
        elif fault.cut:
            await _cut_connection(send)
        else:
            await _fault_response(path, fault)(scope, receive, send)

    def _log(self, scope: Scope, request_id: str, status: int, duration: float) -> None:
        query = scope["query_string"].decode("latin-1")
        logged = LoggedRequest(request_id, scope["method"], scope["path"], query, status, duration)
        self._traffic.log.append(logged)


def _fault_response(path: str, fault: Fault) -> Response:
    if fault.body is not None:
        return Response(
            fault.body, fault.status or 200, media_type=split_suffix(path)[1].media_type
        )
    return error_response(path, TwilioError(fault.status or 500, fault.code, fault.message))


async def _cut_connection(send: Send) -> None:
    """Ends the body before its announced length, so that the server closes the connection."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"calls": [', "more_body": True})
