"""What becomes of resolved values, by type: leaves, lists, objects, abstract types.

Each kind completes a whole column at once. Ordinary values pass in few steps; all others (null,
exceptions, awaitables, what graphql-core alone can tell) are set aside one by one. This module must
not know how fields are resolved.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from enum import Enum
from itertools import repeat
from types import CoroutineType, GeneratorType
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLID,
    GraphQLInt,
    GraphQLObjectType,
    GraphQLString,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.executor import Executor, invalid_return_type_error
from graphql.pyutils import Path, Undefined

from gateway.execution.run import Cell, FieldPlan, Place, Rows, Run, Selected

__all__ = ["Completion", "completion"]

# Makes the plan of an object type's fields at a place.
Compile = Callable[[Executor[Any], GraphQLObjectType, Place], Sequence[FieldPlan]]
# Values of these types are what the answer has already.
SAME = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}
LARGEST_INT = 2**31 - 1
# A field meets few types; where types are made as it goes, no more than these are remembered.
MOST_TYPES = 64


def completion(
    type_: Any, selected: Selected, typename: str | None, above: Place | None, compile_: Compile
) -> "Completion":
    """How the values of a field, or the items of a list in it, are completed."""
    place = Place(selected, typename, is_non_null_type(type_), above)
    named = type_.of_type if place.is_non_null else type_
    kind: type[Completion] = ObjectCompletion
    if is_list_type(named):
        kind = ListCompletion
    elif is_leaf_type(named):
        kind = LeafCompletion
    elif is_abstract_type(named):
        kind = AbstractCompletion
    return kind(named, place, compile_)


class Completion:
    """How values of a type are completed at a place."""

    def __init__(self, type_: Any, place: Place, compile_: Compile) -> None:
        self.type, self.place, self._compile = type_, place, compile_
        self._ordinary: set[type] = set()

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Complete."""
        raise NotImplementedError

    def _set_aside(self, run: Run, cell: Cell) -> bool:
        """True where the value is dealt with: it is null, an error, or to be awaited."""
        value, container, key, _ = cell
        if run.is_awaitable(value):
            run.wait(value, self.complete, cell)
        elif isinstance(value, Exception):
            run.fail(self.place, cell, value)
        elif value is not None and value is not Undefined:
            if _tells_all(type(value)) and len(self._ordinary) < MOST_TYPES:
                self._ordinary.add(type(value))
            return False
        elif self.place.is_non_null:
            message = f"Cannot return null for non-nullable field {self.place.selected}."
            run.fail(self.place, cell, TypeError(message))
        else:
            container[key] = None
        return True

    def _came(self, run: Run, cells: Iterable[Cell]) -> Iterator[Cell]:
        """Those of the cells that hold no exception."""
        for cell in cells:
            if isinstance(cell[0], Exception):
                run.fail(self.place, cell, cell[0])
            else:
                yield cell

    def _info(self, run: Run, cell: Cell) -> Any:
        return run.info(self.place.selected, Path(cell[3], cell[2], self.place.typename))


def _tells_all(kind: type) -> bool:
    """True where the type alone says that a value is neither awaitable, an exception nor null."""
    if issubclass(kind, Exception | GeneratorType | CoroutineType):
        return False
    return not any(vars(base).keys() & {"__await__", "__getattr__"} for base in kind.__mro__)


class LeafCompletion(Completion):
    """Scalars and enums. How values of a Python type are written is found out once."""

    def __init__(self, type_: Any, place: Place, compile_: Compile) -> None:
        super().__init__(type_, place, compile_)
        self._same: set[type] = {SAME[type_]} if type_ in SAME else set()
        if not place.is_non_null:
            self._same.add(type(None))
        self._writers: dict[type, Callable[[Any], Any]] = {}

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Complete."""
        same, writers = self._same, self._writers
        for value, container, key, parent in cells:
            kind = type(value)
            if kind in same:
                container[key] = value
                continue
            write = writers.get(kind)
            if write is None:
                if self._set_aside(run, (value, container, key, parent)):
                    continue
                write = self._writer(value)
                if kind in self._ordinary:
                    writers[kind] = write
            try:
                written = write(value)
                if written is None or written is Undefined:
                    written = run.executor.complete_leaf_value(self.type, value)
                container[key] = written
            except Exception as error:
                run.fail(self.place, (value, container, key, parent), error)

    def _writer(self, value: Any) -> Callable[[Any], Any]:
        """How values of this one's type are written. It raises what the type raises."""
        if isinstance(self.type, GraphQLEnumType) and isinstance(value, Enum):
            return Names(self.type).__getitem__
        if self.type is GraphQLInt and type(value) is int:
            return _int
        write: Callable[[Any], Any] = self.type.coerce_output_value
        return write


class Names(dict[Enum, str]):
    """The names of an enum's members, each looked up once."""

    def __init__(self, type_: GraphQLEnumType) -> None:
        self._type = type_

    def __missing__(self, member: Enum) -> str:
        name = self[member] = self._type.coerce_output_value(member)
        return name


