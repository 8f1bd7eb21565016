"""GraphQL over HTTP: the way from a request's bytes to an operation, and from its result to bytes.

Written after the GraphQL-over-HTTP specification rather than on Strawberry's view, which knows
neither its media type nor its status codes (LIBRARY-FACTS section 1). This module must not know the
schema.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from gateway.access import Caller
from gateway.app.door import Door
from gateway.app.gateway import Gateway, Terms
from gateway.app.origins import may_ask
from gateway.app.results import response_map
from gateway.app.sse import EVENT_STREAM, EventStream
from gateway.errors import (
    AccessError,
    BadRequest,
    CallerError,
    Forbidden,
    ForeignOrigin,
    LimitExceeded,
    PersistedQueryNotSupported,
)
from gateway.journal import Explain
from gateway.upstream.client import Priority

__all__ = ["GraphQLOverHTTP", "Parameters", "Refusal", "check_parameters", "is_hash", "preferred"]

T = TypeVar("T")
JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
HTML = "text/html"
CLIENT_LEFT = 499
NOT_FOR_OTHERS = "private, no-cache, must-revalidate"
PRIORITIES = {"interactive": Priority.INTERACTIVE, "bulk": Priority.BULK}
HOW_TO_SUBSCRIBE = (
    f"A subscription has no single answer: accept {EVENT_STREAM}, or connect to this URL over "
    "WebSocket with the subprotocol graphql-transport-ws"
)


class IsSubscription(Exception):
    """The operation is a subscription: it wants a stream of answers."""


class Refusal(Exception):
    """A request that is not executed; `status` says in which way it is none.

    `legacy_status` takes its place where application/json is answered.
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
        """As GraphQL errors."""
        return [{"message": str(self), "extensions": self.error.extensions}]


