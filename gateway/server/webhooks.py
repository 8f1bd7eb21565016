"""Twilio's webhooks: verifies each one, publishes new events to the store, and responds at once.

The response is 204 for every genuine webhook, new or not; a refusal gives its reason in one line.
This module must not know the subscribers, nor the meaning of a status.

Note [Checked in this order]. A request without a signature is refused before its body is read. At
most MAX_BODIES others are read at once: one more aborts the oldest, so that bodies which never
arrive block nobody. Then the signature: an invalid one is 403, and nothing of the request is used.
A signed webhook must name a call. Then the replay cache, which drops replays and Twilio's own
retries; its key is the signature, because headers are not signed. The rate limit comes last: it
counts only new events of the gateway's own account, because Twilio does not retry a refused
callback.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.access.rate_limit import RateLimiter
from gateway.errors import BadUserInput, RateLimited
from gateway.live.events import CallStatusEvent
from gateway.live.signature import Form, SignedRequest, is_genuine
from gateway.live.store import Store
from gateway.live.webhook_events import (
    RECORDING_PATH,
    REPLAY_WINDOW,
    STATUS_PATH,
    call_event,
    is_too_old,
    recorded_call_sid,
    recording_event,
)
from gateway.server.operations import Gateway
from gateway.server.webhook_keys import webhook_keys
from gateway.settings import Settings
from gateway.telemetry.hooks import WebhookResult
from gateway.upstream.decoding import repaired

__all__ = ["webhook_routes"]

log = logging.getLogger(__name__)

MAX_BODIES = 100
MAX_BODY = 64 * 1024
MAX_PARAMETERS = 200
BODY_TIMEOUT = 10.0
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
LOG_LINES_PER_SECOND = 1
"""Log lines per second about webhooks without a valid signature."""
Parameters = Mapping[str, str]
EventFactory = Callable[[Store], CallStatusEvent | None]
Parse = Callable[[Parameters, datetime], EventFactory]


class RequestRejected(Exception):
    """The request is rejected with this HTTP status: it is no valid webhook of Twilio's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def webhook_routes(settings: Settings) -> list[Route]:
    """The routes of the two webhooks: call status and recording status."""
    webhooks = Webhooks(settings)
    return [
        Route(STATUS_PATH, webhooks.endpoint(_parse_status), methods=["POST"]),
        Route(RECORDING_PATH, webhooks.endpoint(_parse_recording), methods=["POST"]),
    ]


