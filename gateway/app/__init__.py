"""The wiring: settings → upstream client → a context for each operation → the Starlette app.

Here it is decided who answers: Twilio, the base URL that is set, or the embedded sandbox, which
differs from Twilio by its transport only.
"""

import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from gateway import playground
from gateway.app.gateway import Gateway, Terms, open_gateway
from gateway.app.graphql_http import GraphQLOverHTTP
from gateway.app.health import healthz, readyz
from gateway.app.webhooks import webhook_routes
from gateway.app.websocket import GraphQLOverWebSocket, Operate
from gateway.settings import Settings

__all__ = [
    "Gateway",
    "Terms",
    "application",
    "calm_collector",
    "configure_logging",
    "create_app",
    "open_gateway",
]


def create_app(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> Starlette:
    """The gateway as an ASGI app. Its upstream client lives as long as its lifespan.

    `transport` takes the place of the network (tests).
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_gateway(settings, transport) as gateway:
            app.state.gateway = gateway
            yield

    endpoint = GraphQLOverHTTP(page=playground.page if settings.shows_page else None)
    routes: list[BaseRoute] = [
        Route("/graphql", endpoint),
        WebSocketRoute("/graphql", GraphQLOverWebSocket(_admit, _own_pages(settings))),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        *webhook_routes(settings),
    ]
    if settings.shows_page:
        routes += [Route("/", _page), *playground.routes()]
    return Starlette(routes=routes, lifespan=lifespan)


async def _admit(websocket: WebSocket, _payload: dict[str, Any]) -> Operate:
    """Anybody is admitted."""
    gateway: Gateway = websocket.app.state.gateway
    return lambda asked: gateway.stream(
        asked.query, asked.variables, asked.operation_name, asked.terms
    )


def _own_pages(settings: Settings) -> Callable[[Headers], bool]:
    """Whether a page of the gateway's own host, or of its public URL, asks; or no page at all."""
    public = urlsplit(settings.public_url or "").netloc

    def may_connect(headers: Headers) -> bool:
        origin = headers.get("origin")
        return origin is None or urlsplit(origin).netloc in {headers.get("host"), public} - {""}

    return may_connect


async def _page(_request: Request) -> Response:
    return playground.page()


def application() -> Starlette:
    """The app of one worker process, with its settings from the environment."""
    settings = Settings.from_environment(os.environ)
    configure_logging(settings)
    calm_collector()
    return create_app(settings)


def calm_collector() -> None:
    """Python's collector of cycles runs after 50,000 new objects instead of 700.

    Each full run walks all that lives: with 2,000 subscribers that was two thirds of the time from
    an event to the last of them (tests.bench.subscribers).
    """
    gc.set_threshold(50_000, 20, 50)


def configure_logging(settings: Settings) -> None:
    """Log lines go to standard error: what is printed on standard output stays clean."""
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("uvicorn.error").addFilter(_says_no_url)


def _says_no_url(record: logging.LogRecord) -> bool:
    """uvicorn logs each WebSocket's address as if it were an error, with the query string."""
    return '"WebSocket %s"' not in str(record.msg)
