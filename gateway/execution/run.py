"""One run of a plan: levels wait in a queue, awaitables are awaited together, nulls propagate.

This module must not know how a plan is made, nor what a type does with its values.

Note [A level at once]. Objects wait in a queue until every field above them was asked, so what
their resolvers await is handed to dataloaders together. Of the awaitables, all that were done in
the same turn of the loop go on as one group: a fast row waits for no slow one.

Note [Nulls]. Containers are in the answer before they are filled. So an error becomes null at
once, at the nearest place that may be null, and what is still coming for a place below it is
dropped: it is not resolved any more, and its errors are not told.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from graphql import FieldNode, GraphQLField, GraphQLObjectType, GraphQLResolveInfo, located_error
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.executor import Executor, to_nodes
from graphql.pyutils import Path

__all__ = ["Cell", "Field", "Fields", "Paths", "Place", "Position", "Results", "Run", "Selected"]

# A value and where it belongs: container, key, path of the container.
Cell = tuple[Any, Any, Any, Path | None]
Results = Sequence[dict[str, Any]]
Paths = Sequence[Path | None]


class Selected:
    """What an operation selects under one response key of an object type."""

    __slots__ = ("definition", "details", "key", "name", "nodes", "parent_type")

    def __init__(
        self,
        key: str,
        details: FieldDetailsList,
        definition: GraphQLField,
        parent_type: GraphQLObjectType,
    ) -> None:
        self.key = key
        self.details = details
        self.definition = definition
        self.parent_type = parent_type
        self.nodes: list[FieldNode] = to_nodes(details)
        self.name = self.nodes[0].name.value

    def __str__(self) -> str:
        return f"{self.parent_type}.{self.name}"


class Position:
    """Where a value lands, whatever its row: may it be null there, and what is it part of."""

    __slots__ = ("above", "is_non_null")

    def __init__(self, is_non_null: bool, above: "Position | None") -> None:
        self.is_non_null = is_non_null
        self.above = above


class Place(Protocol):
    """Where the values of a field, or the items of its lists, go on when they are there.

    `typename` is that of the object whose field it is; None for the items of a list.
    """

    selected: Selected
    position: Position
    typename: str | None

    def complete(self, run: "Run", cells: Iterable[Cell]) -> None:
        """Puts the values where they belong. An exception among them is that value's error."""


class Field(Protocol):
    """One field of a plan."""

    def run(self, run: "Run", sources: Sequence[Any], results: Results, paths: Paths) -> None:
        """Resolves it for all these objects."""


class Fields(Protocol):
    """The plan of one object type."""

    @property
    def fields(self) -> Sequence[Field]:
        """In the order of the answer's keys."""


class Waiting(NamedTuple):
    """A value that is not there yet."""

    awaitable: Awaitable[Any]
    place: Place
    container: Any
    key: Any
    parent: Path | None


