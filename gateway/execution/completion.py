"""What becomes of resolved values, by type: leaves, lists, objects, abstract types.

Each kind completes a whole column at once. Ordinary values pass in few steps; all others (null,
exceptions, awaitables, what graphql-core alone can tell) are set aside one by one. This module must
not know how fields are resolved.
"""

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from enum import Enum
from itertools import repeat
from types import CoroutineType, GeneratorType
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLError,
    GraphQLID,
    GraphQLInt,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLString,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.executor import Executor, invalid_return_type_error
from graphql.pyutils import Path, Undefined, is_iterable

from gateway.execution.run import Cell, Fields, Position, Run, Selected

__all__ = ["Compile", "ValuePlan", "value_plan"]

Compile = Callable[[Executor[Any], GraphQLObjectType, Selected, Position], Fields]
# Values of these types are what the answer has already.
SAME = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}
LARGEST_INT = 2**31 - 1
# A field meets few types; where types are made as it goes, no more than these are remembered.
MOST_TYPES = 64


def value_plan(
    type_: GraphQLOutputType,
    selected: Selected,
    above: Position | None,
    typename: str | None,
    compile_: Compile,
) -> "ValuePlan":
    """How values of a type are completed. `compile_` makes the plan of an object type's fields."""
    position = Position(is_non_null_type(type_), above)
    named = type_.of_type if is_non_null_type(type_) else type_
    kind: type[ValuePlan] = ObjectValue
    if is_list_type(named):
        kind = ListValue
    elif is_leaf_type(named):
        kind = LeafValue
    elif is_abstract_type(named):
        kind = AbstractValue
    return kind(named, selected, position, typename, compile_)


class ValuePlan:
    """A place of the plan, whose values are of one type; see run.Place."""

    def __init__(
        self,
        type_: Any,
        selected: Selected,
        position: Position,
        typename: str | None,
        compile_: Compile,
    ) -> None:
        self.type = type_
        self.selected = selected
        self.position = position
        self.typename = typename
        self._compile = compile_
        self._ordinary: set[type] = set()

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Place."""
        raise NotImplementedError

    def _set_aside(self, run: Run, cell: Cell) -> bool:
        """True where the value is dealt with: it is null, an error, or to be awaited."""
        value, container, key, parent = cell
        if run.is_awaitable(value):
            run.wait(value, self, container, key, parent)
        elif isinstance(value, Exception):
            run.fail(self, parent, key, value)
        elif value is not None and value is not Undefined:
            if _tells_all(type(value)) and len(self._ordinary) < MOST_TYPES:
                self._ordinary.add(type(value))
            return False
        elif self.position.is_non_null:
            error = TypeError(f"Cannot return null for non-nullable field {self.selected}.")
            run.fail(self, parent, key, error)
        else:
            container[key] = None
        return True


def _tells_all(kind: type) -> bool:
    """True where the type alone says that a value is neither awaitable, an exception nor null."""
    if issubclass(kind, Exception | GeneratorType | CoroutineType):
        return False
    return not any(vars(base).keys() & {"__await__", "__getattr__"} for base in kind.__mro__)


class LeafValue(ValuePlan):
    """Scalars and enums. How values of a Python type are written is found out once."""

    def __init__(self, *plan: Any) -> None:
        super().__init__(*plan)
        self._same: set[type] = {SAME[self.type]} if self.type in SAME else set()
        if not self.position.is_non_null:
            self._same.add(type(None))
        self._writers: dict[type, Callable[[Any], Any]] = {}

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Place."""
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
            except Exception as error:
                run.fail(self, parent, key, error)
            else:
                container[key] = written

    def _writer(self, value: Any) -> Callable[[Any], Any]:
        """How values of this one's type are written. It raises what the type raises."""
        if isinstance(self.type, GraphQLEnumType) and isinstance(value, Enum):
            return _Names(self.type).__getitem__
        if self.type is GraphQLInt and type(value) is int:
            return _int
        write: Callable[[Any], Any] = self.type.coerce_output_value
        return write


