"""GraphQL over HTTP: parses a request, executes the operation and encodes its result.

It implements the GraphQL-over-HTTP specification itself, because Strawberry's view supports neither
its media type nor its status codes (docs/design/libraries.md#1-graphql-over-http). This module must
not know the schema.
"""

import asyncio
import logging
from typing import Any

from graphql import ExecutionResult, GraphQLError, OperationType
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.access import Caller
from gateway.errors import AccessError, BadRequest, Forbidden, OriginNotAllowed
from gateway.schema import PreparedOperation
from gateway.server.authentication import Authenticator
from gateway.server.disconnects import while_connected
from gateway.server.document_source import ID_FIELDS, DocumentSource
from gateway.server.http_caching import HttpCaching
from gateway.server.middleware import ErrorsAsJson, internal_error
from gateway.server.negotiation import (
    GRAPHQL_RESPONSE,
    HTML,
    JSON,
    JsonResponse,
    Negotiated,
    Negotiator,
)
from gateway.server.operations import Gateway
from gateway.server.origins import Origins, confined
from gateway.server.parameters import DOCUMENT_PATH, HttpError, Parameters, read_parameters
from gateway.server.results import record_response, rejected, response_map
from gateway.server.sse import EVENT_STREAM, EventStream
from gateway.telemetry.hooks import OperationOutcome, Telemetry

__all__ = ["GraphQLOverHTTP"]

log = logging.getLogger(__name__)

PATHS = {"/graphql", "/graphql/"}
QUERY_PARAMETERS = {"query", "extensions", *ID_FIELDS}
PREFLIGHT = {b"origin", b"access-control-request-method"}
CLIENT_CLOSED_REQUEST = 499
HOW_TO_SUBSCRIBE = (
    f"A subscription needs a stream: accept {EVENT_STREAM}, or connect to this URL over "
    "WebSocket with the subprotocol graphql-transport-ws"
)


