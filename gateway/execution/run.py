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
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from graphql import FieldNode, GraphQLField, GraphQLObjectType, GraphQLResolveInfo, located_error
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.executor import Executor, to_nodes
from graphql.pyutils import Path

__all__ = ["Cell", "Complete", "FieldPlan", "Place", "Rows", "Run", "Selected"]

# A value and where it belongs: container, key, path of the container.
Cell = tuple[Any, Any, Any, Path | None]


@dataclass(eq=False)
class Selected:
    """What an operation selects under one response key of an object type."""

    key: str
    details: FieldDetailsList
    definition: GraphQLField
    parent_type: GraphQLObjectType

    @cached_property
    def nodes(self) -> list[FieldNode]:
        """The fields of the document that are merged here."""
        return to_nodes(self.details)

    def __str__(self) -> str:
        return f"{self.parent_type}.{self.nodes[0].name.value}"


@dataclass(eq=False)
class Place:
    """Where a value of a field lands, whatever its row; items of lists have places of their own.

    `typename` is that of the object whose field it is; None for an item.
    """

    selected: Selected
    typename: str | None
    is_non_null: bool
    above: "Place | None"


class Rows(NamedTuple):
    """Objects of one type, in parallel columns: sources, what is made of them, and where."""

    sources: Sequence[Any]
    results: Sequence[dict[str, Any]]
    paths: Sequence[Path | None]


# Resolves a field for all these objects.
FieldPlan = Callable[["Run", Rows], None]
Fields = Sequence[FieldPlan]
# Puts values where they belong. An exception among them is that value's error.
Complete = Callable[["Run", Iterable[Cell]], None]


class Waiting(NamedTuple):
    """A value that is not there yet: the cell's own is what it is awaited for."""

    awaitable: Awaitable[Any]
    complete: Complete
    cell: Cell


class Run:
    """The state of one run. `nulls` counts the nulls that took more than their own place."""

    def __init__(self, executor: Executor[Any]) -> None:
        self.executor = executor
        self.is_awaitable = executor.is_awaitable
        self.bindings: dict[Selected, Any] = {}
        self.nulls = self._swept = 0
        self._data: dict[str, Any] | None = {}
        self._queue: deque[tuple[Fields, Rows]] = deque()
        self._waiting: list[Waiting] = []
        self._tasks: dict[asyncio.Future[Any], list[Waiting]] = {}
        self._done: list[asyncio.Future[Any]] = []
        self._abandoned: list[asyncio.Future[Any]] = []
        self._wake: asyncio.Future[None] | None = None
        self._info: tuple[Path | None, Any] = (None, None)

    def start(self, fields: Fields, serially: bool) -> Any:
        """The response, or an awaitable of it where something is awaited."""
        steps = iter([[field] for field in fields] if serially else [fields])
        while self._step(steps):
            if self._waiting:
                return self._go_on(steps)
        return self.executor.build_response(self._data)

    async def _go_on(self, steps: Iterator[Fields]) -> Any:
        await self._settle()
        while self._step(steps):
            await self._settle()
        return self.executor.build_response(self._data)

    def _step(self, steps: Iterator[Fields]) -> bool:
        """Runs the next fields of the root as far as nothing is awaited; False after the last."""
        fields = next(steps, None)
        if fields is None or self._data is None:
            return False
        self._run_fields(fields, Rows([self.executor.root_value], [self._data], [None]))
        self._drain()
        return True

    def _run_fields(self, fields: Fields, rows: Rows) -> None:
        nulls = 0
        for run_field in fields:
            if self.nulls != nulls:
                nulls = self.nulls
                alive = [row for row in zip(*rows, strict=True) if not self._is_dropped(row[2])]
                rows = Rows(*zip(*alive, strict=True)) if alive else Rows((), (), ())
            if rows.sources:
                run_field(self, rows)

    def enqueue(self, fields: Fields, rows: Rows) -> None:
        """Objects of the next level."""
        self._queue.append((fields, rows))

    def wait(self, awaitable: Awaitable[Any], complete: Complete, cell: Cell) -> None:
        """The cell's value comes later; its key has its place in the answer now."""
        cell[1][cell[2]] = None
        self._waiting.append(Waiting(awaitable, complete, cell))

    def info(self, selected: Selected, path: Path) -> GraphQLResolveInfo[Any]:
        """The info of a field whose path, or that of something in its lists, this is."""
        while path.typename is None and path.prev:
            path = path.prev
        if self._info[0] is not path:
            definition, parent_type = selected.definition, selected.parent_type
            info = self.executor.build_resolve_info(definition, selected.nodes, parent_type, path)
            self._info = path, info
        return self._info[1]  # type: ignore[no-any-return]

    def fail(self, place: Place, cell: Cell, error: Exception) -> None:
        """The cell's error, and the null that it makes. See Note [Nulls]."""
        at = Path(cell[3], cell[2], place.typename)
        located = located_error(error, place.selected.nodes, at.as_list())
        path: Path | None = at
        null: Place | None = place
        while null and null.is_non_null and self.executor.error_propagation:
            path = path.prev if path else None
            null = null.above
            self.nulls += 1
        if self._is_dropped(path):
            return
        self.executor.collected_errors.add(located, path)
        if path is None:
            self._data = None
            return
        *above, last = path.as_list()
        container: Any = self._data
        for key in above:
            container = container[key]
        container[last] = None

    def _is_dropped(self, path: Path | None) -> bool:
        return bool(self.executor.collected_errors.has_nulled_position(path))

    def _drain(self) -> None:
        """Runs level by level what needs nothing that is awaited."""
        while self._queue:
            self._run_fields(*self._queue.popleft())
        if self.nulls != self._swept:
            self._swept = self.nulls
            self._abandon()

    def _abandon(self) -> None:
        """What waits for a dropped place is cancelled, or settled where it has not begun."""
        dropped = [one for one in self._waiting if self._is_dropped(one.cell[3])]
        if dropped:
            self._waiting = [one for one in self._waiting if not self._is_dropped(one.cell[3])]
            self.executor.settle_in_background([one.awaitable for one in dropped])
        for future, waiting in list(self._tasks.items()):
            if all(self._is_dropped(one.cell[3]) for one in waiting):
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
        waiting.complete(self, [(value, *waiting.cell[1:])])

    def _begin(self) -> None:
        for waiting in self._waiting:
            future = asyncio.ensure_future(waiting.awaitable)
            if future not in self._tasks:
                self._tasks[future] = []
                future.add_done_callback(self._note_done)
            self._tasks[future].append(waiting)
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
        groups: dict[Complete, list[Cell]] = {}
        for future in done:
            for waiting in self._tasks.pop(future, ()):  # nobody, where it was abandoned
                try:
                    value = future.result()
                except Exception as error:
                    value = error
                groups.setdefault(waiting.complete, []).append((value, *waiting.cell[1:]))
        for complete, cells in groups.items():
            complete(self, cells)
