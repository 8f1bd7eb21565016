"""Reads the parameters of a GraphQL request from an HTTP request and validates them.

WebSocket messages carry the same parameters (`check_parameters`). This module must not know what is
done with them.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from gateway.errors import BadRequest, CallerError, LimitExceeded, PersistedQueryNotSupported
from gateway.schema.limits import NESTING
from gateway.server.negotiation import JSON, Negotiated
from gateway.server.operations import DEFAULT_OPTIONS, OperationOptions
from gateway.telemetry.upstream_trace import Explain
from gateway.upstream.client import Priority

__all__ = ["HttpError", "Parameters", "check_parameters", "is_hash", "read_parameters"]

T = TypeVar("T")
NO_SHARED_CACHE = "private, no-cache, must-revalidate"
OPTION_HEADERS = frozenset(
    {"gateway-explain", "gateway-request-budget", "gateway-timeout", "gateway-priority"}
)
PRIORITIES = {"interactive": Priority.INTERACTIVE, "bulk": Priority.BULK}


class HttpError(Exception):
    """The request is rejected with this HTTP status.

    `legacy_status` replaces it in responses of application/json.
    """

    def __init__(
        self,
        status: int,
        error: str | CallerError,
        headers: Mapping[str, str] | None = None,
        legacy_status: int | None = None,
    ) -> None:
        super().__init__(str(error))
        self.status = status
        self.legacy_status = legacy_status or status
        self.error = error if isinstance(error, CallerError) else BadRequest(error)
        self.headers = headers or {}

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The error as a list of GraphQL errors."""
        return [{"message": str(self), "extensions": self.error.extensions}]


