"""Completes resolved values, by type: leaves, lists, objects, abstract types.

Each class completes a whole column at once. Plain values take few steps. All others (null,
exceptions, awaitables, values that only graphql-core can complete) are handled one by one. This
module must not know how fields are resolved.
"""

from asyncio import Future
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import repeat
from types import CoroutineType, GeneratorType
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLID,
    GraphQLObjectType,
    GraphQLString,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.executor import invalid_return_type_error
from graphql.pyutils import Path, Undefined

from gateway.execution.run import Cell, FieldPlan, Place, Rows, Run, Selected, ShortcutExecutor

__all__ = ["Completion", "completion"]

# Compiles the fields that are selected of an object type at a place.
Compile = Callable[[ShortcutExecutor, GraphQLObjectType, Place], Sequence[FieldPlan]]
# Values of these Python types need no serialization.
NATIVE_TYPES = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}
# Path(...) for each tuple, without a call of Python for each.
_as_path: Callable[[tuple[Any, ...]], Path] = partial(tuple.__new__, Path)
# Python types that each place remembers; a program may create types without end.
MAX_TYPES = 64


def completion(
    type_: Any, selected: Selected, typename: str | None, above: Place | None, compile_: Compile
) -> "Completion":
    """The Completion for the values of a field, or for the items of its lists."""
    place = Place(selected, typename, is_non_null_type(type_), above)
    nullable = type_.of_type if place.is_non_null else type_
    kind: type[Completion] = ObjectCompletion
    if is_list_type(nullable):
        kind = ListCompletion
    elif is_leaf_type(nullable):
        kind = LeafCompletion
    elif is_abstract_type(nullable):
        kind = AbstractCompletion
    return kind(nullable, place, compile_)


class Completion:
    """Completes the values of a GraphQL type at a place."""

    def __init__(self, type_: Any, place: Place, compile_: Compile) -> None:
        self.type, self.place, self._compile = type_, place, compile_
        self._plain_types: set[type] = set()

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Complete."""
        raise NotImplementedError

    def _handle_special(self, run: Run, cell: Cell) -> bool:
        """Handles null, an error or an awaitable. Returns False for any other value."""
        value, container, key, _ = cell
        if value is None or value is Undefined:
            if self.place.is_non_null:
                message = f"Cannot return null for non-nullable field {self.place.selected}."
                run.fail(self.place, cell, TypeError(message))
            else:
                container[key] = None
        elif isinstance(value, Future) or run.is_awaitable(value):
            run.wait(value, self.complete, cell)
        elif isinstance(value, Exception):
            run.fail(self.place, cell, value)
        else:
            if _is_plain_type(type(value)) and len(self._plain_types) < MAX_TYPES:
                self._plain_types.add(type(value))
            return False
        return True

    def _without_errors(self, run: Run, cells: Iterable[Cell]) -> Iterator[Cell]:
        """Fails the cells that hold an exception, and returns the others."""
        for cell in cells:
            if isinstance(cell[0], Exception):
                run.fail(self.place, cell, cell[0])
            else:
                yield cell

    def _info(self, run: Run, cell: Cell) -> Any:
        return run.info(self.place.selected, Path(cell[3], cell[2], self.place.typename))


def _is_plain_type(kind: type) -> bool:
    """True if the type alone excludes that a value is an awaitable, an exception or null."""
    if issubclass(kind, Exception | GeneratorType | CoroutineType):
        return False
    return not any(vars(base).keys() & {"__await__", "__getattr__"} for base in kind.__mro__)


class LeafCompletion(Completion):
    """Scalars and enums."""

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Complete."""
        native = NATIVE_TYPES.get(self.type)
        for cell in cells:
            value, container, key, _ = cell
            if type(value) is not native:
                if self._handle_special(run, cell):
                    continue
                try:
                    value = run.executor.complete_leaf_value(self.type, value)
                except Exception as error:
                    run.fail(self.place, cell, error)
                    continue
            container[key] = value