@dataclass(frozen=True)
class Parameters:
    """The parameters of a GraphQL request, checked for type."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None
    terms: Terms


class GraphQLOverHTTP:
    """The endpoint as an ASGI app: queries by GET, queries and mutations by POST.

    `page` answers browsers, if there is one.
    """

    def __init__(self, page: Callable[[], Response] | None = None) -> None:
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        media_type = JSON
        try:
            offered = (JSON, GRAPHQL_RESPONSE) + ((HTML,) if self._shows_page(request) else ())
            offered += (EVENT_STREAM,)
            chosen = preferred(_accept(request), offered)
            if chosen == HTML and self._page:
                return self._page()
            if chosen is None:
                raise Refusal(406, f"Answers are {GRAPHQL_RESPONSE} or {JSON}")
            media_type = JSON if chosen == EVENT_STREAM else chosen
            settings = request.app.state.gateway.settings
            if not may_ask(request.headers, settings):
                raise Refusal(403, ForeignOrigin("Pages of this origin may not ask here"))
            caller = await _door(request).admit(request)
            parameters = await _parameters(request, settings.max_body)
            if chosen == EVENT_STREAM:
                return self._stream(request, caller, parameters)
            result = await _while_connected(request, self._execute(request, caller, parameters))
            if result is None:
                return Response(status_code=CLIENT_LEFT)
            return _result_response(result, media_type)
        except IsSubscription:
            return self._stream(request, caller, parameters)
        except AccessError as error:
            return _access_response(request, error, media_type)
        except Refusal as refusal:
            return _refusal_response(refusal, media_type)
        except ClientDisconnect:  # before its body was whole
            return Response(status_code=CLIENT_LEFT)

    def _shows_page(self, request: Request) -> bool:
        wants_answer = not request.query_params.keys().isdisjoint({"query", "extensions"})
        return self._page is not None and request.method == "GET" and not wants_answer

    @staticmethod
    def _stream(request: Request, caller: Caller, parameters: Parameters) -> Response:
        gateway: Gateway = request.app.state.gateway
        return EventStream(
            gateway.stream(
                parameters.query,
                parameters.variables,
                parameters.operation_name,
                parameters.terms,
                caller=caller,
                may_mutate=request.method == "POST",
            ),
            getattr(request.state, "draining", None),
        )

    @staticmethod
    async def _execute(request: Request, caller: Caller, parameters: Parameters) -> ExecutionResult:
        gateway: Gateway = request.app.state.gateway
        try:
            return await gateway.execute(
                parameters.query,
                parameters.variables,
                parameters.operation_name,
                parameters.terms,
                caller=caller,
                may_mutate=request.method == "POST",
            )
        except InvalidOperationTypeError as error:
            if error.operation_type is not OperationType.SUBSCRIPTION:
                raise Refusal(405, "GET answers no mutations", {"Allow": "POST"}) from None
            if preferred(_accept(request), (EVENT_STREAM,)) is None:
                raise Refusal(406, HOW_TO_SUBSCRIBE) from None
            raise IsSubscription from None
        except CannotGetOperationTypeError:
            raise Refusal(400, "The document has no operation of that name") from None


def _door(request: Request) -> Door:
    door: Door = request.app.state.door
    return door


def _accept(request: Request) -> str:
    return ",".join(request.headers.getlist("accept"))


def preferred(accept: str, offered: tuple[str, ...]) -> str | None:
    """The offered media type that an Accept header likes best; None where it likes none.

    The most specific range decides a type's quality (RFC 9110 section 12.5.1); of equal quality the
    one that the header names first, then the one offered first. No header accepts everything.
    """
    ranges = [_media_range(text) for text in accept.split(",") if text.strip()]
    if not ranges:
        return offered[0]
    ratings = [(_rate(media_type, ranges), media_type) for media_type in offered]
    best = max(ratings, key=lambda rating: rating[0])
    return best[1] if best[0][0] > 0 else None


def _media_range(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            return name, _quality(value.strip())
    return name, 1.0


def _quality(text: str) -> float:
    return float(text) if re.fullmatch(r"0(\.[0-9]*)?|1(\.0*)?", text) else 0.0


def _rate(media_type: str, ranges: list[tuple[str, float]]) -> tuple[float, int]:
    kind = media_type.partition("/")[0]
    for name in (media_type, f"{kind}/*", "*/*"):
        for place, (range_, quality) in enumerate(ranges):
            if range_ == name:
                return quality, -place
    return 0.0, 0


async def _parameters(request: Request, most: int) -> Parameters:
    if request.method == "GET":
        _take(len(request.scope["query_string"]), most, 414)
        return check_parameters(_from_query_string(request), request.headers)
    if request.method != "POST":
        raise Refusal(405, "Use GET for queries, or POST", {"Allow": "GET, POST"})
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != JSON:
        raise Refusal(415, f"The request's body must be {JSON}")
    return check_parameters(
        _json(await _body(request, most), "The request's body"), request.headers
    )


def _from_query_string(request: Request) -> dict[str, Any]:
    given: dict[str, Any] = dict(request.query_params)
    for name in ("variables", "extensions"):
        text = given.pop(name, "")
        if text:
            given[name] = _json(text.encode(), name)
    return given


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        _take(len(body), most, 413)
    return bytes(body)


def _take(size: int, most: int, status: int) -> None:
    """Bytes of a request; the rest of one that is too large is not waited for."""
    if size > most:
        words = f"A request may have {most} bytes"
        error = LimitExceeded(words, limit="body", allowed=most)
        raise Refusal(status, error, {"Connection": "close"})


def _json(text: bytes, name: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal(400, f"{name} is not valid JSON") from None


def check_parameters(given: Any, headers: Headers) -> Parameters:
    """The parameters of a request, also of one that came over WebSocket; raises Refusal."""
    if not isinstance(given, dict):
        raise Refusal(400, "A GraphQL request is a JSON object")
    query = given.get("query")
    extensions = _optional(given, "extensions", dict, "an object") or {}
    if not query and is_hash(extensions):
        # Clients know this message, or its code, and then send the document.
        error = PersistedQueryNotSupported("PersistedQueryNotSupported")
        raise Refusal(400, error, {"Cache-Control": NOT_FOR_OTHERS}, legacy_status=200)
    if not isinstance(query, str) or not query.strip():
        raise Refusal(400, "query is missing or not a text")
    return Parameters(
        query=query,
        variables=_optional(given, "variables", dict, "an object"),
        operation_name=_optional(given, "operationName", str, "a text") or None,
        terms=_terms(extensions, headers),
    )


def is_hash(extensions: Mapping[str, Any] | None) -> bool:
    """True where the hash of a document is sent, as Apollo's persisted queries are."""
    return (extensions or {}).get("persistedQuery") is not None


