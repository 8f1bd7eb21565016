"""The routes of the seed document over one sandbox. Knows HTTP, but no SQL and no properties."""

import base64
import binascii
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.sandbox import control, reading, writing
from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.context import SandboxContext
from gateway.sandbox.errors import (
    TwilioError,
    internal,
    method_not_allowed,
    not_found,
    unauthorized,
)
from gateway.sandbox.formats import BY_SUFFIX, Document
from gateway.sandbox.forms import Form
from gateway.sandbox.reading import ParsedRequest, ResourceView
from gateway.sandbox.rendering import UriContext
from gateway.sandbox.resources import Row
from gateway.sandbox.service import Sandbox
from gateway.sandbox.traffic import FaultInjector, TrafficMiddleware, error_response

ACCOUNTS = "/2010-04-01/Accounts/"
SUFFIX = "{suffix:suffix}"
_GUARDED = (ACCOUNTS, control.PREFIX)
DEFAULT = SandboxConfig()

R = TypeVar("R", bound=Row)
Handler = Callable[[SandboxContext, ParsedRequest], Document | None]
Endpoint = Callable[[Request], Awaitable[Response]]


class _Name(Convertor[str]):
    """A path segment up to its suffix."""

    regex = "[^/.]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _Suffix(_Name):
    """The suffix that selects the response format."""

    regex = r"(?:\.json|\.xml|\.csv)?"


register_url_convertor("name", _Name())
register_url_convertor("suffix", _Suffix())


def create_app(config: SandboxConfig = DEFAULT) -> Starlette:
    """The sandbox as an app. It is cheap to create; the first request seeds it in a worker thread.

    ``app.state.sandbox`` is the account behind it. Whoever runs the app without its lifespan
    calls ``app.state.sandbox.aclose()`` at the end.
    """
    sandbox = Sandbox(config)
    traffic = FaultInjector(control.rules_of(config), config.seed)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            await sandbox.run(lambda context: None)
            yield
        finally:
            await sandbox.aclose()

    routes = _routes(sandbox)
    if config.control:
        routes += control.routes(sandbox, traffic)
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(TrafficMiddleware, traffic=traffic, below=ACCOUNTS),
            Middleware(_Credentials, config=config),
        ],
        exception_handlers={
            TwilioError: _twilio_error,
            HTTPException: _routing_error,
            Exception: _internal_error,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.sandbox = sandbox
    app.state.traffic = traffic
    return app


def _routes(sandbox: Sandbox) -> list[Route]:
    account = ACCOUNTS + "{account_sid:name}"
    call = account + "/Calls/{call_sid:name}"
    by_sid = "/{sid:name}"
    writing_routes: list[tuple[str, str, Handler, int]] = [
        ("POST", account + "/Calls", writing.make_call, 201),
        ("POST", account + "/Calls" + by_sid, writing.modify_call, 200),
        ("POST", call + "/Recordings", writing.start_recording, 201),
        ("POST", call + "/Recordings" + by_sid, writing.modify_recording, 200),
        ("DELETE", call + "/Recordings" + by_sid, writing.delete_recording, 204),
        ("DELETE", account + "/Recordings" + by_sid, writing.delete_recording, 204),
    ]
    return [
        *_read_routes(sandbox, account + "/Calls", reading.CALLS),
        *_read_routes(sandbox, account + "/Recordings", reading.RECORDINGS),
        *_read_routes(sandbox, account + "/Notifications", reading.NOTIFICATIONS),
        *_read_routes(sandbox, call + "/Recordings", reading.CALL_RECORDINGS),
        *_read_routes(sandbox, call + "/Notifications", reading.NOTIFICATIONS),
        *(
            Route(path + SUFFIX, _endpoint(sandbox, handler, status), methods=[method])
            for method, path, handler, status in writing_routes
        ),
    ]


def _read_routes(sandbox: Sandbox, path: str, resource: ResourceView[R]) -> list[Route]:
    def list_rows(context: SandboxContext, parsed: ParsedRequest) -> Document:
        return reading.listing(resource, context.store, parsed)

    def fetch_row(context: SandboxContext, parsed: ParsedRequest) -> Document:
        return reading.instance(resource, context.store, parsed)

    return [
        Route(path + SUFFIX, _endpoint(sandbox, list_rows, 200)),
        Route(path + "/{sid:name}" + SUFFIX, _endpoint(sandbox, fetch_row, 200)),
    ]


def _endpoint(sandbox: Sandbox, handler: Handler, status: int) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        parsed = _parse(request, await _form(request))
        if parsed.uris.account_sid != sandbox.config.account_sid:
            raise not_found(parsed.path)
        format_ = BY_SUFFIX[request.path_params["suffix"]]

        def answer(context: SandboxContext) -> tuple[bytes, int]:
            document = handler(context, parsed)
            return (format_.write(document), document.rows) if document else (b"", 0)

        body, request.state.rows = await sandbox.run(answer)
        return Response(body, status, media_type=format_.media_type if body else None)

    return endpoint


def _parse(request: Request, form: Form) -> ParsedRequest:
    names = request.path_params
    suffix = BY_SUFFIX[names["suffix"]].suffix
    uris = UriContext(names["account_sid"], suffix, names.get("call_sid"))
    return ParsedRequest(request.url.path, uris, names.get("sid"), dict(request.query_params), form)


async def _form(request: Request) -> Form:
    """The parameters of a form-encoded body; any other body has none."""
    form: dict[str, list[str]] = {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and kind == "application/x-www-form-urlencoded":
        text = (await request.body()).decode("utf-8", "replace")
        for name, value in parse_qsl(text, keep_blank_values=True):
            form.setdefault(name, []).append(value)
    return form


async def _twilio_error(request: Request, error: Any) -> Response:
    return error_response(request.url.path, error)


async def _routing_error(request: Request, error: Any) -> Response:
    path = request.url.path
    if error.status_code == 405:
        return error_response(path, method_not_allowed(error.headers))
    return error_response(path, not_found(path))


async def _internal_error(request: Request, _: Exception) -> Response:
    return error_response(request.url.path, internal())


class _Credentials:
    """Requires HTTP Basic credentials on all guarded paths.

    See docs/twilio.md#2-urls-formats-authentication.
    """

    def __init__(self, app: ASGIApp, config: SandboxConfig) -> None:
        self._app = app
        pairs = [(config.account_sid, config.auth_token), (config.api_key, config.api_secret)]
        self._accepted = [f"{user}:{word}".encode() for user, word in pairs if user and word]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_GUARDED):
            request = Request(scope)
            if not self._accepts(request.headers.get("authorization", "")):
                await error_response(scope["path"], unauthorized())(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _accepts(self, header: str) -> bool:
        scheme, _, encoded = header.partition(" ")
        try:
            credentials = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        matches = [hmac.compare_digest(credentials, accepted) for accepted in self._accepted]
        return scheme.lower() == "basic" and any(matches)
