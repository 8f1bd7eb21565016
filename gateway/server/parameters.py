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

from gateway.errors import (
    BadRequest,
    CallerError,
    DocumentNotTrusted,
    LimitExceeded,
    PersistedQueryNotFound,
    PersistedQueryNotSupported,
    UnknownDocumentId,
)
from gateway.schema.limits import NESTING
from gateway.server.document_source import ID_FIELDS, DocumentSource, RequestedDocument
from gateway.server.negotiation import JSON, Negotiated
from gateway.server.operations import DEFAULT_OPTIONS, OperationOptions
from gateway.server.persisted_queries import hash_of
from gateway.telemetry.upstream_trace import Explain
from gateway.upstream.client import Priority

__all__ = [
    "DOCUMENT_PATH",
    "HttpError",
    "Parameters",
    "check_parameters",
    "read_parameters",
    "sends_document",
]

T = TypeVar("T")
NO_SHARED_CACHE = "private, no-cache, must-revalidate"
OPTION_HEADERS = frozenset(
    {"gateway-explain", "gateway-request-budget", "gateway-timeout", "gateway-priority"}
)
# Of a request whose document may not run; 400 for any other reason.
DOCUMENT_STATUSES: dict[type[CallerError], int] = {DocumentNotTrusted: 403, UnknownDocumentId: 404}
DOCUMENT_PATH = "/graphql/"
"""What the path of a document begins with: its id follows, or nothing."""
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
    """The parameters of a GraphQL request, checked for type.

    `trusted_name` is the name of a trusted document, None for any other.
    """

    query: str
    trusted_name: str | None
    variables: dict[str, Any] | None
    operation_name: str | None
    options: OperationOptions


async def read_parameters(
    request: Request,
    negotiated: Negotiated,
    max_bytes: int,
    documents: DocumentSource,
    caller: str,
) -> Parameters:
    """The parameters of an HTTP request. `max_bytes` limits the body as sent and as inflated.

    `caller` is the caller's public name. Raises HttpError, or Starlette's ClientDisconnect.
    """
    fields = await _fields(request, negotiated, max_bytes)
    path: str = request.scope["path"]
    id_ = path.removeprefix(DOCUMENT_PATH) if path.startswith(DOCUMENT_PATH) else ""
    if id_ and isinstance(fields, dict):
        fields["documentId"] = id_
    return check_parameters(fields, negotiated.options, documents, caller)


async def _fields(request: Request, negotiated: Negotiated, max_bytes: int) -> Any:
    if request.method == "GET":
        _check_size(len(request.scope["query_string"]), max_bytes, 414)
        return _from_query_string(request)
    if request.method != "POST":
        raise HttpError(405, "Use GET for queries, or POST", {"Allow": "GET, POST"})
    if negotiated.content_type != JSON:
        raise HttpError(415, f"The request's body must be {JSON}")
    body = await _body(request, negotiated.content_coding, max_bytes)
    return _json(body, "The request's body")


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


def check_parameters(
    fields: Any, headers: Mapping[str, str], documents: DocumentSource, caller: str
) -> Parameters:
    """The validated parameters of a request over HTTP or WebSocket. Raises HttpError."""
    if not isinstance(fields, dict):
        raise HttpError(400, "A GraphQL request is a JSON object")
    extensions = _optional(fields, "extensions", dict, "an object") or {}
    document = _document(fields, extensions, documents, caller)
    return Parameters(
        query=document.text,
        trusted_name=document.name,
        variables=_optional(fields, "variables", dict, "an object"),
        operation_name=_optional(fields, "operationName", str, "a string") or None,
        options=_options(extensions, headers),
    )


def _document(
    fields: dict[str, Any], extensions: dict[str, Any], documents: DocumentSource, caller: str
) -> RequestedDocument:
    try:
        return documents.document(fields, extensions, caller)
    except (PersistedQueryNotFound, PersistedQueryNotSupported) as error:
        # Clients recognise these messages, or their codes, and then send the document.
        headers = {"Cache-Control": NO_SHARED_CACHE}
        raise HttpError(400, error, headers, legacy_status=200) from None
    except CallerError as error:
        raise HttpError(DOCUMENT_STATUSES.get(type(error), 400), error) from None


def sends_document(fields: Mapping[str, Any]) -> bool:
    """True if a request has a document, or names one by its id or hash."""
    is_named = any(fields.get(name) is not None for name in ("query", *ID_FIELDS))
    return is_named or hash_of(fields.get("extensions") or {}) is not None


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
