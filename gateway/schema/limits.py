"""Limits of a document's size, checked after parsing and before validation or any request.

Every operation is measured here before it is validated (`prepared`). This module must not know
the schema's types; `cost` estimates what an operation costs upstream.

Note [Linear]. A fragment is measured once, and its numbers are added wherever it is spread. So 1 KB
of fragments that each spread the next one twice (2^30 visits) is measured in a millisecond. All
numbers are those of the document with its fragments spread: what validation and execution would
have to visit. Measuring reads names only, so it also measures documents that validation would
refuse.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    ArgumentNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from gateway.errors import IntrospectionDisabled, LimitExceeded
from gateway.settings import DocumentSettings

__all__ = ["NESTING", "Measure", "check_document", "check_variables", "exceeded", "measure"]

INTROSPECTION = ("__schema", "__type")
# `_service` returns the whole schema as text, so it counts as introspection.
SCHEMA_FIELDS = (*INTROSPECTION, "_service")
NESTED = (ListValueNode, ObjectValueNode, list, dict)
CHECKED_LIMITS = (
    "depth",
    "value_depth",
    "fields",
    "fragments",
    "aliases",
    "directives",
    "root_fields",
)
# In fields. The introspection of tools selects a type in nine wrappers: 15.
INTROSPECTION_DEPTH = 16
# Nested selection sets, of fields and fragments alike: as many as fit safely on Python's stack.
NESTING = 100


@dataclass(slots=True)
class Measure:
    """A selection set with its fragments spread. The depths are maxima, the rest are counts.

    `depth` is in fields; it leaves out `__schema` and `__type` and what is below them, whose depth
    is `introspection_depth`. `value_depth` is that of lists and objects in arguments;
    `root_fields` are the fields of the outermost level.
    """

    depth: int = 0
    introspection_depth: int = 0
    value_depth: int = 0
    fields: int = 0
    fragments: int = 0
    aliases: int = 0
    directives: int = 0
    root_fields: int = 0
    schema_fields: int = 0

    def add(self, other: "Measure") -> None:
        """Adds the measure of another part of the same document."""
        self.depth = max(self.depth, other.depth)
        self.introspection_depth = max(self.introspection_depth, other.introspection_depth)
        self.value_depth = max(self.value_depth, other.value_depth)
        self.fields += other.fields
        self.fragments += other.fragments
        self.aliases += other.aliases
        self.directives += other.directives
        self.root_fields += other.root_fields
        self.schema_fields += other.schema_fields


class Measurer:
    """Measures selection sets; see Note [Linear]. Raises LimitExceeded beyond NESTING."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._measures: dict[str, Measure] = {}

    def knows(self, name: str) -> bool:
        """True if the fragment has been measured."""
        return name in self._measures

    def selections(self, selection_set: SelectionSetNode | None, level: int = 0) -> Measure:
        """The numbers of a selection set; `level` is its nesting."""
        if level > NESTING:
            raise exceeded("nesting", NESTING)
        total = Measure()
        for node in selection_set.selections if selection_set else ():
            if isinstance(node, FieldNode):
                total.add(self._field(node, level + 1))
            elif isinstance(node, FragmentSpreadNode):
                total.add(self.fragment(node.name.value, level + 1))
                total.fragments += 1
            elif isinstance(node, InlineFragmentNode):  # pragma: no branch (there is no fourth)
                total.add(self.selections(node.selection_set, level + 1))
                total.fragments += 1
            total.add(_directives(node.directives))
        return total

    def fragment(self, name: str, level: int = 0) -> Measure:
        """What one spread of the fragment adds; 0 inside itself, which validation refuses."""
        if name not in self._measures:
            self._measures[name] = Measure()
            definition = self._fragments.get(name)
            if definition is not None:
                self._measures[name] = self.definition(definition, level)
        return self._measures[name]

    def definition(
        self, node: OperationDefinitionNode | FragmentDefinitionNode, level: int = 0
    ) -> Measure:
        """An operation, or a fragment by itself."""
        measured = self.selections(node.selection_set, level)
        measured.add(_directives(node.directives))
        for variable in node.variable_definitions or ():
            measured.add(_directives(variable.directives))
            measured.value_depth = max(measured.value_depth, _value_depth(variable.default_value))
        return measured

    def _field(self, node: FieldNode, level: int) -> Measure:
        measured = self.selections(node.selection_set, level)
        measured.value_depth = max(measured.value_depth, _argument_depth(node.arguments))
        measured.root_fields = 1
        measured.fields += 1
        measured.aliases += node.alias is not None
        name = node.name.value
        measured.schema_fields += name in SCHEMA_FIELDS
        if name in INTROSPECTION:
            measured.introspection_depth = max(measured.introspection_depth, measured.depth + 1)
            measured.depth = 0
        else:
            measured.depth += 1
        return measured