class _Names(dict[Enum, str]):
    """The names of an enum's members, each looked up once."""

    def __init__(self, type_: GraphQLEnumType) -> None:
        self._type = type_

    def __missing__(self, member: Enum) -> str:
        name = self[member] = self._type.coerce_output_value(member)
        return name


def _int(value: int) -> Any:
    small = -LARGEST_INT <= value <= LARGEST_INT
    return value if small else GraphQLInt.coerce_output_value(value)


class ListValue(ValuePlan):
    """Lists: the items of all lists of a level go on as one column."""

    def __init__(self, *plan: Any) -> None:
        super().__init__(*plan)
        self._item = value_plan(
            self.type.of_type, self.selected, self.position, None, self._compile
        )

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Place."""
        items: list[Any] = []
        lists: list[Any] = []
        places: list[int] = []
        paths: list[Path] = []
        for value, container, key, parent in cells:
            if type(value) is not list:
                if self._set_aside(run, (value, container, key, parent)):
                    continue
                if run.executor.is_async_iterable(value):
                    later = self._by_graphql_core(run, value, Path(parent, key, self.typename))
                    run.wait(later, Settled(self), container, key, parent)
                    continue
            before = len(items)
            iterator: Iterator[Any] = iter(())
            try:
                iterator = self._iterator(value)
                items.extend(iterator)
            except Exception as error:
                run.executor.track_async_work([*items[before:], *_rest(iterator)])
                del items[before:]
                run.fail(self, parent, key, error)
                continue
            count = len(items) - before
            container[key] = made = [None] * count
            lists.extend(repeat(made, count))
            places.extend(range(count))
            paths.extend(repeat(Path(parent, key, self.typename), count))
        if items:
            self._item.complete(run, zip(items, lists, places, paths, strict=True))

    def _iterator(self, value: Any) -> Iterator[Any]:
        if not is_iterable(value):
            field = str(self.selected)
            raise GraphQLError(f"Expected Iterable, but did not find one for field '{field}'.")
        return iter(value)

    async def _by_graphql_core(self, run: Run, value: AsyncIterable[Any], path: Path) -> Any:
        """An async iterable is completed item by item, and closed early where that fails."""
        details, info = self.selected.details, run.info(self.selected, path)
        return await run.executor.complete_list_value(  # type: ignore[misc]
            self.type, details, info, path, value, None
        )


def _rest(iterator: Iterator[Any]) -> list[Any]:
    """What an iterator that raised still has: it may be awaitable, and has to be settled."""
    rest: list[Any] = []
    with suppress(Exception):
        rest.extend(iterator)
    return rest


class ObjectValue(ValuePlan):
    """Objects of one type: their fields are the next level."""

    _plan: Fields | None = None

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Place."""
        ordinary, is_type_of = self._ordinary, self.type.is_type_of
        accepted: list[Cell] = []
        for cell in cells:
            value, container, key, parent = cell
            if type(value) not in ordinary and self._set_aside(run, cell):
                continue
            if is_type_of is not None:
                path = Path(parent, key, self.typename)
                try:
                    verdict = is_type_of(value, run.info(self.selected, path))
                    if run.is_awaitable(verdict):
                        pair = _paired(value, verdict)
                        run.wait(pair, Judged(self), container, key, parent)
                        continue
                    self.require(value, verdict)
                except Exception as error:
                    run.fail(self, parent, key, error)
                    continue
            accepted.append(cell)
        if accepted:
            self.open(run, accepted)

    def require(self, value: Any, verdict: Any) -> None:
        """Raises GraphQLError where the value is of another type."""
        if not verdict:
            raise invalid_return_type_error(self.type, value, self.selected.details)

    def open(self, run: Run, cells: list[Cell]) -> None:
        """Their fields are asked when this level is done."""
        try:
            if self._plan is None:
                self._plan = self._compile(run.executor, self.type, self.selected, self.position)
        except Exception as error:
            for _, _, key, parent in cells:
                run.fail(self, parent, key, error)
            return
        results: list[dict[str, Any]] = []
        paths: list[Path] = []
        for _, container, key, parent in cells:
            result: dict[str, Any] = {}
            container[key] = result
            results.append(result)
            paths.append(Path(parent, key, self.typename))
        run.enqueue(self._plan, [cell[0] for cell in cells], results, paths)