@dataclass(frozen=True)
class Parameters:
    """The parameters of a GraphQL request, checked for type."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None
    options: OperationOptions


async def read_parameters(request: Request, negotiated: Negotiated, max_bytes: int) -> Parameters:
    """The parameters of an HTTP request. `max_bytes` limits the body as sent and as inflated.

    Raises HttpError, or Starlette's ClientDisconnect.
    """
    if request.method == "GET":
        _check_size(len(request.scope["query_string"]), max_bytes, 414)
        return check_parameters(_from_query_string(request), negotiated.options)
    if request.method != "POST":
        raise HttpError(405, "Use GET for queries, or POST", {"Allow": "GET, POST"})
    if negotiated.content_type != JSON:
        raise HttpError(415, f"The request's body must be {JSON}")
    body = await _body(request, negotiated.content_coding, max_bytes)
    return check_parameters(_json(body, "The request's body"), negotiated.options)


def _from_query_string(request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = dict(request.query_params)
    for name in ("variables", "extensions"):
        text = fields.pop(name, "")
        if text:
            fields[name] = _json(text.encode(), name)
    return fields


async def _body(request: Request, coding: str, max_bytes: int) -> bytearray:
    if coding not in {"", "identity", "gzip", "x-gzip"}:
        message = "The request's body may be compressed by gzip only"
        raise HttpError(415, message, {"Accept-Encoding": "gzip"})
    reader = GzipReader(max_bytes) if "gzip" in coding else None
    size, body, has_more = 0, bytearray(), True
    while has_more:
        received = await request.receive()
        if received["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, has_more = received.get("body", b""), received.get("more_body", False)
        size += len(chunk)
        _check_size(size, max_bytes, 413)
        body += reader.inflate(chunk) if reader else chunk
        _check_size(len(body), max_bytes, 413)
    if reader:
        reader.end()
    return body


class GzipReader:
    """Inflates a gzipped body chunk by chunk, to at most one byte beyond `max_bytes`.

    It reads the body's members (RFC 1952) one after the other.
    """

    def __init__(self, max_bytes: int) -> None:
        self._remaining = max_bytes + 1
        self._member = _decompressor()

    def inflate(self, chunk: bytes) -> bytes:
        """The inflated chunk. Do not call it again once the body exceeded `max_bytes`."""
        inflated = bytearray()
        while chunk and self._remaining:
            if self._member.eof:
                self._member = _decompressor()
            try:
                part = self._member.decompress(chunk, self._remaining)
            except zlib.error:
                raise HttpError(400, "The request's body is not gzip") from None
            self._remaining -= len(part)
            inflated += part
            chunk = self._member.unused_data
        return bytes(inflated)

    def end(self) -> None:
        """Ends the body. Raises HttpError if it is truncated."""
        if not self._member.eof:
            raise HttpError(400, "The request's gzip body is truncated")


def _decompressor() -> Any:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


def _check_size(size: int, max_bytes: int, status: int) -> None:
    """Rejects a request that is too large, and closes its connection without reading the rest."""
    if size > max_bytes:
        message = f"A request may have at most {max_bytes} bytes"
        error = LimitExceeded(message, limit="body", allowed=max_bytes)
        raise HttpError(status, error, {"Connection": "close"})


def _json(text: bytes | bytearray, name: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        error = LimitExceeded(f"{name} nests too deeply", limit="nesting", allowed=NESTING)
        raise HttpError(400, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise HttpError(400, f"{name} is not valid JSON") from None


def check_parameters(fields: Any, headers: Mapping[str, str]) -> Parameters:
    """The validated parameters of a request over HTTP or WebSocket. Raises HttpError."""
    if not isinstance(fields, dict):
        raise HttpError(400, "A GraphQL request is a JSON object")
    query = fields.get("query")
    extensions = _optional(fields, "extensions", dict, "an object") or {}
    if not query and is_hash(extensions):
        # Clients recognise this message or its code, and then send the document.
        error = PersistedQueryNotSupported("PersistedQueryNotSupported")
        raise HttpError(400, error, {"Cache-Control": NO_SHARED_CACHE}, legacy_status=200)
    if not isinstance(query, str) or not query.strip():
        raise HttpError(400, "query is missing or not a string")
    return Parameters(
        query=query,
        variables=_optional(fields, "variables", dict, "an object"),
        operation_name=_optional(fields, "operationName", str, "a string") or None,
        options=_options(extensions, headers),
    )


def is_hash(extensions: Mapping[str, Any] | None) -> bool:
    """True if the client sends a document's hash, as for Apollo's persisted queries."""
    return (extensions or {}).get("persistedQuery") is not None


def _options(extensions: dict[str, Any], headers: Mapping[str, str]) -> OperationOptions:
    """Reads Gateway-Explain (or `extensions.explain`), -Request-Budget, -Timeout and -Priority."""
    if "explain" not in extensions and OPTION_HEADERS.isdisjoint(headers):
        return DEFAULT_OPTIONS
    explain = extensions.get("explain", headers.get("gateway-explain", Explain.NOTHING))
    if explain not in list(Explain):
        choices = ", ".join(choice.value for choice in Explain)
        raise HttpError(400, f"explain must be one of {choices}")
    budget = headers.get("gateway-request-budget")
    if budget is not None and not re.fullmatch("[1-9][0-9]{0,8}", budget):
        raise HttpError(400, "Gateway-Request-Budget must be a whole number of requests")
    timeout = headers.get("gateway-timeout")
    if timeout is not None and not _is_seconds(timeout):
        raise HttpError(400, "Gateway-Timeout must be a number of seconds")
    priority = headers.get("gateway-priority", "interactive")
    if priority not in PRIORITIES:
        raise HttpError(400, f"Gateway-Priority must be one of {', '.join(PRIORITIES)}")
    return OperationOptions(
        Explain(explain),
        int(budget) if budget else None,
        float(timeout) if timeout else None,
        PRIORITIES[priority],
    )


def _is_seconds(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text)) and float(text) > 0


def _optional(fields: dict[str, Any], name: str, kind: type[T], meaning: str) -> T | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, kind):
        raise HttpError(400, f"{name} is not {meaning}")
    return value
