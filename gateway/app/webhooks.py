"""Twilio's webhooks: what is genuine and new is published to the store, and answered at once.

An answer is 204 for all that is genuine, news or not; a refusal says why in a line. This module
must not know who is told, nor what a status means.

Note [Checked in this order]. Rate, size and form first: they cost next to nothing. Then the
signature: nothing of an unsigned request is read or kept. Then the memory of signatures, which
drops replays and Twilio's own repeats; headers are not signed, so none of them is a key.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.access.rate import RateLimiter
from gateway.app.callbacks import webhook_keys
from gateway.app.gateway import Gateway
from gateway.errors import BadUserInput, RateLimited
from gateway.live.callbacks import (
    RECORDING_PATH,
    REMEMBERED,
    STATUS_PATH,
    call_notice,
    is_too_old,
    recording_notice,
)
from gateway.live.signature import SignedRequest, is_genuine
from gateway.live.store import Store
from gateway.settings import Settings

__all__ = ["webhook_routes"]

log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
MAX_PARAMETERS = 200
BODY_SECONDS = 10.0
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
Parameters = Mapping[str, str]
Tell = Callable[[Store, Parameters, datetime], Awaitable[None]]


class Refused(Exception):
    """A request that is no webhook of Twilio's, or one too many; `status` says in which way."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def webhook_routes(settings: Settings) -> list[Route]:
    """The two webhooks of a gateway."""
    webhooks = Webhooks(settings)
    return [
        Route(STATUS_PATH, webhooks.endpoint(STATUS_PATH, _tell_status), methods=["POST"]),
        Route(RECORDING_PATH, webhooks.endpoint(RECORDING_PATH, _tell_recording), methods=["POST"]),
    ]


class Webhooks:
    """What every webhook passes. See Note [Checked in this order]."""

    def __init__(self, settings: Settings) -> None:
        self._keys = webhook_keys(settings)
        self._base_url = settings.callback_url
        self._limiter = RateLimiter(settings.webhook_rate, settings.webhook_rate)

    def endpoint(self, path: str, tell: Tell) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint at a path; `tell` publishes what a webhook says."""

        async def respond(request: Request) -> Response:
            try:
                await self._take(request, path, tell)
                return Response(status_code=204)
            except Refused as refusal:
                return PlainTextResponse(str(refusal), refusal.status, _HEADERS)
            except RateLimited:
                return PlainTextResponse("Too many webhooks at once", 429, _HEADERS)
            except BadUserInput as error:
                return PlainTextResponse(str(error), 400, _HEADERS)
            except ClientDisconnect:
                return Response(status_code=499)

        return respond

    async def _take(self, request: Request, path: str, tell: Tell) -> None:
        self._limiter.take("webhooks")
        signed = await self._signed(request, path)
        if not is_genuine(signed, self._keys):
            log.warning("a webhook at %s is not signed by a key that is known here", path)
            raise Refused(403, "The signature is not of a key that is known here")
        gateway: Gateway = request.app.state.gateway
        now = datetime.now(UTC)
        parameters = _parameters(signed)
        if is_too_old(parameters, now):
            return
        if await gateway.own.store.remember(signed.signature, REMEMBERED.total_seconds()):
            is_ours = parameters.get("AccountSid") == gateway.client.account_sid
            if is_ours:
                await tell(gateway.own.store, parameters, now)

    async def _signed(self, request: Request, path: str) -> SignedRequest:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in {FORM, JSON}:
            raise Refused(415, f"A webhook is {FORM} or {JSON}")
        body = await _body(request)
        query = request.scope["query_string"].decode("latin-1")
        base = self._base_url or str(request.base_url).rstrip("/")
        return SignedRequest(
            url=base + path + (f"?{query}" if query else ""),
            signature=request.headers.get("x-twilio-signature", ""),
            body=body,
            form=_form(body) if kind == FORM else None,
            settings=request.headers.get("x-twilio-webhooks-signature-settings", ""),
        )


_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


async def _tell_status(store: Store, parameters: Parameters, now: datetime) -> None:
    await store.publish(call_notice(parameters, now))


async def _tell_recording(store: Store, parameters: Parameters, now: datetime) -> None:
    state = store.state(parameters.get("CallSid", ""))
    notice = recording_notice(parameters, state, now)
    if notice is not None:
        await store.publish(notice)


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise Refused(413, f"A webhook is larger than {MAX_BODY} bytes")
    except TimeoutError:
        raise Refused(408, "The webhook did not arrive whole in time") from None
    return bytes(body)


def _form(body: bytes) -> tuple[tuple[str, str], ...]:
    try:
        text = body.decode("ascii")
        return tuple(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PARAMETERS))
    except ValueError:
        raise Refused(400, "The webhook's form cannot be read") from None


def _parameters(signed: SignedRequest) -> Parameters:
    if signed.form is not None:
        return dict(signed.form)
    try:
        given = msgspec.json.decode(signed.body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, "The webhook's body is not a JSON object") from None
    return {name: str(value) for name, value in given.items() if isinstance(value, str | int)}
