"""Compiles an operation: the merged fields of each object type that it selects.

A plan depends on a request only by the values of its @skip and @include (executor). The fields
below an object are compiled when the first object of its type is completed. A plan must contain no
reference cycle and no reference to its operation, so that it is freed with the operation.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

from graphql import GraphQLObjectType, Node, TypeNameMetaFieldDef, VariableNode
from graphql.execution.collect_fields import GroupedFieldSet
from graphql.execution.values import get_argument_values
from graphql.pyutils import Path

from gateway.execution.completion import completion
from gateway.execution.run import FieldPlan, Place, Rows, Run, Selected, ShortcutExecutor

__all__ = ["Binding", "Shortcut", "compile_fields", "nodes_in"]

Arguments = dict[str, Any]
# No resolver can change a value of these types, so all requests may share it.
IMMUTABLE = (str, int, float, bool, type(None), Enum)


class Binding(NamedTuple):
    """A field's resolver in one request, with its arguments bound.

    It takes the source and, if `needs_info`, the field's info. `resolve_all` is a faster equivalent
    for all sources of a level, `outputs` for those of a leaf: the output values of all sources. If
    one of these raises, each source is resolved by itself.
    """

    resolve: Callable[..., Any]
    needs_info: bool = True
    resolve_all: Callable[[Sequence[Any]], Sequence[Any]] | None = None
    outputs: Callable[[Sequence[Any]], Sequence[Any]] | None = None


Shortcut = Binding | Callable[[Any, Callable[[], Any], Arguments], Binding]
"""A field's Binding in all requests, or what makes that of one request. It takes the context, a
function that makes the field's info, and the coerced arguments."""


def compile_fields(
    executor: ShortcutExecutor,
    type_: GraphQLObjectType,
    grouped: GroupedFieldSet,
    place: Place | None = None,
) -> Sequence[FieldPlan]:
    """Compiles the fields of the objects at a place, in the order of the response's keys."""
    plans: list[FieldPlan] = []
    for key, details in grouped.items():
        definition = executor.schema.get_field(type_, details[0].node.name.value)
        if definition:
            selected = Selected(key, details, definition, type_)
            if definition is TypeNameMetaFieldDef:
                plans.append(partial(_put_typename, key, type_.name))
            else:
                plans.append(CompiledField(executor, selected, place).run)
    return plans


def _compile_subfields(
    executor: ShortcutExecutor, type_: GraphQLObjectType, place: Place
) -> Sequence[FieldPlan]:
    """Compiles what a field selects of an object type. Raises GraphQLError."""
    grouped, _, _ = executor.collect_subfields(type_, place.selected.details)
    return compile_fields(executor, type_, grouped, place)


def _put_typename(key: str, name: str, _: Run, rows: Rows) -> None:
    """Resolves `__typename`, which is the same for all objects of a plan."""
    for result in rows.results:
        result[key] = name


class CompiledField:
    """Resolves a field for all objects of a level, and completes the values."""

    def __init__(self, executor: ShortcutExecutor, selected: Selected, above: Place | None) -> None:
        definition, typename = selected.definition, selected.parent_type.name
        self._selected, self._key = selected, selected.key
        self._completion = completion(
            definition.type, selected, typename, above, _compile_subfields
        )
        self._is_non_null = self._completion.place.is_non_null
        self._arguments = _constant_arguments(selected)
        self._shortcut: Shortcut | None = executor.shortcut(definition)
        self._binding = self._shortcut if isinstance(self._shortcut, Binding) else None

    def run(self, run: Run, rows: Rows) -> None:
        """See run.FieldPlan."""
        binding = self._binding or run.bindings.get(self._selected)
        if binding is None:
            try:
                binding = run.bindings[self._selected] = self._bind(run, rows.paths[0])
            except Exception as error:
                self._complete(run, rows, [error] * len(rows.sources))
                return
        try:
            outputs = binding.outputs and binding.outputs(rows.sources)
        except Exception:  # the row's resolver raises it again
            outputs = None
        if outputs is None or (self._is_non_null and None in outputs):
            self._complete(run, rows, self._values(run, rows, binding))
            return
        key = self._key
        for result, output in zip(rows.results, outputs, strict=True):
            result[key] = output

    def _complete(self, run: Run, rows: Rows, values: Sequence[Any]) -> None:
        _, results, paths = rows
        self._completion.complete(run, zip(values, results, repeat(self._key), paths))

    def _values(self, run: Run, rows: Rows, binding: Binding) -> Sequence[Any]:
        """The result of the resolver for each source, or the exception that it raised."""
        (sources, _, paths), resolve = rows, binding.resolve
        if binding.resolve_all is not None:
            try:
                return binding.resolve_all(sources)
            except Exception:
                return _map_with_errors(resolve, sources)
        if not binding.needs_info:
            return _map_with_errors(resolve, sources)
        pairs = [*zip(sources, paths, strict=True)]
        return _map_with_errors(lambda pair: resolve(pair[0], self._info(run, pair[1])), pairs)

    def _bind(self, run: Run, path: Path | None) -> Binding:
        """Binds the resolver to its arguments. Raises GraphQLError, and what a shortcut raises."""
        executor, selected = run.executor, self._selected
        arguments = self._arguments
        if arguments is None:
            variables, hide = executor.variable_values, executor.hide_suggestions
            arguments = get_argument_values(
                selected.definition, selected.nodes[0], variables, hide_suggestions=hide
            )
        if callable(self._shortcut):
            return self._shortcut(executor.context_value, partial(self._info, run, path), arguments)
        resolve = selected.definition.resolve or executor.field_resolver
        return Binding(partial(resolve, **arguments) if arguments else resolve)

    def _info(self, run: Run, above: Path | None) -> Any:
        selected = self._selected
        return run.info(selected, Path(above, selected.key, selected.parent_type.name))


def _map_with_errors(read: Callable[[Any], Any], sources: Sequence[Any]) -> list[Any]:
    """The result of `read` for each source, or the exception that it raised."""
    values: list[Any] = []
    waiting = iter(sources)
    while len(values) < len(sources):
        try:  # `extend` keeps the results before an exception
            values.extend(map(read, waiting))
            if len(values) < len(sources):  # `read` raised it, which ends `map`
                values.append(StopIteration())
        except Exception as error:
            values.append(error)
    return values


def _constant_arguments(selected: Selected) -> Arguments | None:
    """The arguments if all requests can share them, else None."""
    node = selected.nodes[0]
    if not selected.definition.args and not node.arguments:
        return {}
    if any(isinstance(part, VariableNode) for part in nodes_in(*node.arguments or ())):
        return None
    try:
        arguments = get_argument_values(selected.definition, node)
    except Exception:  # each request reports the error itself
        return None
    is_safe = all(isinstance(value, IMMUTABLE) for value in arguments.values())
    return arguments if is_safe else None


def nodes_in(*nodes: Node) -> Iterator[Node]:
    """Yields these nodes and all below them."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        for key in node.keys:
            part = getattr(node, key, None)
            parts = part if isinstance(part, tuple | list) else (part,)
            waiting.extend(one for one in parts if isinstance(one, Node))
