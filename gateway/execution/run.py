"""Runs a plan once: it queues levels, awaits awaitables together and propagates nulls.

This module must not know how a plan is made, nor what a type does with its values.

Note [A level at once]. Objects wait in a queue until every field above them was resolved, so
dataloaders get the keys of a level as one batch. The awaitables that finish in the same turn of the
loop are completed as one group: a fast row does not wait for a slow one.

Note [Nulls]. Containers are in the response before they are filled. So an error becomes null at
once, at the nearest nullable place. Values that are still pending below this place are dropped: the
run resolves no field of them and reports none of their errors.
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

# A value and its position in the response: container, key, path of the container.
Cell = tuple[Any, Any, Any, Path | None]


class ShortcutExecutor(Executor[Any]):
    """graphql-core's executor, and what a program knows of its schema to make plans faster."""

    def shortcut(self, field: GraphQLField) -> Any:
        """A faster equivalent of a field's resolver (a plan.Shortcut); None if there is none."""
        return None

    def checks_class_only(self, type_: GraphQLObjectType) -> bool:
        """True if the type's `is_type_of` depends only on the Python class of the object."""
        return False


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
    """A position of the response without its row. Items of a list have a place of their own.

    `typename` is the type of the object that has the field; None for an item.
    """

    selected: Selected
    typename: str | None
    is_non_null: bool
    above: "Place | None"


class Rows(NamedTuple):
    """Objects of one type, in parallel columns: sources, result objects and their paths."""

    sources: Sequence[Any]
    results: Sequence[dict[str, Any]]
    paths: Sequence[Path | None]


# Resolves a field for all these objects.
FieldPlan = Callable[["Run", Rows], None]
Fields = Sequence[FieldPlan]
# Completes values and puts them into the response. An exception is the error of its cell.
Complete = Callable[["Run", Iterable[Cell]], None]


class PendingValue(NamedTuple):
    """A cell whose value is awaited. `cell[0]` is the original value, not the result."""

    awaitable: Awaitable[Any]
    complete: Complete
    cell: Cell


class Run:
    """The state of one run. `nulls` counts the steps by which nulls have propagated upward."""

    def __init__(self, executor: ShortcutExecutor) -> None:
        self.executor = executor
        self.is_awaitable = executor.is_awaitable
        self.bindings: dict[Selected, Any] = {}
        self.nulls = self._swept = 0
        self._data: dict[str, Any] | None = {}
        self._queue: deque[tuple[Fields, Rows]] = deque()
        self._pending: list[PendingValue] = []
        self._tasks: dict[asyncio.Future[Any], list[PendingValue]] = {}
        self._done: list[asyncio.Future[Any]] = []
        self._abandoned: list[asyncio.Future[Any]] = []
        self._wake: asyncio.Future[None] | None = None
        self._info: tuple[Path | None, Any] = (None, None)

    def start(self, fields: Fields, serially: bool) -> Any:
        """Returns the response, or an awaitable of it if something is awaited."""
        steps = iter([[field] for field in fields] if serially else [fields])
        while self._run_step(steps):
            if self._pending:
                return self._run_async(steps)
        return self.executor.build_response(self._data)

    async def _run_async(self, steps: Iterator[Fields]) -> Any:
        await self._await_all()
        while self._run_step(steps):
            await self._await_all()
        return self.executor.build_response(self._data)

    def _run_step(self, steps: Iterator[Fields]) -> bool:
        """Runs the next fields of the root up to what is awaited. Returns False after the last."""
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
        """Queues objects of the next level."""
        self._queue.append((fields, rows))

    def wait(self, awaitable: Awaitable[Any], complete: Complete, cell: Cell) -> None:
        """Completes the cell once the awaitable is done; its key is put into the response now."""
        cell[1][cell[2]] = None
        self._pending.append(PendingValue(awaitable, complete, cell))

    def info(self, selected: Selected, path: Path) -> GraphQLResolveInfo[Any]:
        """The info of a field, from its path or the path of an item in its lists."""
        while path.typename is None and path.prev:
            path = path.prev
        if self._info[0] is not path:
            definition, parent_type = selected.definition, selected.parent_type
            info = self.executor.build_resolve_info(definition, selected.nodes, parent_type, path)
            self._info = path, info
        return self._info[1]  # type: ignore[no-any-return]

    def fail(self, place: Place, cell: Cell, error: Exception) -> None:
        """Adds the cell's error and puts null at the nearest nullable place. See Note [Nulls]."""
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
        """Runs all queued levels. It does not wait for pending values."""
        while self._queue:
            self._run_fields(*self._queue.popleft())
        if self.nulls != self._swept:
            self._swept = self.nulls
            self._cancel_dropped()

    def _cancel_dropped(self) -> None:
        """Cancels the tasks of dropped places, and settles their awaitables that have no task."""
        dropped = [one for one in self._pending if self._is_dropped(one.cell[3])]
        if dropped:
            self._pending = [one for one in self._pending if not self._is_dropped(one.cell[3])]
            self.executor.settle_in_background([one.awaitable for one in dropped])
        for future, pending in list(self._tasks.items()):
            if all(self._is_dropped(one.cell[3]) for one in pending):
                del self._tasks[future]
                future.cancel()
                self._abandoned.append(future)

    async def _await_all(self) -> None:
        """Waits until no value is pending."""
        try:
            while self._pending or self._tasks:
                if len(self._pending) == 1 and not self._tasks:
                    await self._await_one(self._pending.pop())
                else:
                    self._start_tasks()
                    await self._await_some()
                self._drain()
        except BaseException:  # a bug, or the operation is cancelled: no task may stay behind
            self._abandoned.extend(self._tasks)
            for future in self._tasks:
                future.cancel()
            raise
        finally:
            if self._abandoned:
                await asyncio.gather(*self._abandoned, return_exceptions=True)
                self._abandoned.clear()

    async def _await_one(self, pending: PendingValue) -> None:
        """Awaits a single value without a task."""
        try:
            value = await pending.awaitable
        except Exception as error:
            value = error
        pending.complete(self, [(value, *pending.cell[1:])])

    def _start_tasks(self) -> None:
        for pending in self._pending:
            future = asyncio.ensure_future(pending.awaitable)
            if future not in self._tasks:
                self._tasks[future] = []
                future.add_done_callback(self._on_done)
            self._tasks[future].append(pending)
        self._pending = []

    def _on_done(self, future: asyncio.Future[Any]) -> None:
        self._done.append(future)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _await_some(self) -> None:
        """Waits until a task is done, and completes all that are. See Note [A level at once]."""
        if not self._done:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        done, self._done = self._done, []
        groups: dict[Complete, list[Cell]] = {}
        for future in done:
            for pending in self._tasks.pop(future, ()):  # empty if it was cancelled
                try:
                    value = future.result()
                except Exception as error:
                    value = error
                groups.setdefault(pending.complete, []).append((value, *pending.cell[1:]))
        for complete, cells in groups.items():
            complete(self, cells)