def measure(document: DocumentNode) -> Measure:
    """All operations of the document together, and the fragments that none of them spreads.

    `root_fields` are those of the operation with the most.
    """
    fragments = {
        node.name.value: node
        for node in document.definitions
        if isinstance(node, FragmentDefinitionNode)
    }
    measurer = Measurer(fragments)
    total, root_fields = Measure(), 0
    for operation in _operations(document):
        measured = measurer.definition(operation)
        root_fields = max(root_fields, measured.root_fields)
        total.add(measured)
    for name in fragments:
        if not measurer.knows(name):
            total.add(measurer.fragment(name))
    total.root_fields = root_fields
    return total


def check_document(document: DocumentNode, limits: DocumentSettings) -> Measure:
    """The document's measure. Raises LimitExceeded (it names the limit), IntrospectionDisabled."""
    _check("operations", sum(1 for _ in _operations(document)), limits.max_operations)
    measured = measure(document)
    for name in CHECKED_LIMITS:
        _check(name, getattr(measured, name), getattr(limits, f"max_{name}"))
    _check("introspection_depth", measured.introspection_depth, INTROSPECTION_DEPTH)
    if measured.schema_fields and not limits.shows_schema:
        raise IntrospectionDisabled("This gateway does not show its schema")
    return measured


def check_variables(variables: Mapping[str, Any] | None, limits: DocumentSettings) -> None:
    """Raises LimitExceeded if lists and objects nest too deeply."""
    depth = max((_value_depth(value) for value in (variables or {}).values()), default=0)
    _check("value_depth", depth, limits.max_value_depth)


def _operations(document: DocumentNode) -> Iterator[OperationDefinitionNode]:
    return (node for node in document.definitions if isinstance(node, OperationDefinitionNode))


def exceeded(limit: str, allowed: int, hint: str = "") -> LimitExceeded:
    """The error for the limit of this name."""
    message = f"The limit of {limit.replace('_', ' ')} is {allowed}{hint}"
    return LimitExceeded(message, limit=limit, allowed=allowed)


def _check(name: str, measured: int, allowed: int) -> None:
    if measured > allowed:
        raise exceeded(name, allowed)


def _directives(nodes: Sequence[DirectiveNode] | None) -> Measure:
    depth = max((_argument_depth(node.arguments) for node in nodes or ()), default=0)
    return Measure(directives=len(nodes or ()), value_depth=depth)


def _argument_depth(arguments: Sequence[ArgumentNode] | None) -> int:
    return max((_value_depth(argument.value) for argument in arguments or ()), default=0)


def _value_depth(value: Any) -> int:
    """How deep lists and objects nest, in a literal or in a value from JSON."""
    depth, level = 0, [value]
    while level := [part for part in level if isinstance(part, NESTED)]:
        depth += 1
        level = [inner for part in level for inner in _parts(part)]
    return depth


def _parts(value: Any) -> Iterable[Any]:
    match value:
        case ListValueNode():
            return value.values
        case ObjectValueNode():
            return [field.value for field in value.fields]
        case dict():
            return value.values()
    return list(value)
