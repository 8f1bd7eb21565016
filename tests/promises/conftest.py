"""Stands, shared and fresh, and the recorder of a test's figure."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.promises.rows import live
from tests.promises.stand import Stand, one_call, stand


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[Stand]:
    """One gateway for those tests of a module that leave no traces in it."""
    async with stand() as standing:
        yield standing


@pytest.fixture
async def here(shared: Stand) -> AsyncIterator[Stand]:
    """A gateway in front of a Twilio without faults.

    After the test and without its faults, the gateway must answer every query at once.
    """
    shared.upstream.heal()
    shared.upstream.look()
    yield shared
    shared.upstream.heal()
    queries = [one_call(live(number)) for number in range(10)]
    queries.append("{ calls(first: 1000) { nodes { sid } } }")
    answers = await shared.query_all(queries, concurrency=5)
    assert [answer.body["errors"] for answer in answers if not answer.is_whole] == []


@pytest.fixture
async def fresh() -> AsyncIterator[Stand]:
    """A gateway without earlier requests, for a test that leaves traces in it."""
    async with stand() as standing:
        yield standing


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Records a measured figure, for the table that `python -m tests.promises` prints."""
    return lambda text: record_property("figure", text)
