"""Which responses caches outside may keep, and for how long: Cache-Control, ETag and 304.

The time is that of the answer that changes first (upstream.lifetimes). What reads a live call, has
an error or a warning, reads nothing, or was shaped by a header of the client's is not kept at all.
A response with personal data is kept by the caller's own cache only, whatever the setting. This
module must not know what was read.
"""

import math
from hashlib import blake2b

from graphql import ExecutionResult, OperationType
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from gateway.schema import PreparedOperation, personal_field_names
from gateway.server.negotiation import JsonResponse, Negotiated
from gateway.server.operations import DEFAULT_OPTIONS, OperationOptions
from gateway.server.results import response_map
from gateway.settings import AccessMode, CacheControl, Settings
from gateway.telemetry.upstream_trace import UpstreamTrace

__all__ = ["CacheableResponse", "HttpCaching"]

VARY = "Accept, Accept-Encoding, Origin, Gateway-Explain"
VARY_BY_CALLER = f"{VARY}, Authorization, Gateway-Account-Sid"


class HttpCaching:
    """Decides Cache-Control by the settings."""

    def __init__(self, settings: Settings) -> None:
        self._is_public = settings.server.cache_control is CacheControl.PUBLIC
        self._vary = VARY if settings.access.mode is AccessMode.NONE else VARY_BY_CALLER
        self._personal = personal_field_names()

    def response(
        self,
        negotiated: Negotiated,
        operation: PreparedOperation,
        options: OperationOptions,
        result: ExecutionResult,
        trace: UpstreamTrace | None,
    ) -> "CacheableResponse | None":
        """The response to a query that may be kept; None if it may not, or if the setting is off.

        Then the trace has no `max_age`.
        """
        seconds = trace.max_age if trace else None
        if operation.type is not OperationType.QUERY or not seconds or seconds == math.inf:
            return None
        if result.errors or result.extensions or options != DEFAULT_OPTIONS:
            return None
        is_personal = not operation.field_names.isdisjoint(self._personal)
        scope = "public" if self._is_public and not is_personal else "private"
        headers = {"Cache-Control": f"{scope}, max-age={int(seconds)}", "Vary": self._vary}
        return CacheableResponse(negotiated, 200, response_map(result), headers)


class CacheableResponse(JsonResponse):
    """A JSON response with an ETag for each content coding, and 304 to those who have it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["method"] != "GET":
            await super().__call__(scope, receive, send)
            return
        coding = "gzip" if self.is_compressed else "identity"
        etag = f'"{blake2b(self._body, digest_size=16).hexdigest()}-{coding}"'
        self._headers = [*self._headers, (b"etag", etag.encode())]
        known = ",".join(Headers(scope=scope).getlist("if-none-match"))
        if etag not in {one.strip().removeprefix("W/") for one in known.split(",")}:
            await super().__call__(scope, receive, send)
            return
        headers = [pair for pair in self._headers if pair[0] != b"content-type"]
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
