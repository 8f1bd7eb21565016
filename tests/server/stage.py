"""Shared by the tests of this room: the whole app, in process or on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from gateway.server import create_app
from gateway.settings import Secret
from tests import serving
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio
from tests.settings import settings_of

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"


def app_over(twilio: httpx.AsyncBaseTransport | None, **settings: Any) -> Starlette:
    """The app of a gateway with the test account."""
    given = {"account_sid": ACCOUNT, "auth_token": Secret(TOKEN), **settings}
    return create_app(settings_of(**given), twilio)


@asynccontextmanager
async def served(
    twilio: httpx.AsyncBaseTransport | None = None, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """An in-process client of the app, inside its lifespan. Fails if a task is left over."""
    before = asyncio.all_tasks()
    app = await asyncio.to_thread(app_over, twilio or PlainTwilio(), **settings)  # reads files
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
    ):
        yield client
    await settle()
    assert asyncio.all_tasks() - before == set()


async def settle() -> None:
    """Runs every task that can run without waiting for time."""
    for _ in range(30):
        await asyncio.sleep(0)


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[int]:
    """The port on which uvicorn serves the app."""
    async with running(app) as (port, _):
        yield port


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    """The port on which uvicorn serves the app, and the server itself."""
    config = uvicorn.Config(app, http="httptools", access_log=False, log_config=None)
    async with serving.running(config) as (port, server):
        yield port, server
