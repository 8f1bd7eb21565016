"""Fixtures for every room: asyncio as the one backend, and a guard against blocking the loop."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import hypothesis
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from gateway.server import Gateway, open_gateway
from gateway.settings import Secret, Switch
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio
from tests.settings import DEFAULTS, settings_of
from tests.transports import TRANSPORTS, choose

# Machines are noisy: no test is about time. Every run looks at the same seeded share of examples;
# `pytest --hypothesis-profile=long` looks at far more, and at others each time.
hypothesis.settings.register_profile("gateway", deadline=None, derandomize=True)
hypothesis.settings.register_profile("long", deadline=None, max_examples=3000)
hypothesis.settings.load_profile("gateway")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--transport` and `--compiled`."""
    parser.addoption("--transport", choices=TRANSPORTS, default=TRANSPORTS[0])
    parser.addoption("--compiled", choices=["on", "off"], default="on")


def pytest_xdist_auto_num_workers() -> int:
    """Two processes more than there are cores: many tests wait for a moment of the clock."""
    return len(os.sched_getaffinity(0)) + 2


def pytest_configure(config: pytest.Config) -> None:
    """Sets the transport of the tests that run over one, and whether operations are compiled."""
    choose(config.getoption("--transport"))
    # Else each program that a test starts compiles the whole gateway anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if config.getoption("--compiled") == "off":
        DEFAULTS["compiled_execution"] = Switch.OFF
        os.environ["GATEWAY_COMPILED_EXECUTION"] = "off"  # of the processes that tests start


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """asyncio only, on uvloop where it exists: so the gateway runs in production."""
    return "asyncio", {"use_uvloop": find_spec("uvloop") is not None}


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """What blocks the event loop inside the gateway (SQLite, files, sleep) fails the test."""
    with blockbuster_ctx("gateway") as guard:
        yield guard


class Client:
    """A gateway over a plain account, asked in process."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def answer(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole response map."""
        return await self.gateway.execute_as_operator(query, variables, None)

    async def data(self, query: str, **variables: Any) -> Any:
        """The data of an answer that must have no errors."""
        answer = await self.answer(query, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def error(self, query: str, **variables: Any) -> dict[str, Any]:
        """The one error of an answer."""
        answer = await self.answer(query, **variables)
        assert len(answer.get("errors", ())) == 1, answer
        error: dict[str, Any] = answer["errors"][0]
        return error


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


@asynccontextmanager
async def connect(
    twilio: PlainTwilio, now: datetime | None = None, **settings: Any
) -> AsyncIterator[Client]:
    """A client of a gateway over this account, whose clock stands at `now` if given."""
    given = {"account_sid": ACCOUNT, "auth_token": Secret(TOKEN), **settings}
    clock = (lambda: now) if now else utc_now
    async with open_gateway(settings_of(**given), twilio, clock) as gateway:
        yield Client(gateway)
