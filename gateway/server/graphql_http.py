"""GraphQL over HTTP: parses a request, executes the operation and encodes its result.

It implements the GraphQL-over-HTTP specification itself, because Strawberry's view supports neither
its media type nor its status codes (docs/design/libraries.md#1-graphql-over-http). This module must
not know the schema.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from graphql import ExecutionResult, GraphQLError, OperationType
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.access import Caller
from gateway.errors import AccessError, BadRequest, Forbidden, OriginNotAllowed
from gateway.schema import PreparedOperation
from gateway.server.accept import preferred
from gateway.server.authentication import Authenticator
from gateway.server.operations import Gateway
from gateway.server.parameters import JSON, HttpError, Parameters, read_parameters
from gateway.server.results import rejected, response_map
from gateway.server.sse import EVENT_STREAM, EventStream

__all__ = ["GraphQLOverHTTP"]

GRAPHQL_RESPONSE = "application/graphql-response+json"
HTML = "text/html"
CLIENT_CLOSED_REQUEST = 499
HOW_TO_SUBSCRIBE = (
    f"A subscription needs a stream: accept {EVENT_STREAM}, or connect to this URL over "
    "WebSocket with the subprotocol graphql-transport-ws"
)


class GraphQLOverHTTP:
    """The endpoint as an ASGI app: queries by GET, queries and mutations by POST.

    `is_origin_allowed` decides by the request's headers whether its page may send it. `page`, if
    there is one, is the response to browsers.
    """

    def __init__(
        self,
        is_origin_allowed: Callable[[Headers], bool],
        page: Callable[[], Response] | None = None,
    ) -> None:
        self._is_origin_allowed = is_origin_allowed
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
                raise HttpError(406, f"Responses are {GRAPHQL_RESPONSE} or {JSON}")
            media_type = JSON if chosen == EVENT_STREAM else chosen
            gateway: Gateway = request.app.state.gateway
            if not self._is_origin_allowed(request.headers):
                raise HttpError(403, OriginNotAllowed("Pages of this origin are not allowed"))
            caller = await _authenticator(request).authenticate(request)
            parameters = await read_parameters(request, gateway.settings.documents.max_body)
            if chosen == EVENT_STREAM:
                return self._stream(request, caller, parameters)
            operation = _prepare(request, parameters)
            if operation.type is OperationType.SUBSCRIPTION:
                if preferred(_accept(request), (EVENT_STREAM,)) is None:
                    raise HttpError(406, HOW_TO_SUBSCRIBE)
                return self._stream(request, caller, parameters)
            work = gateway.execute(
                operation, parameters.variables, parameters.options, caller=caller
            )
            result = await _while_connected(request, work)
            if result is None:
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            return _result_response(result, media_type)
        except GraphQLError as error:
            return _result_response(rejected(error), media_type)
        except AccessError as error:
            return _access_response(request, error, media_type)
        except HttpError as error:
            return _error_response(error, media_type)
        except ClientDisconnect:  # before its body was whole
            return Response(status_code=CLIENT_CLOSED_REQUEST)

    def _shows_page(self, request: Request) -> bool:
        is_graphql_request = not request.query_params.keys().isdisjoint({"query", "extensions"})
        return self._page is not None and request.method == "GET" and not is_graphql_request

    @staticmethod
    def _stream(request: Request, caller: Caller, parameters: Parameters) -> Response:
        gateway: Gateway = request.app.state.gateway
        return EventStream(
            gateway.stream(
                parameters.query,
                parameters.variables,
                parameters.operation_name,
                parameters.options,
                caller=caller,
                may_mutate=request.method == "POST",
            ),
            getattr(request.state, "draining", None),
        )


def _prepare(request: Request, parameters: Parameters) -> PreparedOperation:
    """Raises GraphQLError for a text that is not GraphQL, HttpError for an unusable operation."""
    gateway: Gateway = request.app.state.gateway
    try:
        operation = gateway.prepare(parameters.query, parameters.operation_name)
    except BadRequest as error:
        raise HttpError(400, error) from None
    if operation.type is OperationType.MUTATION and request.method != "POST":
        raise HttpError(405, "A mutation needs POST", {"Allow": "POST"})
    return operation


def _authenticator(request: Request) -> Authenticator:
    authenticator: Authenticator = request.app.state.authenticator
    return authenticator


def _accept(request: Request) -> str:
    return ",".join(request.headers.getlist("accept"))


async def _while_connected(
    request: Request, work: Awaitable[ExecutionResult]
) -> ExecutionResult | None:
    """The result of `work`, or None if the client disconnects first, which cancels it."""
    execution = asyncio.ensure_future(work)
    disconnect = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        await asyncio.wait({execution, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        return execution.result() if execution.done() else None
    finally:
        execution.cancel()
        disconnect.cancel()
        await asyncio.gather(execution, disconnect, return_exceptions=True)


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _result_response(result: ExecutionResult, media_type: str) -> Response:
    body = response_map(result)
    if "data" not in body and Forbidden.code in map(_code, body["errors"]):
        return _json_response(body, 403, media_type)
    # Clients of application/json (legacy) mistake a 4xx for a failure of the transport.
    is_request_error = "data" not in body and media_type == GRAPHQL_RESPONSE
    return _json_response(body, 400 if is_request_error else 200, media_type)


def _code(error: dict[str, Any]) -> Any:
    return error.get("extensions", {}).get("code")


def _access_response(request: Request, error: AccessError, media_type: str) -> Response:
    """Closes the connection of a POST, since its body was not read."""
    status, headers = _authenticator(request).status_and_headers(error)
    body = {"errors": [{"message": str(error), "extensions": error.extensions}]}
    close = {"Connection": "close"} if request.method == "POST" else {}
    return _json_response(body, status, media_type, headers | close)


def _error_response(error: HttpError, media_type: str) -> Response:
    return _json_response(
        {"errors": error.errors},
        error.legacy_status if media_type == JSON else error.status,
        media_type,
        error.headers,
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
