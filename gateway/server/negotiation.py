"""What the headers of a GraphQL request decide about its response: type, coding, CORS, security.

Clients send the same few sets of headers again and again, so each set is decided once. This module
must not know what is in a response.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from cachetools import LRUCache
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.server.accept import accepts_gzip, preferred
from gateway.server.middleware import MIN_COMPRESSED_SIZE, compressed
from gateway.server.origins import Origins, confined
from gateway.server.sse import EVENT_STREAM

__all__ = ["GRAPHQL_RESPONSE", "HTML", "JSON", "JsonResponse", "Negotiated", "Negotiator"]

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
HTML = "text/html"
# The request headers that decide; those of an operation's options, too.
DECIDING = frozenset(
    {
        b"accept", b"accept-encoding", b"content-encoding", b"content-type", b"host", b"origin",
        b"sec-fetch-site", b"gateway-explain", b"gateway-request-budget", b"gateway-timeout",
        b"gateway-priority",
    }
)  # fmt: skip
# Sets of headers that are kept, and bytes of the values of one that is worth keeping.
MAX_SETS, MAX_SET_BYTES = 256, 2048

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True)
class Negotiated:
    """What a set of request headers decides.

    `chosen` is the media type that the client prefers, None if it accepts none; `media_type` is
    that of JSON responses, errors included. `content_type` and `content_coding` are those of the
    request's body. `is_allowed` is false for pages of foreign origins. `headers` are those of every
    JSON response. `options` are the request's headers.
    """

    chosen: str | None
    media_type: str
    accepts_stream: bool
    accepts_gzip: bool
    is_allowed: bool
    content_type: str
    content_coding: str
    options: Mapping[str, str]
    headers: list[tuple[bytes, bytes]]


class Negotiator:
    """Decides for each distinct set of headers once. `has_page` says if browsers get a page."""

    def __init__(self, origins: Origins, *, has_page: bool) -> None:
        self._origins = origins
        self._has_page = has_page
        self._decided: LRUCache[Any, Negotiated] = LRUCache(MAX_SETS)

    async def negotiate(self, scope: Scope, *, is_query: bool) -> Negotiated:
        """The decisions for a request; one that is no query may ask for the page."""
        pairs = tuple([pair for pair in scope["headers"] if pair[0] in DECIDING])
        key = is_query, pairs
        decided = self._decided.get(key)
        if decided is None:
            decided = await self._decide(scope, pairs, is_query)
            size = sum(len(value) for _, value in pairs)
            if len(pairs) <= len(DECIDING) and size <= MAX_SET_BYTES:
                self._decided[key] = decided
        return decided

    async def _decide(self, scope: Scope, pairs: Any, is_query: bool) -> Negotiated:
        headers = Headers(raw=pairs)
        accept, coding, accepted_coding = (
            ",".join(headers.getlist(name))
            for name in ("accept", "content-encoding", "accept-encoding")
        )
        page = () if is_query or not self._has_page else (HTML,)
        chosen = preferred(accept, (JSON, GRAPHQL_RESPONSE, *page, EVENT_STREAM))
        media_type = GRAPHQL_RESPONSE if chosen == GRAPHQL_RESPONSE else JSON
        return Negotiated(
            chosen=chosen,
            media_type=media_type,
            accepts_stream=preferred(accept, (EVENT_STREAM,)) is not None,
            accepts_gzip=accepts_gzip(accepted_coding),
            is_allowed=self._origins.is_origin_allowed(headers),
            content_type=headers.get("content-type", "").partition(";")[0].strip().lower(),
            content_coding=coding.strip().lower(),
            options=dict(reversed(headers.items())),
            headers=await self._response_headers(scope, media_type),
        )

    async def _response_headers(self, scope: Scope, media_type: str) -> list[tuple[bytes, bytes]]:
        """The headers that the middleware gives to a JSON response without content."""
        started: list[Message] = []

        async def record(message: Message) -> None:
            started.append(message)

        async def receive() -> Message:
            raise NotImplementedError

        response = Response(media_type=f"{media_type}; charset=utf-8", headers={"Vary": "Accept"})
        await confined(response, self._origins)({**scope, "method": "POST"}, receive, record)
        return [pair for pair in started[0]["headers"] if pair[0] != b"content-length"]


class JsonResponse:
    """A response as an ASGI app, with headers that replace the usual ones."""

    def __init__(
        self,
        negotiated: Negotiated,
        status: int,
        content: Any,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.content = status, content
        self._accepts_gzip = negotiated.accepts_gzip
        self._body = _encoder.encode(content)
        self._headers = negotiated.headers
        if headers:
            own = {name.lower().encode(): value.encode() for name, value in headers.items()}
            others = [pair for pair in negotiated.headers if pair[0] not in own]
            self._headers = [*others, *own.items()]

    @property
    def is_compressed(self) -> bool:
        """True if the body is sent as gzip."""
        return self._accepts_gzip and len(self._body) >= MIN_COMPRESSED_SIZE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        body, headers = self._body, [*self._headers]
        if len(body) >= MIN_COMPRESSED_SIZE:
            headers.append((b"vary", b"Accept-Encoding"))
        if self.is_compressed:
            body = await compressed(body)
            headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
