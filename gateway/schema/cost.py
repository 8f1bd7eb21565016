"""What an operation may cost upstream, estimated before anything is sent.

The estimate is in rows: the most that the operation's lists may have to read, where an edge of many
parents counts as far as such edges are filled. This module must not know how lists are read.

Note [Estimated rows]. A list of the account counts the rows that it asks for. An edge of a call
(or of whatever has edges) asks for as many for each parent, but there are few: every leg has one
parent and most calls have one recording or none. So an edge's page counts as filled to one part in
EDGE_FULLNESS, and at least one row, which stands for its request: 2 rows for the usual 50, 40 for
1,000. A single object counts one row, as does a property that costs a request of its own. Several
statuses are one upstream list each and count as often. What is below a list counts once for each of
its rows. `@skip` and `@include` are not looked at, and equal fields count each time.
"""

import math
from collections.abc import Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    Undefined,
    get_named_type,
    get_operation_ast,
    value_from_ast_untyped,
)

from gateway.errors import BadUserInput
from gateway.schema.connection import DEFAULT_FIRST
from gateway.schema.limits import DocumentLimits, exceeded

__all__ = ["EDGE_FULLNESS", "REQUESTING", "check_cost", "estimate"]

EDGE_FULLNESS = 25
# Properties that cost a request for each row (FACTS 1.8 and 1.9); their descriptions say so.
REQUESTING = frozenset(
    {
        ("Notification", "requestVariables"),
        ("Notification", "responseBody"),
        ("Notification", "responseHeaders"),
        ("Recording", "mediaUrl"),
    }
)


def check_cost(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation_name: str | None,
    variables: Mapping[str, Any] | None,
    limits: DocumentLimits,
) -> None:
    """Raises LimitExceeded for the whole operation, BadUserInput for a page that is too large."""
    cost = estimate(schema, document, operation_name, variables, limits)
    if cost > limits.cost:
        hint = f" rows; this operation may read {cost}: ask for fewer (first), or for fewer edges"
        raise exceeded("cost", limits.cost, hint)


def estimate(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation_name: str | None,
    variables: Mapping[str, Any] | None,
    limits: DocumentLimits,
) -> int:
    """The rows that the operation may read upstream. 0 where there is no such operation.

    Raises as check_cost where one field asks for more than it may.
    """
    operation = get_operation_ast(document, operation_name)
    root = schema.get_root_type(operation.operation) if operation else None
    if operation is None or root is None:
        return 0
    estimator = Estimator(schema, document, _values(operation, variables or {}), limits)
    return estimator.selections(operation.selection_set, root)


def _values(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables with their defaults."""
    defaults = {
        node.variable.name.value: value_from_ast_untyped(node.default_value)
        for node in operation.variable_definitions or ()
        if node.default_value
    }
    return defaults | dict(variables)


class Estimator:
    """The rows below selection sets. A fragment is walked once (see Note [Linear] in limits)."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        variables: dict[str, Any],
        limits: DocumentLimits,
    ) -> None:
        self._schema = schema
        self._variables = variables
        self._limits = limits
        self._known: dict[str, int] = {}
        self._fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }

    def selections(self, selection_set: SelectionSetNode | None, parent: GraphQLNamedType) -> int:
        """The rows that are read for one object of the type."""
        return sum(
            self._selection(node, parent)
            for node in (selection_set.selections if selection_set else ())
        )

    def _selection(self, node: Any, parent: GraphQLNamedType) -> int:
        if isinstance(node, FieldNode):
            return self._field(node, parent)
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value)
        assert isinstance(node, InlineFragmentNode)  # noqa: S101
        condition = node.type_condition
        narrowed = self._schema.get_type(condition.name.value) if condition else None
        return self.selections(node.selection_set, narrowed or parent)

    def _fragment(self, name: str) -> int:
        if name not in self._known:
            self._known[name] = 0
            definition = self._fragments.get(name)
            type_ = definition and self._schema.get_type(definition.type_condition.name.value)
            if definition and type_:
                self._known[name] = self.selections(definition.selection_set, type_)
        return self._known[name]

    def _field(self, node: FieldNode, parent: GraphQLNamedType) -> int:
        if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
            return 0
        field = self._schema.get_field(parent, node.name.value)
        if field is None:
            return 0
        type_ = get_named_type(field.type)
        read, rows = self._reads(node, field, parent, type_)
        return read + rows * self.selections(node.selection_set, type_)

    def _reads(
        self,
        node: FieldNode,
        field: GraphQLField,
        parent: GraphQLObjectType | GraphQLInterfaceType,
        type_: GraphQLNamedType,
    ) -> tuple[int, int]:
        """The rows that are read for the field itself, and those that what is below counts for."""
        given = self._arguments(node)
        if "first" in field.args:
            size = self._size(given)
            rows = size if self._is_root(parent) else max(1, math.ceil(size / EDGE_FULLNESS))
            return rows * _lists(given.get("filter")), rows
        for name in ("representations", "ids"):
            if name in field.args:
                rows = _length(given.get(name))
                if rows > self._limits.representations:
                    raise exceeded(name, self._limits.representations)
                return rows, rows
        return int(self._is_request(node, parent, type_)), 1

    def _is_request(
        self, node: FieldNode, parent: GraphQLNamedType, type_: GraphQLNamedType
    ) -> bool:
        """True where one request or row is read: for a mutation, an object, a dear property."""
        if parent is self._schema.mutation_type or (parent.name, node.name.value) in REQUESTING:
            return True
        return _is_node(type_) and (_is_node(parent) or self._is_root(parent))

    def _is_root(self, type_: GraphQLNamedType) -> bool:
        return type_ in (self._schema.query_type, self._schema.subscription_type)

    def _arguments(self, node: FieldNode) -> dict[str, Any]:
        return {
            argument.name.value: value_from_ast_untyped(argument.value, self._variables)
            for argument in node.arguments or ()
        }

    def _size(self, given: Mapping[str, Any]) -> int:
        sizes = [given[name] for name in ("first", "last") if type(given.get(name)) is int]
        size = max(sizes, default=DEFAULT_FIRST)
        if size > self._limits.first:
            raise BadUserInput(f"first and last must be from 1 to {self._limits.first}")
        return max(1, size)


def _is_node(type_: GraphQLNamedType) -> bool:
    interfaces = getattr(type_, "interfaces", ())
    return any(one.name == "Node" for one in (type_, *interfaces))


def _lists(filter_: Any) -> int:
    """How many upstream lists a filter takes: one for each status."""
    return max(1, _length(filter_.get("status"))) if isinstance(filter_, dict) else 1


def _length(value: Any) -> int:
    """Of a list; one value stands for a list of one."""
    return len(value) if isinstance(value, list) else int(value is not None and value != Undefined)