class GraphQLOverHTTP:
    """The endpoint, as the first ASGI middleware: queries by GET, queries and mutations by POST.

    It answers /graphql itself, and /graphql/<id> if there are trusted documents. It passes on the
    rest: other paths, WebSockets, preflights, and browsers that want the page, if there is one.
    """

    def __init__(
        self,
        app: ASGIApp,
        origins: Origins,
        telemetry: Telemetry,
        caching: HttpCaching,
        documents: DocumentSource,
        *,
        has_page: bool = False,
    ) -> None:
        self._app = app
        self._documents = documents
        self._telemetry = telemetry
        self._caching = caching
        self._origins = origins
        self._negotiator = Negotiator(origins, has_page=has_page)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        respond = self._app
        if scope["type"] == "http" and self._is_ours(scope["path"]) and not _is_preflight(scope):
            request = Request(scope, receive)
            negotiated = await self._negotiator.negotiate(scope, is_query=_is_query(request))
            if negotiated.chosen != HTML:
                respond = await self._guarded(request, negotiated, send)
        await respond(scope, receive, send)

    def _is_ours(self, path: str) -> bool:
        has_ids = self._documents.trusted is not None
        return path in PATHS or (has_ids and path.startswith(DOCUMENT_PATH))

    async def _guarded(self, request: Request, negotiated: Negotiated, send: Send) -> ASGIApp:
        """The response, also to a bug and to a request that the server cancels at its end."""
        outcome = OperationOutcome("http", asyncio.get_running_loop().time())
        try:
            response = await self._respond(request, negotiated, outcome)
        except Exception:
            log.exception("internal error at %s", request.method)
            response = _internal_error(negotiated, "Internal error")
        except asyncio.CancelledError:
            response = _internal_error(negotiated, "Cancelled: the gateway ends")
            self._tell(outcome, 500)
            await response(request.scope, request.receive, send)
            raise
        if isinstance(response, JsonResponse):
            if self._telemetry.wants_operations:
                record_response(outcome, response.content)
            self._tell(outcome, response.status)
        elif isinstance(response, Response):
            self._tell(outcome, response.status_code)
        return response  # any other is a stream, which the gateway tells of at its end

    def _tell(self, outcome: OperationOutcome, status: int) -> None:
        if self._telemetry.wants_operations:
            outcome.status = status
            outcome.seconds = asyncio.get_running_loop().time() - outcome.began
            self._telemetry.on_operation(outcome)

    async def _respond(
        self, request: Request, negotiated: Negotiated, outcome: OperationOutcome
    ) -> ASGIApp:
        gateway: Gateway = request.app.state.gateway
        try:
            if negotiated.chosen is None:
                raise HttpError(406, f"Responses are {GRAPHQL_RESPONSE} or {JSON}")
            if not negotiated.is_allowed and not self._origins.is_origin_allowed(request.headers):
                raise HttpError(403, OriginNotAllowed("Pages of this origin are not allowed"))
            caller = await _authenticator(request).authenticate(request)
            outcome.caller = caller.public_name
            if self._telemetry.wants_traces:
                outcome.traceparent = request.headers.get("traceparent")
                outcome.is_parent_trusted = _authenticator(request).trusts(request)
            max_body = gateway.settings.documents.max_body
            parameters = await read_parameters(
                request, negotiated, max_body, self._documents, caller.public_name
            )
            outcome.document = parameters.trusted_name
            if negotiated.chosen == EVENT_STREAM:
                return self._stream(request, caller, parameters, outcome)
            operation = _prepare(request, parameters)
            outcome.type = operation.type.value
            if operation.type is OperationType.SUBSCRIPTION:
                if not negotiated.accepts_stream:
                    raise HttpError(406, HOW_TO_SUBSCRIBE)
                return self._stream(request, caller, parameters, outcome)
            work = gateway.execute(
                operation, parameters.variables, parameters.options, caller=caller, outcome=outcome
            )
            result = await while_connected(request.scope, request.receive, work)
            if result is None:
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            return self._caching.response(
                negotiated, operation, parameters.options, result, outcome.trace
            ) or _result_response(result, negotiated)
        except GraphQLError as error:
            return _result_response(rejected(error), negotiated)
        except AccessError as error:
            return _access_response(request, error, negotiated)
        except HttpError as error:
            status = error.legacy_status if negotiated.media_type == JSON else error.status
            return JsonResponse(negotiated, status, {"errors": error.errors}, error.headers)
        except ClientDisconnect:  # before its body was whole
            return Response(status_code=CLIENT_CLOSED_REQUEST)

    def _stream(
        self,
        request: Request,
        caller: Caller,
        parameters: Parameters,
        outcome: OperationOutcome,
    ) -> ASGIApp:
        gateway: Gateway = request.app.state.gateway
        outcome.transport, outcome.status = "sse", 200
        results = gateway.stream(
            parameters.query,
            parameters.variables,
            parameters.operation_name,
            parameters.options,
            caller=caller,
            may_mutate=request.method == "POST",
            outcome=outcome,
        )
        stream = EventStream(results, getattr(request.state, "draining", None))
        return confined(ErrorsAsJson(stream), self._origins)


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and {name for name, _ in scope["headers"]} >= PREFLIGHT


def _is_query(request: Request) -> bool:
    """False for a request that may ask for the page: a GET that names no document."""
    if request.method != "GET" or request.scope["path"] not in PATHS:
        return True
    return not request.query_params.keys().isdisjoint(QUERY_PARAMETERS)


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


def _result_response(result: ExecutionResult, negotiated: Negotiated) -> JsonResponse:
    body, status = response_map(result), 200
    if "data" not in body:
        # Clients of application/json (legacy) mistake a 4xx for a failure of the transport.
        status = 200 if negotiated.media_type == JSON else 400
        if Forbidden.code in map(_code, body["errors"]):
            status = 403
    return JsonResponse(negotiated, status, body)


def _internal_error(negotiated: Negotiated, message: str) -> JsonResponse:
    return JsonResponse(negotiated, 500, internal_error(message), {"Content-Type": JSON})


def _code(error: dict[str, Any]) -> Any:
    return error.get("extensions", {}).get("code")


def _access_response(request: Request, error: AccessError, negotiated: Negotiated) -> JsonResponse:
    """Closes the connection of a POST, since its body was not read."""
    status, headers = _authenticator(request).status_and_headers(error)
    body = {"errors": [{"message": str(error), "extensions": error.extensions}]}
    close = {"Connection": "close"} if request.method == "POST" else {}
    return JsonResponse(negotiated, status, body, headers | close)
