"""Compiled execution returns what graphql-core returns, for random operations and worlds.

`pytest tests/execution --hypothesis-profile=long` runs 20,000 operations; a usual run fewer.

The data are equal as text, and so is the order of their keys. Which errors below a null are
reported depends on timing, and GraphQL allows any choice. So each reported error must also occur if
nulls do not propagate (graphql-core's own way to find all errors) and must have caused a null. Each
null must be a value or have a reported error.
"""

import asyncio
import gc
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import DocumentNode, ExecutionResult, Executor, GraphQLError, execute, parse
from graphql.execution.executor import CollectedErrors
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.execution import CompilingExecutor
from tests.execution.operations import operation, variables
from tests.execution.worlds import World, schema

LONG = 3000
DOCUMENTS = 10_000 if settings().max_examples >= LONG else 200
# graphql-core itself does not await the coroutines of a branch that it drops.
# Inside the constructor of a named tuple, which has no builtins, the warning itself fails.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*was never awaited",
    "ignore:.*coroutine.*ignored",
    "ignore:Exception ignored.*coroutine",
)
Path = tuple[str | int, ...]
Error = tuple[Path, str, str]
ran = {"compiled": 0}


@pytest.fixture(autouse=True)
def nothing_left_to_collect() -> Iterator[None]:
    """Collects those coroutines here: in a later test their warnings would fail that one."""
    yield
    gc.collect()


class Compiled(CompilingExecutor, Executor[Any]):
    """The executor under test. It counts compiled operations; the others would prove nothing."""

    def execute_operation(self, serially: bool | None = None) -> Any:
        """Executes, and counts a compiled operation."""
        ran["compiled"] += self.plan() is not None
        return super().execute_operation(serially)


class EveryError(CollectedErrors):
    """Collects errors below a null, too."""

    def add(self, error: GraphQLError, path: Any) -> None:
        """Adds the error, wherever it is."""
        self.errors.append(error)


class Everything(Executor[Any]):
    """graphql-core, with every possible error."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.collected_errors = EveryError()
        self.error_propagation = False


async def answer(
    world: World, document: DocumentNode, variables: dict[str, Any], executor: type[Any] | None
) -> ExecutionResult:
    """The result, after all tasks have ended."""
    result: Any = execute(schema, document, None, world, variables, executor_class=executor)
    if hasattr(result, "__await__"):
        result = await result
    others = asyncio.all_tasks() - {asyncio.current_task()}
    while others:
        await asyncio.wait(others)
        others = asyncio.all_tasks() - {asyncio.current_task()}
    assert isinstance(result, ExecutionResult)
    return result


def errors(result: ExecutionResult) -> list[Error]:
    """Path, message, and locations with extensions of each error."""
    return [
        (tuple(error.path or ()), error.message, f"{error.locations} {error.extensions}")
        for error in result.errors or ()
    ]


def nulls(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths at which the data are null."""
    if value is None:
        yield path
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from nulls(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from nulls(part, (*path, index))


def is_explained(null: Path, told: list[Error], possible: set[Error]) -> bool:
    """A null with no possible error at or below it is a value. Any other needs a reported error."""
    below = [path for path, *_ in possible if path[: len(null)] == null]
    return not below or any(path[: len(null)] == null for path, *_ in told)


async def compare(seed: int) -> None:
    """Compares one operation, with two sets of variables in two worlds."""
    chance = random.Random(seed)
    text = operation(chance)
    document = parse(text)
    for turn in range(2):
        given = variables(chance)
        trouble, is_async = chance.choice([0, 0, 3, 12, 30]), chance.random() < 0.7
        worlds = [World(seed + turn, trouble, is_async) for _ in range(3)]
        everything = await answer(worlds[0], document, given, Everything)
        theirs = await answer(worlds[1], document, given, None)
        ours = await answer(worlds[2], document, given, Compiled)
        told, possible = errors(ours), set(errors(everything))
        note = f"seed {seed}\n{text}\n{given}\n{ours}\n{theirs}"

        assert json.dumps(ours.data) == json.dumps(theirs.data), note
        assert set(told) <= possible, f"{note}\n{set(told) - possible}"
        assert len({path for path, *_ in told}) == len(told), note
        found = set(nulls(ours.data))
        for path, *_ in told:
            assert any(path[:length] in found for length in range(len(path) + 1)), note
        assert all(is_explained(null, told, possible) for null in found), note
        assert worlds[2].acts == worlds[1].acts, note
        if not told:
            assert worlds[2].calls == worlds[1].calls, note


@settings(max_examples=DOCUMENTS)
@given(seed=st.integers(0, 2**63))
def test_results_are_those_of_graphql_core(seed: int) -> None:
    asyncio.run(compare(seed))


def test_the_operations_ran_compiled() -> None:
    before = ran["compiled"]
    for seed in range(20):
        asyncio.run(compare(seed))
    assert ran["compiled"] - before >= 20
