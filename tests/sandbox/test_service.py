"""Opening, sharing and closing the store behind the app."""

import asyncio
import gc
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from gateway.sandbox import SandboxConfig, create_app
from gateway.sandbox.resources import CallRow
from gateway.sandbox.store import SandboxDatabase
from tests.sandbox.conftest import STILL
from tests.sandbox.rows import NOON, call


def open_client(config: SandboxConfig, app: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),  # type: ignore[arg-type]
        base_url=f"http://sandbox/2010-04-01/Accounts/{config.account_sid}/",
        auth=(config.account_sid, config.auth_token),
    )


async def test_the_first_requests_seed_once_even_when_they_come_together() -> None:
    config = SandboxConfig(calls=120)
    app = create_app(config)

    async with open_client(config, app) as client:
        responses = await asyncio.gather(
            *(client.get("Calls.json?PageSize=1000") for _ in range(5))
        )
    await app.state.sandbox.aclose()

    assert [len(response.json()["calls"]) for response in responses] == [120] * 5
    assert len({response.text for response in responses}) == 1


async def test_an_internal_error_has_the_form_of_the_service() -> None:
    app = create_app(STILL)
    await app.state.sandbox.aclose()
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    auth = (STILL.account_sid, STILL.auth_token)

    async with httpx.AsyncClient(transport=transport, base_url="http://s", auth=auth) as client:
        response = await client.get(f"/2010-04-01/Accounts/{STILL.account_sid}/Calls.json")

    assert (response.status_code, response.json()["code"]) == (500, 20500)


async def test_the_lifespan_opens_and_closes_the_store() -> None:
    app = create_app(SandboxConfig(calls=10))

    async with app.router.lifespan_context(app):
        calls = await app.state.sandbox.run(
            lambda context: context.store.older(CallRow, [], limit=99)
        )

    assert len(calls) == 10
    await app.state.sandbox.aclose()


async def test_closing_a_sandbox_that_was_never_used_or_twice_is_harmless() -> None:
    app = create_app()

    await app.state.sandbox.aclose()
    await app.state.sandbox.aclose()


def test_a_sandbox_that_is_garbage_collected_closes_its_store() -> None:
    """Without lifespan and ``aclose`` there is no ResourceWarning either."""
    app = create_app(SandboxConfig(calls=0))
    store = asyncio.run(app.state.sandbox.run(lambda context: context.store))

    del app
    gc.collect()

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        store.get(CallRow, "CA1")


async def test_a_file_keeps_its_calls(tmp_path: Path) -> None:
    config = SandboxConfig(calls=25, database=str(tmp_path / "calls.sqlite"))
    bodies = []
    for _ in range(2):
        app = create_app(config)
        async with open_client(config, app) as client:
            bodies.append((await client.get("Calls.json")).json())
        await app.state.sandbox.aclose()

    assert bodies[0] == bodies[1]
    assert len(bodies[0]["calls"]) == 25


async def test_a_file_keeps_scheduled_events(tmp_path: Path) -> None:
    """A call that was made before a restart proceeds after it."""
    before = replace(STILL, database=str(tmp_path / "calls.sqlite"))
    after = replace(before, now=datetime.fromtimestamp(NOON + 3600, UTC))
    form = {"To": "client:tommy", "From": "client:amara", "Twiml": "<Response/>"}
    statuses = []
    for config in (before, after):
        app = create_app(config)
        async with open_client(config, app) as client:
            if config is before:
                await client.post("Calls.json", data=form)
            body = (await client.get("Calls.json")).json()
            statuses.append([call["status"] for call in body["calls"]])
        await app.state.sandbox.aclose()

    assert statuses == [["queued"], ["completed"]]


def test_rows_are_added_all_or_none() -> None:
    """If one row cannot be added, none is."""
    store = SandboxDatabase(":memory:")

    with pytest.raises(sqlite3.IntegrityError):
        store.add([call(1), call(2), call(1)])

    assert store.older(CallRow, [], limit=9) == []
    store.close()