def _int(value: int) -> Any:
    small = -LARGEST_INT <= value <= LARGEST_INT
    return value if small else GraphQLInt.coerce_output_value(value)


class ListCompletion(Completion):
    """Lists: the items of all lists of a level go on as one column."""

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
                if not self._set_aside(run, cell):
                    self._leave(run, cell)
                continue
            count = len(value)
            container[key] = made = [None] * count
            items.extend(value)
            lists.extend(repeat(made, count))
            indices.extend(range(count))
            paths.extend(repeat(Path(parent, key, self.place.typename), count))
        if items:
            self._item.complete(run, zip(items, lists, indices, paths, strict=True))

    def _leave(self, run: Run, cell: Cell) -> None:
        """To graphql-core: what is iterated may fail on the way, or be async."""
        path, details = Path(cell[3], cell[2], self.place.typename), self.place.selected.details
        try:
            made: Any = run.executor.complete_list_value(
                self.type, details, self._info(run, cell), path, cell[0], None
            )
        except Exception as error:
            made = error
        if run.is_awaitable(made):
            run.wait(made, self._put, cell)
        else:
            self._put(run, [(made, *cell[1:])])

    def _put(self, run: Run, cells: Iterable[Cell]) -> None:
        for value, container, key, _ in self._came(run, cells):
            container[key] = value


async def _paired(value: Any, awaitable: Awaitable[Any]) -> tuple[Any, Any]:
    return value, await awaitable


class ObjectCompletion(Completion):
    """Objects of one type: their fields are the next level."""

    _fields: Sequence[FieldPlan] | None = None

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Complete."""
        ordinary, is_type_of = self._ordinary, self.type.is_type_of
        accepted: list[Cell] = []
        for cell in cells:
            if type(cell[0]) not in ordinary and self._set_aside(run, cell):
                continue
            if is_type_of is not None:
                try:
                    verdict = is_type_of(cell[0], self._info(run, cell))
                except Exception as error:
                    run.fail(self.place, cell, error)
                    continue
                if run.is_awaitable(verdict):
                    run.wait(_paired(cell[0], verdict), self._judge, cell)
                    continue
                if not self._is_right(run, cell, verdict):
                    continue
            accepted.append(cell)
        self._open(run, accepted)

    def _judge(self, run: Run, cells: Iterable[Cell]) -> None:
        """Values, and whether they are of the type."""
        pairs = [(cell[0][1], (cell[0][0], *cell[1:])) for cell in self._came(run, cells)]
        self._open(run, [cell for verdict, cell in pairs if self._is_right(run, cell, verdict)])

    def _is_right(self, run: Run, cell: Cell, verdict: Any) -> bool:
        if not verdict:
            details = self.place.selected.details
            run.fail(self.place, cell, invalid_return_type_error(self.type, cell[0], details))
        return bool(verdict)

    def _open(self, run: Run, cells: list[Cell]) -> None:
        """Their fields are asked when this level is done."""
        if not cells:
            return
        try:
            if self._fields is None:
                self._fields = self._compile(run.executor, self.type, self.place)
        except Exception as error:
            for cell in cells:
                run.fail(self.place, cell, error)
            return
        results: list[dict[str, Any]] = []
        for _, container, key, _ in cells:
            container[key] = result = dict[str, Any]()
            results.append(result)
        typename = self.place.typename
        paths = [Path(parent, key, typename) for _, _, key, parent in cells]
        run.enqueue(self._fields, Rows([cell[0] for cell in cells], results, paths))


class AbstractCompletion(Completion):
    """Objects of an interface or union: those of one type go on together."""

    def __init__(self, type_: Any, place: Place, compile_: Compile) -> None:
        super().__init__(type_, place, compile_)
        self._objects: dict[GraphQLObjectType, ObjectCompletion] = {}

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Complete."""
        resolve_type = self.type.resolve_type or run.executor.type_resolver
        named: list[Cell] = []
        for cell in cells:
            if self._set_aside(run, cell):
                continue
            try:
                name = resolve_type(cell[0], self._info(run, cell), self.type)
            except Exception as error:
                run.fail(self.place, cell, error)
                continue
            if run.is_awaitable(name):
                run.wait(_paired(cell[0], name), self._sort, cell)
            else:
                named.append(((cell[0], name), *cell[1:]))
        self._sort(run, named)

    def _sort(self, run: Run, cells: Iterable[Cell]) -> None:
        """Values with the names of their types: each goes on with its like."""
        groups: dict[GraphQLObjectType, list[Cell]] = {}
        details = self.place.selected.details
        for cell in self._came(run, cells):
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
            if type_ not in self._objects:
                self._objects[type_] = ObjectCompletion(type_, self.place, self._compile)
            self._objects[type_].complete(run, group)