class AbstractValue(ValuePlan):
    """Objects of an interface or union: those of one type go on together."""

    def __init__(self, *plan: Any) -> None:
        super().__init__(*plan)
        self._objects: dict[GraphQLObjectType, ObjectValue] = {}

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Place."""
        resolve_type = self.type.resolve_type or run.executor.type_resolver
        named: list[Cell] = []
        for cell in cells:
            value, container, key, parent = cell
            if self._set_aside(run, cell):
                continue
            try:
                info = run.info(self.selected, Path(parent, key, self.typename))
                name = resolve_type(value, info, self.type)
            except Exception as error:
                run.fail(self, parent, key, error)
                continue
            if run.is_awaitable(name):
                run.wait(_paired(value, name), Typed(self), container, key, parent)
            else:
                named.append(((value, name), container, key, parent))
        if named:
            self.sort(run, named)

    def sort(self, run: Run, cells: Iterable[Cell]) -> None:
        """Values with the names of their types: each goes on with its like."""
        groups: dict[GraphQLObjectType, list[Cell]] = {}
        for (value, name), container, key, parent in cells:
            try:
                info = run.info(self.selected, Path(parent, key, self.typename))
                type_ = run.executor.ensure_valid_runtime_type(
                    name, self.type, self.selected.details, info, value
                )
            except Exception as error:
                run.fail(self, parent, key, error)
            else:
                groups.setdefault(type_, []).append((value, container, key, parent))
        for type_, group in groups.items():
            if type_ not in self._objects:
                self._objects[type_] = ObjectValue(
                    type_, self.selected, self.position, self.typename, self._compile
                )
            self._objects[type_].complete(run, group)


async def _paired(value: Any, awaitable: Awaitable[Any]) -> tuple[Any, Any]:
    return value, await awaitable


class Later:
    """Where a place goes on with what it made of its values; see run.Place."""

    def __init__(self, place: Any) -> None:
        self.place = place
        self.selected, self.position, self.typename = place.selected, place.position, place.typename

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.place is other.place

    def __hash__(self) -> int:
        return hash((type(self), id(self.place)))

    def complete(self, run: Run, cells: Iterable[Cell]) -> None:
        """See run.Place."""
        came: list[Cell] = []
        for cell in cells:
            value, _, key, parent = cell
            try:
                if isinstance(value, Exception):
                    raise value
                came.append(self._checked(cell))
            except Exception as error:
                run.fail(self, parent, key, error)
        self._go_on(run, came)

    def _checked(self, cell: Cell) -> Cell:
        return cell

    def _go_on(self, run: Run, cells: list[Cell]) -> None:
        raise NotImplementedError


class Settled(Later):
    """A value that is complete."""

    def _go_on(self, _run: Run, cells: list[Cell]) -> None:
        for value, container, key, _ in cells:
            container[key] = value


class Judged(Later):
    """A value, and whether it is of the object type."""

    def _checked(self, cell: Cell) -> Cell:
        (value, verdict), container, key, parent = cell
        self.place.require(value, verdict)
        return value, container, key, parent

    def _go_on(self, run: Run, cells: list[Cell]) -> None:
        self.place.open(run, cells)


class Typed(Later):
    """A value, and the name of its type."""

    def _go_on(self, run: Run, cells: list[Cell]) -> None:
        self.place.sort(run, cells)
