"""A sandbox in process, spoken to over HTTP with no socket."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from gateway.sandbox import SandboxConfig, create_app
from gateway.sandbox.resources import Row


class Account:
    """One account of one sandbox, as a client with its credentials sees it."""

    def __init__(self, config: SandboxConfig, client: httpx.AsyncClient) -> None:
        self.config = config
        self.client = client
        self.path = f"/2010-04-01/Accounts/{config.account_sid}"

    async def get(self, resource: str, **parameters: str) -> httpx.Response:
        """Asks for ``/Calls.json`` and the like; ``params`` in Twilio's spelling."""
        return await self.client.get(self.path + resource, params=parameters)

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


@pytest.fixture
async def open_account() -> AsyncIterator[OpenAccount]:
    """Opens sandboxes: with exactly the rows given, or with example calls when a config says so."""
    async with AsyncExitStack() as stack:

        async def open_account(
            rows: Sequence[Row] = (), config: SandboxConfig | None = None
        ) -> Account:
            config = config or SandboxConfig(calls=0)
            app = create_app(config)
            stack.push_async_callback(app.state.sandbox.aclose)
            await app.state.sandbox.run(lambda desk: desk.store.add(rows))
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app=app),
                base_url="http://sandbox",
                auth=(config.account_sid, config.auth_token),
            )
            return Account(config, await stack.enter_async_context(client))

        yield open_account
