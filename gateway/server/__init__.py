"""The wiring: settings → upstream client → a context for each operation → the Starlette app.

Here it is decided who answers: Twilio, the base URL that is set, or the embedded sandbox, which
differs from Twilio by its transport only.
"""

import gc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket
from strawberry.types import ExecutionResult

from gateway import playground
from gateway.server.authentication import Authenticator
from gateway.server.drain import draining
from gateway.server.factory import open_gateway
from gateway.server.graphql_http import GraphQLOverHTTP
from gateway.server.health import check_credential, healthz, readyz
from gateway.server.middleware import (
    Compression,
    FaultsAsJson,
    SecurityHeadersMiddleware,
    TrailingSlash,
)
from gateway.server.operations import Gateway, OperationOptions
from gateway.server.origins import CrossOrigin, Origins
from gateway.server.parameters import Parameters
from gateway.server.webhooks import webhook_routes
from gateway.server.websocket import AuthenticatedConnection, GraphQLOverWebSocket
from gateway.settings import AccessMode, Settings

__all__ = [
    "Gateway",
    "OperationOptions",
    "check_credential",
    "create_app",
    "open_gateway",
    "tune_gc",
]


def create_app(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> Starlette:
    """The gateway as an ASGI app. Its upstream client lives as long as its lifespan.

    `transport` takes the place of the network (tests). Raises SettingsError where a file that the
    settings name cannot be used.
    """

    door = Authenticator(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        app.state.door = door
        with draining(settings.server.drain_delay) as state:
            async with open_gateway(settings, transport) as gateway:
                app.state.gateway = gateway
                yield state
        await door.aclose()

    origins = Origins(settings)
    page = playground.page if settings.documents.shows_page else None
    routes: list[BaseRoute] = [
        Route("/graphql", GraphQLOverHTTP(origins.may_ask, page)),
        WebSocketRoute("/graphql", GraphQLOverWebSocket(_admit, origins.may_ask)),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
    ]
    if settings.access.mode is not AccessMode.PASSTHROUGH:  # the gateway has no account to hear of
        routes += webhook_routes(settings)
    if settings.documents.shows_page:
        routes += [Route("/", _page), *playground.routes()]
    middleware = [
        Middleware(SecurityHeadersMiddleware),
        Middleware(CrossOrigin, origins),
        Middleware(Compression),
        Middleware(FaultsAsJson),
        Middleware(TrailingSlash),
    ]
    app = Starlette(routes=routes, middleware=middleware, lifespan=lifespan)
    app.router.redirect_slashes = False
    return app


async def _admit(websocket: WebSocket, payload: dict[str, Any]) -> AuthenticatedConnection:
    """The operations of whoever connects; each is counted as one request of theirs."""
    gateway: Gateway = websocket.app.state.gateway
    door: Authenticator = websocket.app.state.door
    caller = await door.admit(websocket, payload)

    def operate(asked: Parameters) -> AsyncGenerator[ExecutionResult, None]:
        door.count(websocket, caller)
        return gateway.stream(
            asked.query, asked.variables, asked.operation_name, asked.options, caller=caller
        )

    return AuthenticatedConnection(operate, gateway.ends_at(caller))


async def _page(_request: Request) -> Response:
    return playground.page()


def tune_gc() -> None:
    """Python's collector of cycles runs after 50,000 new objects instead of 700.

    Each full run walks all that lives: with 2,000 subscribers that was two thirds of the time from
    an event to the last of them (tests.bench.subscribers).
    """
    gc.set_threshold(50_000, 20, 50)
