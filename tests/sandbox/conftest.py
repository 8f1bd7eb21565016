"""A sandbox in process, with an HTTP client and no socket."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.sandbox import SandboxConfig, create_app
from gateway.sandbox.resources import Row
from gateway.sandbox.service import Sandbox
from gateway.sandbox.traffic import FaultInjector
from tests.sandbox.receiver import Application, application
from tests.sandbox.rows import NOON


class Account:
    """One account of one sandbox, as a client with its credentials sees it."""

    def __init__(self, config: SandboxConfig, app: Starlette, client: httpx.AsyncClient) -> None:
        self.config = config
        self.sandbox: Sandbox = app.state.sandbox
        self.traffic: FaultInjector = app.state.traffic
        self.client = client
        self.path = f"/2010-04-01/Accounts/{config.account_sid}"

    async def get(self, resource: str, **parameters: str) -> httpx.Response:
        """Sends GET to a path such as ``/Calls.json``, with Twilio's parameters."""
        return await self.client.get(self.path + resource, params=parameters)

    async def post(self, resource: str, **form: str | list[str]) -> httpx.Response:
        """Sends POST with a form of Twilio's parameters; a list is a repeated parameter."""
        return await self.client.post(self.path + resource, data=form)

    async def make(self, **form: str | list[str]) -> str:
        """Makes a call and returns its SID. By default it is answered and its TwiML is empty."""
        defaults = {"To": "+14155550199", "From": "+14155550100", "Twiml": "<Response/>"}
        if "Url" in form:
            del defaults["Twiml"]
        response = await self.post("/Calls.json", **{**defaults, **form})
        assert response.status_code == 201, response.text
        return str(response.json()["sid"])

    async def call(self, sid: str) -> dict[str, Any]:
        """The current state of a call."""
        body: dict[str, Any] = (await self.get(f"/Calls/{sid}.json")).json()
        return body

    async def step(self, seconds: float) -> None:
        """Steps the clock and plays all due events."""
        await self.sandbox.step(seconds)

    async def rows(self, resource: str, **parameters: str) -> list[dict[str, Any]]:
        """The rows of a list's first page."""
        response = await self.get(resource, **parameters)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return next(value for value in body.values() if isinstance(value, list))

    async def sids(self, resource: str, **parameters: str) -> list[str]:
        """The SIDs of a list's first page."""
        return [row["sid"] for row in await self.rows(resource, **parameters)]


OpenAccount = Callable[..., Any]

STILL = SandboxConfig(calls=0, speed=0, now=datetime.fromtimestamp(NOON, UTC), calls_per_second=100)
"""No calls, and a clock that only moves by steps."""


@pytest.fixture
def app() -> Iterator[Application]:
    """An application on the loopback interface."""
    with application() as running:
        yield running


@pytest.fixture
async def open_account() -> AsyncIterator[OpenAccount]:
    """Opens sandboxes with the given rows, or with the example calls of a config."""
    async with AsyncExitStack() as stack:

        async def open_account(
            rows: Sequence[Row] = (), config: SandboxConfig | None = None
        ) -> Account:
            config = config or STILL
            app = create_app(config)
            stack.push_async_callback(app.state.sandbox.aclose)
            await app.state.sandbox.run(lambda context: context.store.add(rows))
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app=app),
                base_url="http://sandbox",
                auth=(config.account_sid, config.auth_token),
            )
            return Account(config, app, await stack.enter_async_context(client))

        yield open_account
