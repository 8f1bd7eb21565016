"""The wiring: settings → upstream client → a context for each operation → the Starlette app.

Here it is decided who answers: Twilio, the base URL that is set, or the embedded sandbox, which
differs from Twilio by its transport only.
"""

import gc
import logging
import sys
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
from gateway.app.answers import Compression, EveryAnswer, FaultsAsJson
from gateway.app.door import Door
from gateway.app.drain import draining
from gateway.app.gateway import Gateway, Terms
from gateway.app.graphql_http import GraphQLOverHTTP
from gateway.app.health import check_credential, healthz, readyz
from gateway.app.log_lines import LogLines
from gateway.app.opening import open_gateway
from gateway.app.origins import CrossOrigin, Origins
from gateway.app.parameters import Parameters
from gateway.app.slashes import TrailingSlash
from gateway.app.webhooks import webhook_routes
from gateway.app.websocket import Admitted, GraphQLOverWebSocket
from gateway.settings import AccessMode, Settings

__all__ = [
    "Gateway",
    "Terms",
    "calm_collector",
    "check_credential",
    "configure_logging",
    "create_app",
    "open_gateway",
]


def create_app(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> Starlette:
    """The gateway as an ASGI app. Its upstream client lives as long as its lifespan.

    `transport` takes the place of the network (tests). Raises SettingsError where a file that the
    settings name cannot be used.
    """

    door = Door(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        app.state.door = door
        with draining(settings.drain_delay) as state:
            async with open_gateway(settings, transport) as gateway:
                app.state.gateway = gateway
                yield state
        await door.aclose()

    origins = Origins(settings)
    page = playground.page if settings.shows_page else None
    routes: list[BaseRoute] = [
        Route("/graphql", GraphQLOverHTTP(origins.may_ask, page)),
        WebSocketRoute("/graphql", GraphQLOverWebSocket(_admit, origins.may_ask)),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
    ]
    if settings.access is not AccessMode.PASSTHROUGH:  # the gateway has no account to hear of
        routes += webhook_routes(settings)
    if settings.shows_page:
        routes += [Route("/", _page), *playground.routes()]
    middleware = [
        Middleware(EveryAnswer),
        Middleware(CrossOrigin, origins),
        Middleware(Compression),
        Middleware(FaultsAsJson),
        Middleware(TrailingSlash),
    ]
    app = Starlette(routes=routes, middleware=middleware, lifespan=lifespan)
    app.router.redirect_slashes = False
    return app


async def _admit(websocket: WebSocket, payload: dict[str, Any]) -> Admitted:
    """The operations of whoever connects; each is counted as one request of theirs."""
    gateway: Gateway = websocket.app.state.gateway
    door: Door = websocket.app.state.door
    caller = await door.admit(websocket, payload)

    def operate(asked: Parameters) -> AsyncGenerator[ExecutionResult, None]:
        door.count(websocket, caller)
        return gateway.stream(
            asked.query, asked.variables, asked.operation_name, asked.terms, caller=caller
        )

    return Admitted(operate, gateway.ends_at(caller))


async def _page(_request: Request) -> Response:
    return playground.page()


def calm_collector() -> None:
    """Python's collector of cycles runs after 50,000 new objects instead of 700.

    Each full run walks all that lives: with 2,000 subscribers that was two thirds of the time from
    an event to the last of them (tests.bench.subscribers).
    """
    gc.set_threshold(50_000, 20, 50)


def configure_logging(settings: Settings) -> None:
    """Log lines go to standard error: what is printed on standard output stays clean."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    logging.getLogger("uvicorn.error").addFilter(_says_no_url)


def _says_no_url(record: logging.LogRecord) -> bool:
    """uvicorn logs each WebSocket's address as if it were an error, with the query string."""
    return '"WebSocket %s"' not in str(record.msg)