class Webhooks:
    """The checks of every webhook. See Note [Checked in this order]."""

    def __init__(self, settings: Settings) -> None:
        self._keys = webhook_keys(settings)
        self._base_url = settings.callback_url
        rate = settings.live.webhook_rate_limit
        self._limiter = RateLimiter(rate, rate)
        self._log_limiter = RateLimiter(LOG_LINES_PER_SECOND, LOG_LINES_PER_SECOND)
        self._bodies = BodyReader(MAX_BODIES)

    def endpoint(self, parse: Parse) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint. `parse` turns a webhook's parameters into its event's factory, or raises."""

        async def respond(request: Request) -> Response:
            result, response = await self._responded(request, parse)
            gateway: Gateway = request.app.state.gateway
            gateway.telemetry.on_webhook(result)
            return response

        return respond

    async def _responded(self, request: Request, parse: Parse) -> tuple[WebhookResult, Response]:
        try:
            return await self._accept(request, parse), Response(status_code=204)
        except RequestRejected as error:
            result = WebhookResult.FORGED if error.status == 403 else WebhookResult.INVALID
            return result, PlainTextResponse(str(error), error.status, _HEADERS)
        except RateLimited:
            text = "Too many webhooks at once"
            return WebhookResult.LIMITED, PlainTextResponse(text, 429, _HEADERS)
        except BadUserInput as error:
            return WebhookResult.INVALID, PlainTextResponse(str(error), 400, _HEADERS)
        except ClientDisconnect:
            return WebhookResult.INVALID, Response(status_code=499)

    async def _accept(self, request: Request, parse: Parse) -> WebhookResult:
        """See Note [Checked in this order]."""
        parameters, signature = await self._verified(request)
        now = datetime.now(UTC)
        make_event = parse(parameters, now)
        gateway: Gateway = request.app.state.gateway
        store = gateway.own.store
        if parameters.get("AccountSid") != gateway.client.account_sid:
            return WebhookResult.FOREIGN
        if is_too_old(parameters, now):
            return WebhookResult.LATE
        if not await store.add_if_new(signature, REPLAY_WINDOW.total_seconds()):
            return WebhookResult.REPEATED
        self._limiter.take("webhooks")
        event = make_event(store)
        if event is not None:
            await store.publish(event)
        return WebhookResult.TAKEN

    async def _verified(self, request: Request) -> tuple[Parameters, str]:
        """The signed parameters and the signature. Raises RequestRejected."""
        signature = request.headers.get("x-twilio-signature")
        if not signature:
            raise self._not_signed()
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = await self._bodies.read(request)
        signed = SignedRequest(
            url=self._url(request),
            signature=signature,
            body=body,
            form=_form(body) if media_type == FORM else None,
            settings=request.headers.get("x-twilio-webhooks-signature-settings", ""),
        )
        if not is_genuine(signed, self._keys):
            raise self._not_signed()
        if media_type not in {FORM, JSON}:
            raise RequestRejected(415, f"A webhook is {FORM} or {JSON}")
        return _parameters(signed), signature

    def _url(self, request: Request) -> str:
        """The URL that Twilio called: the base URL, then path and query exactly as requested."""
        base = self._base_url or str(request.base_url).rstrip("/")
        path, query = (str(request.scope[part], "latin-1") for part in ("raw_path", "query_string"))
        return base + path + (f"?{query}" if query else "")

    def _not_signed(self) -> RequestRejected:
        with suppress(RateLimited):
            self._log_limiter.take("not signed")
            log.warning("webhooks arrive that are not signed by a key of this gateway")
        return RequestRejected(403, "The webhook is not signed by a known key")


class BodyReader:
    """Reads at most `max_bodies` bodies at once. See Note [Checked in this order]."""

    def __init__(self, max_bodies: int) -> None:
        self._max_bodies = max_bodies
        self._reading: dict[asyncio.Timeout, None] = {}

    async def read(self, request: Request) -> bytes:
        """The whole body. Raises RequestRejected if it is too large or too slow."""
        if len(self._reading) >= self._max_bodies:
            oldest = next(iter(self._reading))
            del self._reading[oldest]
            oldest.reschedule(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(BODY_TIMEOUT) as time:
                self._reading[time] = None
                try:
                    return await _body(request)
                finally:
                    self._reading.pop(time, None)
        except TimeoutError:
            raise RequestRejected(408, "The webhook's body did not arrive in time") from None


_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def _parse_status(parameters: Parameters, now: datetime) -> EventFactory:
    event = call_event(parameters, now)
    return lambda _: event


def _parse_recording(parameters: Parameters, now: datetime) -> EventFactory:
    call_sid = recorded_call_sid(parameters)
    return lambda store: recording_event(parameters, store.state(call_sid), now)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise RequestRejected(413, f"A webhook is larger than {MAX_BODY} bytes")
    return bytes(body)


def _form(body: bytes) -> Form | None:
    """The parameters, or None if there are too many, in which case no signature is valid."""
    errors = "surrogateescape"
    text = body.decode("utf-8", errors)
    try:
        return tuple(parse_qsl(text, True, max_num_fields=MAX_PARAMETERS, errors=errors))
    except ValueError:
        return None


def _parameters(signed: SignedRequest) -> Parameters:
    """The parameters as text; U+FFFD replaces bytes that are not UTF-8."""
    if signed.form is not None:
        return {_readable(name): _readable(value) for name, value in signed.form}
    try:
        fields = msgspec.json.decode(repaired(signed.body), type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        raise RequestRejected(400, "The webhook's body is not a JSON object") from None
    return {name: str(value) for name, value in fields.items() if isinstance(value, str | int)}


def _readable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