def _terms(extensions: dict[str, Any], headers: Headers) -> Terms:
    """Gateway-Explain (or `extensions.explain`), -Request-Budget, -Timeout and -Priority."""
    explain = extensions.get("explain", headers.get("gateway-explain", Explain.NOTHING))
    if explain not in list(Explain):
        choices = ", ".join(how.value for how in Explain)
        raise Refusal(400, f"explain must be one of {choices}")
    budget = headers.get("gateway-request-budget")
    if budget is not None and not re.fullmatch("[1-9][0-9]{0,8}", budget):
        raise Refusal(400, "Gateway-Request-Budget must be a whole number of requests")
    timeout = headers.get("gateway-timeout")
    if timeout is not None and not _is_seconds(timeout):
        raise Refusal(400, "Gateway-Timeout must be a number of seconds")
    priority = headers.get("gateway-priority", "interactive")
    if priority not in PRIORITIES:
        raise Refusal(400, f"Gateway-Priority must be one of {', '.join(PRIORITIES)}")
    return Terms(
        Explain(explain),
        int(budget) if budget else None,
        float(timeout) if timeout else None,
        PRIORITIES[priority],
    )


def _is_seconds(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text)) and float(text) > 0


def _optional(given: dict[str, Any], name: str, kind: type[T], meaning: str) -> T | None:
    value = given.get(name)
    if value is not None and not isinstance(value, kind):
        raise Refusal(400, f"{name} is not {meaning}")
    return value


async def _while_connected(
    request: Request, work: Awaitable[ExecutionResult]
) -> ExecutionResult | None:
    """The work's result; None where the client left first, which cancels the work."""
    execution = asyncio.ensure_future(work)
    departure = asyncio.ensure_future(_departure(request))
    try:
        await asyncio.wait({execution, departure}, return_when=asyncio.FIRST_COMPLETED)
        return execution.result() if execution.done() else None
    finally:
        execution.cancel()
        departure.cancel()
        await asyncio.gather(execution, departure, return_exceptions=True)


async def _departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _result_response(result: ExecutionResult, media_type: str) -> Response:
    body = response_map(result)
    if "data" not in body and Forbidden.code in map(_code, body["errors"]):
        return _json_response(body, 403, media_type)
    # Legacy clients of application/json take a 4xx for a failure of the transport.
    is_refused = "data" not in body and media_type == GRAPHQL_RESPONSE
    return _json_response(body, 400 if is_refused else 200, media_type)


def _code(error: dict[str, Any]) -> Any:
    return error.get("extensions", {}).get("code")


def _access_response(request: Request, error: AccessError, media_type: str) -> Response:
    """The connection closes where a body was sent that is not read."""
    status, headers = _door(request).refusal(error)
    body = {"errors": [{"message": str(error), "extensions": error.extensions}]}
    close = {"Connection": "close"} if request.method == "POST" else {}
    return _json_response(body, status, media_type, headers | close)


def _refusal_response(refusal: Refusal, media_type: str) -> Response:
    return _json_response(
        {"errors": refusal.errors},
        refusal.legacy_status if media_type == JSON else refusal.status,
        media_type,
        refusal.headers,
    )


def _json_response(
    body: Any, status: int, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type=f"{media_type}; charset=utf-8",
        headers={"Vary": "Accept", **(headers or {})},
    )
