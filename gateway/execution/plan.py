"""What an operation asks, compiled: the fields of each object type that it meets, merged.

A plan holds nothing of one request but whether its @skip and @include hold (executor). What is
below an object is compiled when the first object of its type comes. A plan must not refer to
itself in a circle, nor to its document: it is freed with it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

from graphql import GraphQLObjectType, Node, TypeNameMetaFieldDef, VariableNode
from graphql.execution.collect_fields import GroupedFieldSet
from graphql.execution.executor import Executor, default_field_resolver
from graphql.execution.values import get_argument_values
from graphql.pyutils import Path

from gateway.execution.completion import value_plan
from gateway.execution.run import Field, Paths, Position, Results, Run, Selected

__all__ = ["Binding", "ObjectPlan", "Shortcut", "nodes_in"]

Arguments = dict[str, Any]
# No resolver can change a value of these types, so every request may be handed the same.
UNCHANGING = (str, int, float, bool, type(None), Enum)


class Binding(NamedTuple):
    """A field's resolver in one request, with its arguments.

    It takes the source and, where `needs_info`, the field's info.
    """

    resolve: Callable[..., Any]
    needs_info: bool = True


Shortcut = Callable[[Any, Arguments], Binding]


class ObjectPlan:
    """The fields that are selected of an object type at one place of an operation."""

    def __init__(
        self,
        executor: Executor[Any],
        type_: GraphQLObjectType,
        grouped: GroupedFieldSet,
        position: Position | None = None,
    ) -> None:
        """`position` is the objects' own; None at the root."""
        self.fields: list[Field] = []
        for key, details in grouped.items():
            definition = executor.schema.get_field(type_, details[0].node.name.value)
            if definition:
                selected = Selected(key, details, definition, type_)
                of_kind = TypeName if definition is TypeNameMetaFieldDef else FieldPlan
                self.fields.append(of_kind(executor, selected, position))

    @classmethod
    def below(
        cls,
        executor: Executor[Any],
        type_: GraphQLObjectType,
        selected: Selected,
        position: Position,
    ) -> "ObjectPlan":
        """What a field selects of an object type. Raises GraphQLError."""
        grouped, _, _ = executor.collect_subfields(type_, selected.details)
        return cls(executor, type_, grouped, position)


class TypeName:
    """`__typename`, which is the same for all objects of a plan."""

    def __init__(self, _: Executor[Any], selected: Selected, _above: Position | None) -> None:
        self._key, self._name = selected.key, selected.parent_type.name

    def run(self, _run: Run, _sources: Sequence[Any], results: Results, _paths: Paths) -> None:
        """See run.Field."""
        for result in results:
            result[self._key] = self._name


class FieldPlan:
    """One response key of an object type: how it is resolved, and what becomes of the values."""

    def __init__(self, executor: Executor[Any], selected: Selected, above: Position | None) -> None:
        type_, typename = selected.definition.type, selected.parent_type.name
        self._selected = selected
        self._value = value_plan(type_, selected, above, typename, ObjectPlan.below)
        self._arguments = _constant_arguments(selected)
        shortcut = getattr(executor, "shortcut", None)
        self._shortcut: Shortcut | None = shortcut(selected.definition) if shortcut else None

    def run(self, run: Run, sources: Sequence[Any], results: Results, paths: Paths) -> None:
        """See run.Field."""
        values = self._resolved(run, sources, paths)
        self._value.complete(
            run, zip(values, results, repeat(self._selected.key), paths, strict=False)
        )

    def _resolved(self, run: Run, sources: Sequence[Any], paths: Paths) -> Sequence[Any]:
        """What the resolver returned for each source, or the exception that it raised."""
        selected = self._selected
        binding = run.bindings.get(selected)
        if binding is None:
            try:
                binding = run.bindings[selected] = self._bound(run, paths[0])
            except Exception as error:
                return [error] * len(sources)
        resolve = binding.resolve
        if not binding.needs_info:
            return _each(resolve, sources)
        if resolve is default_field_resolver:
            return self._properties(run, sources, paths)
        values: list[Any] = []
        for source, path in zip(sources, paths, strict=True):
            try:
                values.append(resolve(source, run.info(selected, self._path(path))))
            except Exception as error:
                values.append(error)
        return values

    def _bound(self, run: Run, path: Path | None) -> Binding:
        """The resolver with its arguments. Raises GraphQLError, and what a shortcut raises."""
        executor, selected = run.executor, self._selected
        arguments = self._arguments
        if arguments is None:
            arguments = get_argument_values(
                selected.definition,
                selected.nodes[0],
                executor.variable_values,
                hide_suggestions=executor.hide_suggestions,
            )
        if self._shortcut is not None:
            return self._shortcut(run.info(selected, self._path(path)), arguments)
        resolve = selected.definition.resolve or executor.field_resolver
        return Binding(partial(resolve, **arguments) if arguments else resolve)

    def _properties(self, run: Run, sources: Sequence[Any], paths: Paths) -> Sequence[Any]:
        """As default_field_resolver, which needs an info only for what can be called."""
        name = self._selected.name
        values: list[Any] = []
        for source, path in zip(sources, paths, strict=True):
            try:
                if type(source) is dict or isinstance(source, Mapping):
                    value = source.get(name)
                else:
                    value = getattr(source, name, None)
                if callable(value):
                    value = value(run.info(self._selected, self._path(path)))
            except Exception as error:
                value = error
            values.append(value)
        return values

    def _path(self, above: Path | None) -> Path:
        return Path(above, self._selected.key, self._selected.parent_type.name)


def _each(read: Callable[[Any], Any], sources: Sequence[Any]) -> list[Any]:
    """What `read` returns or raises for each source: a list keeps what came before an exception."""
    values: list[Any] = []
    waiting = iter(sources)
    while len(values) < len(sources):
        try:
            values.extend(map(read, waiting))
            if len(values) < len(sources):
                values.append(StopIteration())
        except Exception as error:
            values.append(error)
    return values


def _constant_arguments(selected: Selected) -> Arguments | None:
    """The arguments, where every request has the same and no resolver can change them."""
    node = selected.nodes[0]
    if not selected.definition.args and not node.arguments:
        return {}
    if any(isinstance(part, VariableNode) for part in nodes_in(*node.arguments or ())):
        return None
    try:
        arguments = get_argument_values(selected.definition, node)
    except Exception:  # each request says so itself
        return None
    is_safe = all(isinstance(value, UNCHANGING) for value in arguments.values())
    return arguments if is_safe else None


def nodes_in(*nodes: Node) -> Iterator[Node]:
    """These nodes and all below them."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        for key in node.keys:
            part = getattr(node, key, None)
            parts = part if isinstance(part, tuple | list) else (part,)
            waiting.extend(one for one in parts if isinstance(one, Node))
