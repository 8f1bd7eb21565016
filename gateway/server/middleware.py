"""Middleware for every response: security headers, compression, JSON errors, trailing slashes.

This module must not know the content of responses, nor the routes.
"""

import asyncio
import gzip
import logging
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import GatewayError
from gateway.server.accept import accepts_gzip

__all__ = [
    "Compression",
    "ErrorsAsJson",
    "SecurityHeadersMiddleware",
    "TrailingSlash",
    "compressed",
    "internal_error",
]


log = logging.getLogger(__name__)

ACCEPT_ENCODING = "accept-encoding"
# Bytes. Compression gains nothing for a response that fits into one packet.
MIN_COMPRESSED_SIZE = 1024
MIN_SIZE_FOR_THREAD = 128 * 1024
# 380 KB of calls become 75 KB in 4 ms; level 9 makes 70 KB of them in 29 ms.
COMPRESSION_LEVEL = 5
# A response that needs another value (the page, its files) sets it itself.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class SecurityHeadersMiddleware:
    """Outermost ASGI middleware: adds the security headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        is_http = scope["type"] == "http"
        await self._app(scope, receive, send_with_headers if is_http else send)


class Compression:
    """ASGI middleware: compresses large responses for clients that accept gzip, except events.

    Starlette and the page's files only search Accept-Encoding for the word gzip. So this parses
    the whole header (`gzip;q=0`, `*`) and replaces it with the result.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = GZipMiddleware(
            app, minimum_size=MIN_COMPRESSED_SIZE, compresslevel=COMPRESSION_LEVEL
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            accepted = ",".join(Headers(scope=scope).getlist(ACCEPT_ENCODING))
            coding = b"gzip" if accepts_gzip(accepted) else b"identity"
            others = [pair for pair in scope["headers"] if pair[0] != ACCEPT_ENCODING.encode()]
            scope = {**scope, "headers": [*others, (ACCEPT_ENCODING.encode(), coding)]}
        await self._app(scope, receive, send)


class ErrorsAsJson:
    """ASGI middleware inside the others, so that error responses get the same headers.

    It also responds to requests that the server cancels after GATEWAY_DRAIN_TIMEOUT.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_started = False

        async def send_and_record(message: Message) -> None:
            nonlocal is_started
            is_started = is_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_and_record)
        except Exception:
            if is_started:
                raise
            log.exception("internal error at %s", scope["method"])
            await JSONResponse(internal_error("Internal error"), 500)(scope, receive, send)
        except asyncio.CancelledError:
            if not is_started:
                response = JSONResponse(internal_error("Cancelled: the gateway ends"), 500)
                await response(scope, receive, send)
            raise


class TrailingSlash:
    """ASGI middleware: removes a trailing slash from the path.

    Frameworks redirect instead, to a URL made from the connection: behind a proxy that terminates
    TLS that would be http. `raw_path` stays as requested.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        path: str = scope.get("path", "")
        if path.endswith("/") and path != "/":
            scope["path"] = path.removesuffix("/")
        await self._app(scope, receive, send)


def internal_error(message: str) -> dict[str, Any]:
    """The body of a response to a fault of the gateway itself."""
    return {"errors": [{"message": message, "extensions": {"code": GatewayError.code}}]}


async def compressed(body: bytes) -> bytes:
    """The body as gzip. A large one is compressed in a thread: it would block the event loop."""
    if len(body) < MIN_SIZE_FOR_THREAD:
        return gzip.compress(body, COMPRESSION_LEVEL)
    return await asyncio.to_thread(gzip.compress, body, COMPRESSION_LEVEL)
