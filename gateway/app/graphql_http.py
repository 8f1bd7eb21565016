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

from gateway.access import Caller
from gateway.app.door import Door
from gateway.app.gateway import Gateway, Terms, response_map
from gateway.errors import AccessError, Forbidden
from gateway.journal import Explain
from gateway.upstream.client import Priority

__all__ = ["GraphQLOverHTTP", "preferred"]

T = TypeVar("T")
JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
HTML = "text/html"
# A query document and its variables; a GraphiQL introspection is 2 KB.
MAX_BODY = 256 * 1024
CLIENT_LEFT = 499
PRIORITIES = {"interactive": Priority.INTERACTIVE, "bulk": Priority.BULK}


class BadRequest(Exception):
    """A request that is no GraphQL request; `status` says in which way."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


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
            accept = ",".join(request.headers.getlist("accept"))
            chosen = preferred(accept, offered)
            if chosen == HTML and self._page:
                return self._page()
            if chosen is None:
                raise BadRequest(406, f"Answers are {GRAPHQL_RESPONSE} or {JSON}")
            media_type = chosen
            caller = await _door(request).admit(request)
            parameters = await _parameters(request)
            result = await _while_connected(request, self._execute(request, caller, parameters))
            if result is None:
                return Response(status_code=CLIENT_LEFT)
            return _result_response(result, media_type)
        except AccessError as error:
            return _access_response(request, error, media_type)
        except BadRequest as refusal:
            return _refusal_response(refusal, media_type)
        except ClientDisconnect:  # before its body was whole
            return Response(status_code=CLIENT_LEFT)

    def _shows_page(self, request: Request) -> bool:
        wants_answer = "query" in request.query_params
        return self._page is not None and request.method == "GET" and not wants_answer

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
        except InvalidOperationTypeError:
            if request.method == "GET":
                raise BadRequest(405, "GET answers queries only", {"Allow": "POST"}) from None
            raise BadRequest(400, "A subscription has no single answer") from None
        except CannotGetOperationTypeError:
            raise BadRequest(400, "The document has no operation of that name") from None


def _door(request: Request) -> Door:
    door: Door = request.app.state.door
    return door


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


async def _parameters(request: Request) -> Parameters:
    if request.method == "GET":
        return _checked(_from_query_string(request), request.headers)
    if request.method != "POST":
        raise BadRequest(405, "Use GET for queries, or POST", {"Allow": "GET, POST"})
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != JSON:
        raise BadRequest(415, f"The request's body must be {JSON}")
    return _checked(_json(await _body(request), "The request's body"), request.headers)


def _from_query_string(request: Request) -> dict[str, Any]:
    given: dict[str, Any] = dict(request.query_params)
    for name in ("variables", "extensions"):
        text = given.pop(name, "")
        if text:
            given[name] = _json(text.encode(), name)
    return given


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            # The rest of it is not waited for.
            close = {"Connection": "close"}
            raise BadRequest(413, f"The request's body is larger than {MAX_BODY} bytes", close)
    return bytes(body)


def _json(text: bytes, name: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest(400, f"{name} is not valid JSON") from None


def _checked(given: Any, headers: Headers) -> Parameters:
    if not isinstance(given, dict):
        raise BadRequest(400, "A GraphQL request is a JSON object")
    query = given.get("query")
    if not isinstance(query, str) or not query.strip():
        raise BadRequest(400, "query is missing or not a text")
    extensions = _optional(given, "extensions", dict, "an object") or {}
    return Parameters(
        query=query,
        variables=_optional(given, "variables", dict, "an object"),
        operation_name=_optional(given, "operationName", str, "a text") or None,
        terms=_terms(extensions, headers),
    )


def _terms(extensions: dict[str, Any], headers: Headers) -> Terms:
    """Gateway-Explain (or `extensions.explain`), -Request-Budget, -Timeout and -Priority."""
    explain = extensions.get("explain", headers.get("gateway-explain", Explain.NOTHING))
    if explain not in list(Explain):
        choices = ", ".join(how.value for how in Explain)
        raise BadRequest(400, f"explain must be one of {choices}")
    budget = headers.get("gateway-request-budget")
    if budget is not None and not re.fullmatch("[1-9][0-9]{0,8}", budget):
        raise BadRequest(400, "Gateway-Request-Budget must be a whole number of requests")
    timeout = headers.get("gateway-timeout")
    if timeout is not None and not _is_seconds(timeout):
        raise BadRequest(400, "Gateway-Timeout must be a number of seconds")
    priority = headers.get("gateway-priority", "interactive")
    if priority not in PRIORITIES:
        raise BadRequest(400, f"Gateway-Priority must be one of {', '.join(PRIORITIES)}")
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
        raise BadRequest(400, f"{name} is not {meaning}")
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


def _refusal_response(refusal: BadRequest, media_type: str) -> Response:
    return _json_response(
        {"errors": [{"message": str(refusal), "extensions": {"code": "BAD_REQUEST"}}]},
        refusal.status,
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
        headers={"X-Content-Type-Options": "nosniff", "Vary": "Accept", **(headers or {})},
    )