class Run:
    """The state of one run. `nulls` counts the nulls that took more than their own place."""

    def __init__(self, executor: Executor[Any]) -> None:
        self.executor = executor
        self.is_awaitable = executor.is_awaitable
        self.nulls = 0
        self.bindings: dict[Selected, Any] = {}
        self._data: dict[str, Any] | None = {}
        self._queue: deque[tuple[Fields, list[Any], list[dict[str, Any]], list[Path]]] = deque()
        self._waiting: list[Waiting] = []
        self._tasks: dict[asyncio.Future[Any], list[Waiting]] = {}
        self._done: list[asyncio.Future[Any]] = []
        self._abandoned: list[asyncio.Future[Any]] = []
        self._wake: asyncio.Future[None] | None = None
        self._swept = 0
        self._info: tuple[Path, GraphQLResolveInfo[Any]] | None = None

    def start(self, plan: Fields, serially: bool) -> Any:
        """The response, or an awaitable of it where something is awaited."""
        steps = iter([[field] for field in plan.fields] if serially else [plan.fields])
        while self._step(steps):
            if self._waiting:
                return self._go_on(steps)
        return self.executor.build_response(self._data)

    async def _go_on(self, steps: Iterator[Sequence[Field]]) -> Any:
        await self._settle()
        while self._step(steps):
            await self._settle()
        return self.executor.build_response(self._data)

    def _step(self, steps: Iterator[Sequence[Field]]) -> bool:
        """Runs the next fields of the root as far as nothing is awaited; False after the last."""
        fields = next(steps, None)
        if fields is None or self._data is None:
            return False
        self.run_fields(fields, [self.executor.root_value], [self._data], [None])
        self._drain()
        return True

    def run_fields(
        self, fields: Sequence[Field], sources: Sequence[Any], results: Results, paths: Paths
    ) -> None:
        """Each field for all of these objects; the columns are parallel."""
        nulls = 0
        for field in fields:
            if self.nulls != nulls:
                nulls = self.nulls
                alive = [index for index, path in enumerate(paths) if not self._is_dropped(path)]
                sources = [sources[index] for index in alive]
                results = [results[index] for index in alive]
                paths = [paths[index] for index in alive]
            if sources:
                field.run(self, sources, results, paths)

    def enqueue(
        self, plan: Fields, sources: list[Any], results: list[dict[str, Any]], paths: list[Path]
    ) -> None:
        """Objects of the next level."""
        self._queue.append((plan, sources, results, paths))

    def wait(
        self, awaitable: Awaitable[Any], place: Place, container: Any, key: Any, parent: Any
    ) -> None:
        """The value comes later; its key has its place in the answer now."""
        container[key] = None
        self._waiting.append(Waiting(awaitable, place, container, key, parent))

    def info(self, selected: Selected, path: Path) -> GraphQLResolveInfo[Any]:
        """The info of a field whose path, or that of something in its lists, this is."""
        while path.typename is None:
            assert path.prev  # noqa: S101 (an item's list is a field's)
            path = path.prev
        if self._info is None or self._info[0] is not path:
            executor = self.executor
            info = executor.build_resolve_info(
                selected.definition, selected.nodes, selected.parent_type, path
            )
            self._info = (path, info)
        return self._info[1]

    def fail(self, place: Place, parent: Path | None, key: Any, error: Exception) -> None:
        """The value's error, and the null that it makes. See Note [Nulls]."""
        at = Path(parent, key, place.typename)
        located = located_error(error, place.selected.nodes, at.as_list())
        path: Path | None = at
        position: Position | None = place.position
        if self.executor.error_propagation:
            while position is not None and position.is_non_null:
                path = path.prev if path else None
                position = position.above
                self.nulls += 1
        if self._is_dropped(path):
            return
        self.executor.collected_errors.add(located, path)
        if path is None:
            self._data = None
            return
        *above, last = path.as_list()
        container: Any = self._data
        for name in above:
            container = container[name]
        container[last] = None

    def _is_dropped(self, path: Path | None) -> bool:
        return bool(self.executor.collected_errors.has_nulled_position(path))

    def _drain(self) -> None:
        """Runs level by level what needs nothing that is awaited."""
        queue = self._queue
        while queue:
            plan, sources, results, paths = queue.popleft()
            self.run_fields(plan.fields, sources, results, paths)
        if self.nulls != self._swept:
            self._swept = self.nulls
            self._abandon()

    def _abandon(self) -> None:
        """What waits for a dropped place is cancelled, or settled where it has not begun."""
        dropped = [one for one in self._waiting if self._is_dropped(one.parent)]
        if dropped:
            self._waiting = [one for one in self._waiting if not self._is_dropped(one.parent)]
            self.executor.settle_in_background([one.awaitable for one in dropped])
        for future, waiting in list(self._tasks.items()):
            if all(self._is_dropped(one.parent) for one in waiting):
                del self._tasks[future]
                future.cancel()
                self._abandoned.append(future)

    async def _settle(self) -> None:
        """Until nothing is awaited any more."""
        try:
            while self._waiting or self._tasks:
                if len(self._waiting) == 1 and not self._tasks:
                    await self._await_alone(self._waiting.pop())
                else:
                    self._begin()
                    await self._await_some()
                self._drain()
        except BaseException:  # a bug, or the operation is cancelled: nobody is left behind
            self._abandoned.extend(self._tasks)
            for future in self._tasks:
                future.cancel()
            raise
        finally:
            if self._abandoned:
                await asyncio.gather(*self._abandoned, return_exceptions=True)
                self._abandoned.clear()

    async def _await_alone(self, waiting: Waiting) -> None:
        """One awaitable needs no task."""
        try:
            value = await waiting.awaitable
        except Exception as error:
            value = error
        _, place, container, key, parent = waiting
        place.complete(self, [(value, container, key, parent)])

    def _begin(self) -> None:
        for waiting in self._waiting:
            future = asyncio.ensure_future(waiting.awaitable)
            others = self._tasks.setdefault(future, [])
            others.append(waiting)
            if len(others) == 1:
                future.add_done_callback(self._note_done)
        self._waiting = []

    def _note_done(self, future: asyncio.Future[Any]) -> None:
        self._done.append(future)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _await_some(self) -> None:
        """Waits until something is there; all that is goes on. See Note [A level at once]."""
        if not self._done:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        done, self._done = self._done, []
        groups: dict[Place, list[Cell]] = {}
        for future in done:
            arrived = self._tasks.pop(future, ())
            if not arrived:  # nobody waits for it any more
                continue
            try:
                value = future.result()
            except Exception as error:
                value = error
            for _, place, container, key, parent in arrived:
                groups.setdefault(place, []).append((value, container, key, parent))
        for place, cells in groups.items():
            place.complete(self, cells)
