"""Fixtures for every room: asyncio as the one backend, and a guard against blocking the loop."""

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """asyncio only: uvicorn, httpx and aiodataloader run on it in production."""
    return "asyncio"


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """A call that blocks the event loop inside the gateway (SQLite, files, sleep) fails the test."""
    with blockbuster_ctx("gateway") as guard:
        yield guard
