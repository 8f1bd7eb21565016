"""The wiring of the ASGI app: routes, middleware and a lifespan that opens the gateway."""

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
from graphql import ExecutionResult
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from gateway.errors import AccessError, GatewayError, RateLimited
from gateway.server.authentication import Authenticator, check_access
from gateway.server.document_source import DocumentSource
from gateway.server.drain import draining
from gateway.server.factory import open_gateway
from gateway.server.graphql_http import GraphQLOverHTTP
from gateway.server.health import check_credential, healthz, read_account, readyz
from gateway.server.http_caching import HttpCaching
from gateway.server.metrics_server import ResponseTimes, open_metrics, sampling
from gateway.server.middleware import (
    Compression,
    ErrorsAsJson,
    SecurityHeadersMiddleware,
    TrailingSlash,
)
from gateway.server.operations import Gateway, OperationOptions
from gateway.server.origins import CrossOrigin, Origins
from gateway.server.parameters import HttpError, check_parameters
from gateway.server.playground_routes import playground_routes
from gateway.server.traces import exporting, open_tracing
from gateway.server.trusted_documents import reloading
from gateway.server.webhooks import webhook_routes
from gateway.server.websocket import AuthenticatedConnection, GraphQLOverWebSocket
from gateway.settings import AccessMode, Settings
from gateway.telemetry.hooks import OperationOutcome, Outcome, Telemetry
from gateway.telemetry.log_lines import LogLines

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from gateway.telemetry.tracing import Tracing

__all__ = [
    "Gateway",
    "OperationOptions",
    "check_access",
    "check_credential",
    "create_app",
    "open_gateway",
    "read_account",
    "tune_gc",
]


def create_app(
    settings: Settings,
    transport: httpx.AsyncBaseTransport | None = None,
    registry: "CollectorRegistry | None" = None,
    tracing: "Tracing | None" = None,
) -> Starlette:
    """The gateway as an ASGI app. Its upstream client lives as long as its lifespan.

    `transport` replaces the network, `tracing` what OTEL_… variables say (tests). With metrics on,
    they are registered in `registry`. Raises SettingsError for an unusable file that the settings
    name.
    """

    authenticator = Authenticator(settings)
    documents = DocumentSource(settings.documents)
    metrics = open_metrics(settings, registry)
    tracing = tracing or open_tracing(settings)
    # Traces first: a log line has the identifier of its trace.
    telemetry = Telemetry(*filter(None, (tracing, LogLines(), metrics)))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        app.state.authenticator, app.state.documents = authenticator, documents
        with draining(settings.server.drain_delay) as state:
            async with (
                exporting(tracing),
                open_gateway(settings, transport, telemetry=telemetry) as gateway,
                sampling(gateway, metrics),
                reloading(documents.trusted),
            ):
                app.state.gateway = gateway
                yield state
        await authenticator.aclose()

    origins = Origins(settings)
    middleware = [
        *([Middleware(ResponseTimes, metrics)] if metrics else []),
        Middleware(
            GraphQLOverHTTP,
            origins,
            telemetry,
            HttpCaching(settings),
            documents,
            has_page=settings.documents.shows_page,
        ),
        Middleware(SecurityHeadersMiddleware),
        Middleware(CrossOrigin, origins),
        Middleware(Compression),
        Middleware(ErrorsAsJson),
        Middleware(TrailingSlash),
    ]
    app = Starlette(routes=_routes(settings, origins), middleware=middleware, lifespan=lifespan)
    app.router.redirect_slashes = False
    return app


def _routes(settings: Settings, origins: Origins) -> list[BaseRoute]:
    """All routes but GraphQL over HTTP, which is a middleware."""
    routes: list[BaseRoute] = [
        WebSocketRoute("/graphql", GraphQLOverWebSocket(_authenticate, origins.is_origin_allowed)),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
    ]
    if settings.access.mode is not AccessMode.PASSTHROUGH:  # without an account of its own
        routes += webhook_routes(settings)
    if settings.documents.shows_page:
        routes += playground_routes(settings, origins)
    return routes


async def _authenticate(websocket: WebSocket, payload: dict[str, Any]) -> AuthenticatedConnection:
    """Authenticates a WebSocket client. Each of its operations counts as one request."""
    gateway: Gateway = websocket.app.state.gateway
    authenticator: Authenticator = websocket.app.state.authenticator
    clock = asyncio.get_running_loop().time
    try:
        caller = await authenticator.authenticate(websocket, payload)
    except AccessError as error:
        _tell_refusal(gateway, OperationOutcome("websocket", clock()), error)
        raise

    async def execute(fields: dict[str, Any]) -> AsyncGenerator[ExecutionResult, None]:
        outcome = OperationOutcome("websocket", clock(), caller=caller.public_name)
        documents: DocumentSource = websocket.app.state.documents
        try:
            await authenticator.count(websocket, caller)
            parameters = check_parameters(fields, websocket.headers, documents, caller.public_name)
        except RateLimited as error:
            _tell_refusal(gateway, outcome, error)
            raise
        except HttpError as error:
            _tell_refusal(gateway, outcome, error.error)
            raise
        outcome.document = parameters.trusted_name
        return gateway.stream(
            parameters.query,
            parameters.variables,
            parameters.operation_name,
            parameters.options,
            caller=caller,
            outcome=outcome,
        )

    return AuthenticatedConnection(execute, gateway.expires_at(caller))


def _tell_refusal(gateway: Gateway, outcome: OperationOutcome, error: GatewayError) -> None:
    outcome.outcome, outcome.codes = Outcome.REFUSED, (error.code,)
    gateway.telemetry.on_operation(outcome)


def tune_gc() -> None:
    """Runs Python's cyclic garbage collector after 50,000 new objects instead of 700.

    Each full collection visits every live object. With 2,000 subscribers, collections took two
    thirds of the time from an event to the last subscriber (tests.bench.subscribers). The objects
    of the start live as long as the process, so no collection visits them.
    """
    gc.set_threshold(50_000, 20, 50)
    gc.freeze()
