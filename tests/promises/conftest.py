"""A stand for each test, and how a test tells its figure."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.promises.stand import Stand, stand


@pytest.fixture
async def here() -> AsyncIterator[Stand]:
    """A gateway with its default settings before a Twilio that does nothing wrong yet."""
    async with stand() as standing:
        yield standing


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Tells what was measured, for the table that `python -m tests.promises` prints."""
    return lambda text: record_property("figure", text)