class ListCompletion(Completion):
    """Lists. It completes the items of all lists of a level as one column."""

    def __init__(self, type_: Any, place: Place, compile_: Compile) -> None:
        super().__init__(type_, place, compile_)
        self._item = completion(type_.of_type, place.selected, None, place, compile_)

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Complete."""
        items: list[Any] = []
        lists: list[Any] = []
        indices: list[int] = []
        paths: list[Path] = []
        for cell in cells:
            value, container, key, parent = cell
            if type(value) is not list and type(value) is not tuple:
                if not self._handle_special(run, cell):
                    self._delegate(run, cell)
                continue
            count = len(value)
            container[key] = made = [None] * count
            items.extend(value)
            lists.extend(repeat(made, count))
            indices.extend(range(count))
            paths.extend(repeat(Path(parent, key, self.place.typename), count))
        if items:
            self._item.complete(run, zip(items, lists, indices, paths, strict=True))

    def _delegate(self, run: Run, cell: Cell) -> None:
        """Leaves other iterables to graphql-core: they may be async, or raise during iteration."""
        path, details = Path(cell[3], cell[2], self.place.typename), self.place.selected.details
        try:
            made: Any = run.executor.complete_list_value(
                self.type, details, self._info(run, cell), path, cell[0], None
            )
        except Exception as error:
            made = error
        if run.is_awaitable(made):
            run.wait(made, self._store, cell)
        else:
            self._store(run, [(made, *cell[1:])])

    def _store(self, run: Run, cells: Iterable[Cell]) -> None:
        for value, container, key, _ in self._without_errors(run, cells):
            container[key] = value


async def _with_value(value: Any, awaitable: Awaitable[Any]) -> tuple[Any, Any]:
    return value, await awaitable


class ObjectCompletion(Completion):
    """Objects of one type. Their fields are the next level."""

    def __init__(self, type_: Any, place: Place, compile_: Compile) -> None:
        super().__init__(type_, place, compile_)
        self._accepted_classes: set[type] = set()
        self._fields: Sequence[FieldPlan] | None = None

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Complete."""
        accepted = [*cells]
        if not self._accepted_classes.issuperset({type(cell[0]) for cell in accepted}):
            accepted = [cell for cell in accepted if self._is_accepted(run, cell)]
        self._enqueue(run, accepted)

    def _is_accepted(self, run: Run, cell: Cell) -> bool:
        """False if the cell's value is no object of this type, or is awaited."""
        value, is_type_of = cell[0], self.type.is_type_of
        if type(value) in self._accepted_classes:
            return True
        if self._handle_special(run, cell):
            return False
        if is_type_of is not None:
            try:
                verdict = is_type_of(value, self._info(run, cell))
            except Exception as error:
                run.fail(self.place, cell, error)
                return False
            if run.is_awaitable(verdict):
                run.wait(_with_value(value, verdict), self._complete_checked, cell)
                return False
            if not self._check_type(run, cell, verdict):
                return False
        if is_type_of is None or run.executor.checks_class_only(self.type):
            self._accepted_classes |= self._plain_types & {type(value)}
        return True

    def _complete_checked(self, run: Run, cells: Iterable[Cell]) -> None:
        """Completes pairs of a value and the result of is_type_of."""
        pairs = [(cell[0][1], (cell[0][0], *cell[1:])) for cell in self._without_errors(run, cells)]
        self._enqueue(
            run, [cell for verdict, cell in pairs if self._check_type(run, cell, verdict)]
        )

    def _check_type(self, run: Run, cell: Cell, verdict: Any) -> bool:
        if not verdict:
            details = self.place.selected.details
            run.fail(self.place, cell, invalid_return_type_error(self.type, cell[0], details))
        return bool(verdict)

    def _enqueue(self, run: Run, cells: list[Cell]) -> None:
        """Schedules the fields of these objects after this level."""
        if not cells:
            return
        try:
            if self._fields is None:
                self._fields = self._compile(run.executor, self.type, self.place)
        except Exception as error:
            for cell in cells:
                run.fail(self.place, cell, error)
            return
        sources, containers, keys, parents = zip(*cells, strict=True)
        results: list[dict[str, Any]] = [{} for _ in cells]
        for result, container, key in zip(results, containers, keys, strict=True):
            container[key] = result
        paths = [*map(_as_path, zip(parents, keys, repeat(self.place.typename)))]
        run.enqueue(self._fields, Rows(sources, results, paths))


class AbstractCompletion(Completion):
    """Objects of an interface or union. It completes the objects of each type together."""

    def __init__(self, type_: Any, place: Place, compile_: Compile) -> None:
        super().__init__(type_, place, compile_)
        self._completions: dict[GraphQLObjectType, ObjectCompletion] = {}

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Complete."""
        resolve_type = self.type.resolve_type or run.executor.type_resolver
        named: list[Cell] = []
        for cell in cells:
            if self._handle_special(run, cell):
                continue
            try:
                name = resolve_type(cell[0], self._info(run, cell), self.type)
            except Exception as error:
                run.fail(self.place, cell, error)
                continue
            if run.is_awaitable(name):
                run.wait(_with_value(cell[0], name), self._complete_by_type, cell)
            else:
                named.append(((cell[0], name), *cell[1:]))
        self._complete_by_type(run, named)

    def _complete_by_type(self, run: Run, cells: Iterable[Cell]) -> None:
        """Groups pairs of a value and its type's name by type, and completes each group."""
        groups: dict[GraphQLObjectType, list[Cell]] = {}
        details = self.place.selected.details
        for cell in self._without_errors(run, cells):
            value, name = cell[0]
            try:
                type_ = run.executor.ensure_valid_runtime_type(
                    name, self.type, details, self._info(run, cell), value
                )
            except Exception as error:
                run.fail(self.place, cell, error)
            else:
                groups.setdefault(type_, []).append((value, *cell[1:]))
        for type_, group in groups.items():
            if type_ not in self._completions:
                self._completions[type_] = ObjectCompletion(type_, self.place, self._compile)
            self._completions[type_].complete(run, group)
