"""Twilio's webhooks: what is genuine and new is published to the store, and answered at once.

An answer is 204 for all that is genuine, news or not; a refusal says why in a line. This module
must not know who is told, nor what a status means.

Note [Checked in this order]. A request without a signature is refused before its body is read. Of
the others MAX_BODIES are read at once: one more takes the place of the one that has been read for
longest, so that bodies which never come keep nobody out. Then the signature: whatever it does not
hold for is 403, and nothing of it is looked at. What is signed must name a call. Then the memory of
signatures, which drops replays and Twilio's own repeats; headers are not signed, so none of them is
a key. The rate comes last: it counts news of this gateway's own account only, because Twilio does
not repeat a callback that was refused.
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
    REMEMBERED,
    STATUS_PATH,
    call_event,
    is_too_old,
    recorded_call,
    recording_event,
)
from gateway.server.operations import Gateway
from gateway.server.webhook_keys import webhook_keys
from gateway.settings import Settings
from gateway.upstream.decoding import mended

__all__ = ["webhook_routes"]

log = logging.getLogger(__name__)

MAX_BODIES = 100
MAX_BODY = 64 * 1024
MAX_PARAMETERS = 200
BODY_TIMEOUT = 10.0
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
LOG_LINES_PER_SECOND = 1
"""Lines in the log about webhooks that are not signed."""
Parameters = Mapping[str, str]
EventFactory = Callable[[Store], CallStatusEvent | None]
Parse = Callable[[Parameters, datetime], EventFactory]


class RequestRejected(Exception):
    """A request that is no webhook of Twilio's, or one too many; `status` says in which way."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def webhook_routes(settings: Settings) -> list[Route]:
    """The two webhooks of a gateway."""
    webhooks = Webhooks(settings)
    return [
        Route(STATUS_PATH, webhooks.endpoint(_parse_status), methods=["POST"]),
        Route(RECORDING_PATH, webhooks.endpoint(_parse_recording), methods=["POST"]),
    ]


class Webhooks:
    """What every webhook passes. See Note [Checked in this order]."""

    def __init__(self, settings: Settings) -> None:
        self._keys = webhook_keys(settings)
        self._base_url = settings.callback_url
        rate = settings.live.webhook_rate_limit
        self._limiter = RateLimiter(rate, rate)
        self._log_limiter = RateLimiter(LOG_LINES_PER_SECOND, LOG_LINES_PER_SECOND)
        self._bodies = BodyReader(MAX_BODIES)

    def endpoint(self, read: Parse) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint; `read` says what a webhook's parameters are news of, or raises."""

        async def respond(request: Request) -> Response:
            try:
                await self._accept(request, read)
                return Response(status_code=204)
            except RequestRejected as refusal:
                return PlainTextResponse(str(refusal), refusal.status, _HEADERS)
            except RateLimited:
                return PlainTextResponse("Too many webhooks at once", 429, _HEADERS)
            except BadUserInput as error:
                return PlainTextResponse(str(error), 400, _HEADERS)
            except ClientDisconnect:
                return Response(status_code=499)

        return respond

    async def _accept(self, request: Request, read: Parse) -> None:
        """See Note [Checked in this order]."""
        parameters, signature = await self._verified(request)
        now = datetime.now(UTC)
        make_event = read(parameters, now)
        gateway: Gateway = request.app.state.gateway
        store = gateway.own.store
        is_own_account = parameters.get("AccountSid") == gateway.client.account_sid
        if is_too_old(parameters, now) or not is_own_account:
            return
        if await store.remember(signature, REMEMBERED.total_seconds()):
            self._limiter.take("webhooks")
            event = make_event(store)
            if event is not None:
                await store.publish(event)

    async def _verified(self, request: Request) -> tuple[Parameters, str]:
        """What Twilio signed, and the signature. Raises Refused."""
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
        """The URL that Twilio called: below the base that it knows, exactly as requested."""
        base = self._base_url or str(request.base_url).rstrip("/")
        path, query = (str(request.scope[part], "latin-1") for part in ("raw_path", "query_string"))
        return base + path + (f"?{query}" if query else "")

    def _not_signed(self) -> RequestRejected:
        with suppress(RateLimited):
            self._log_limiter.take("not signed")
            log.warning("webhooks come that are not signed by a key that is known here")
        return RequestRejected(403, "The signature is not of a key that is known here")


class BodyReader:
    """Reads bodies, `most` at once. See Note [Checked in this order]."""

    def __init__(self, max_bodies: int) -> None:
        self._max_bodies = max_bodies
        self._reading: dict[asyncio.Timeout, None] = {}

    async def read(self, request: Request) -> bytes:
        """The whole body. Raises Refused where it is too large or does not come in time."""
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
            raise RequestRejected(408, "The webhook did not arrive whole in time") from None


_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def _parse_status(parameters: Parameters, now: datetime) -> EventFactory:
    event = call_event(parameters, now)
    return lambda _: event


def _parse_recording(parameters: Parameters, now: datetime) -> EventFactory:
    call_sid = recorded_call(parameters)
    return lambda store: recording_event(parameters, store.state(call_sid), now)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise RequestRejected(413, f"A webhook is larger than {MAX_BODY} bytes")
    return bytes(body)


def _form(body: bytes) -> Form | None:
    """The parameters; None where there are too many, so that nothing can be signed of it."""
    errors = "surrogateescape"
    text = body.decode("utf-8", errors)
    try:
        return tuple(parse_qsl(text, True, max_num_fields=MAX_PARAMETERS, errors=errors))
    except ValueError:
        return None


def _parameters(signed: SignedRequest) -> Parameters:
    """For those who read them: U+FFFD stands for what cannot be read."""
    if signed.form is not None:
        return {_readable(name): _readable(value) for name, value in signed.form}
    try:
        given = msgspec.json.decode(mended(signed.body), type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        raise RequestRejected(400, "The webhook's body is not a JSON object") from None
    return {name: str(value) for name, value in given.items() if isinstance(value, str | int)}


def _readable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
