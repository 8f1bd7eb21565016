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

Note [What counts is what is executed]. Arguments and variables are coerced by graphql-core itself,
as execution will: 1000.0 is 1,000, one value is a list of one, a default holds where a variable is
not given. A field whose arguments cannot be coerced is not executed and costs nothing.
"""

import math
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_argument_values,
    get_named_type,
)
from graphql.execution import VariableValues

from gateway.schema.arguments import graphql_name, page_size
from gateway.schema.limits import exceeded
from gateway.settings import DocumentSettings
from gateway.upstream.catalog import RESOURCES

__all__ = ["EDGE_FULLNESS", "REQUESTING", "check_cost", "estimate"]

EDGE_FULLNESS = 25
# Arguments that say how much a field reads.
SIZING = frozenset({"first", "representations", "ids"})
# Properties that cost a request for each row (FACTS 1.8 and 1.9); their descriptions say so.
REQUESTING = frozenset(
    (each.type_name, graphql_name(attribute))
    for each in RESOURCES
    for attribute in each.costly_properties
)


def check_cost(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: VariableValues,
    limits: DocumentSettings,
) -> None:
    """Raises LimitExceeded for the whole operation, BadUserInput for a page that is too large."""
    cost = estimate(schema, document, operation, variables, limits)
    if cost > limits.max_cost:
        hint = f" rows; this operation may read {cost}: ask for fewer (first), or for fewer edges"
        raise exceeded("cost", limits.max_cost, hint)


def estimate(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: VariableValues,
    limits: DocumentSettings,
) -> int:
    """The rows that the operation of this document may read upstream, with coerced variables.

    Raises as check_cost where one field asks for more than it may.
    """
    root = schema.get_root_type(operation.operation)
    if root is None:
        return 0
    estimator = Estimator(schema, document, variables, limits)
    return estimator.selections(operation.selection_set, root)


class Estimator:
    """The rows below selection sets. A fragment is walked once (see Note [Linear] in limits)."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        variables: VariableValues,
        limits: DocumentSettings,
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
        read, rows = self._rows_of(node, field, parent, type_)
        return read + rows * self.selections(node.selection_set, type_)

    def _rows_of(
        self,
        node: FieldNode,
        field: GraphQLField,
        parent: GraphQLObjectType | GraphQLInterfaceType,
        type_: GraphQLNamedType,
    ) -> tuple[int, int]:
        """The rows that are read for the field itself, and those that what is below counts for."""
        if not SIZING.isdisjoint(field.args):
            try:
                arguments = get_argument_values(field, node, self._variables)
            except GraphQLError:
                return 0, 0
            return self._list_rows(field, arguments, self._is_root(parent))
        return int(self._is_request(node, parent, type_)), 1

    def _list_rows(
        self, field: GraphQLField, arguments: dict[str, Any], is_root: bool
    ) -> tuple[int, int]:
        """The same for a field that reads as much as its arguments say."""
        if "first" in field.args:
            size = page_size(arguments.get("first"), arguments.get("last"), self._limits.max_first)
            rows = size if is_root else math.ceil(size / EDGE_FULLNESS)
            return max(1, rows) * _lists(arguments.get("filter")), rows
        keys = arguments["representations"] if "representations" in arguments else arguments["ids"]
        if len(keys) > self._limits.max_representations:
            raise exceeded("representations", self._limits.max_representations)
        return len(keys), len(keys)

    def _is_request(
        self, node: FieldNode, parent: GraphQLNamedType, type_: GraphQLNamedType
    ) -> bool:
        """True where one request or row is read: for a mutation, an object, a dear property."""
        if parent is self._schema.mutation_type or (parent.name, node.name.value) in REQUESTING:
            return True
        return _is_node(type_) and (_is_node(parent) or self._is_root(parent))

    def _is_root(self, type_: GraphQLNamedType) -> bool:
        return type_ in (self._schema.query_type, self._schema.subscription_type)


def _is_node(type_: GraphQLNamedType) -> bool:
    interfaces = getattr(type_, "interfaces", ())
    return any(each.name == "Node" for each in (type_, *interfaces))


def _lists(filter_: dict[str, Any] | None) -> int:
    """How many upstream lists a filter takes: one for each status."""
    return max(1, len(set(filter_.get("status") or ()))) if filter_ else 1
