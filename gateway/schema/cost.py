"""Estimates what an operation may cost upstream, before anything is sent.

The estimate is the number of rows that the operation's lists may read; for edges of many parents it
counts the rows that such edges usually have. This module must not know how lists are read.

Note [Estimated rows]. A list of the account counts the rows that it requests. An edge of a call (or
of any other parent) requests that many rows for each parent, but few exist: every leg has one
parent and most calls have one recording or none. So an edge's page counts as filled to one part in
EDGE_FULLNESS: 2 rows for the usual 50, 40 for 1,000. It counts at least one row, for its request. A
single object counts one row, and so does a property that costs a request of its own. Each status of
a filter is an upstream list of its own and counts in full. Selections below a list count once for
each of its rows. `@skip` and `@include` are ignored, and equal fields count each time.

Note [What counts is what is executed]. graphql-core itself coerces arguments and variables, as in
execution: 1000.0 is 1,000, a single value is a list of one, an omitted variable has its default. A
field whose arguments cannot be coerced is not executed and costs nothing.
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

__all__ = ["COSTLY_FIELDS", "EDGE_FULLNESS", "check_cost", "estimate"]

EDGE_FULLNESS = 25
# Arguments that set how much a field reads.
SIZING = frozenset({"first", "representations", "ids"})
# Properties that cost a request for each row (docs/twilio.md#1-surprising-facts, facts 8 and 9);
# their descriptions say so.
COSTLY_FIELDS = frozenset(
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
        hint = f" rows; this operation may read {cost}: request fewer (first), or fewer edges"
        raise exceeded("cost", limits.max_cost, hint)


def estimate(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: VariableValues,
    limits: DocumentSettings,
) -> int:
    """The rows that the operation of this document may read upstream. Variables are coerced.

    Raises as check_cost if a single field requests too much.
    """
    root = schema.get_root_type(operation.operation)
    if root is None:
        return 0
    estimator = Estimator(schema, document, variables, limits)
    return estimator.selections(operation.selection_set, root)


class Estimator:
    """Counts rows of selection sets. A fragment is walked once (see Note [Linear] in limits)."""

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
        self._fragment_rows: dict[str, int] = {}
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
        if name not in self._fragment_rows:
            self._fragment_rows[name] = 0
            definition = self._fragments.get(name)
            type_ = definition and self._schema.get_type(definition.type_condition.name.value)
            if definition and type_:
                self._fragment_rows[name] = self.selections(definition.selection_set, type_)
        return self._fragment_rows[name]

    def _field(self, node: FieldNode, parent: GraphQLNamedType) -> int:
        if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
            return 0
        field = self._schema.get_field(parent, node.name.value)
        if field is None:
            return 0
        type_ = get_named_type(field.type)
        own_rows, objects = self._rows_of(node, field, parent, type_)
        return own_rows + objects * self.selections(node.selection_set, type_)

    def _rows_of(
        self,
        node: FieldNode,
        field: GraphQLField,
        parent: GraphQLObjectType | GraphQLInterfaceType,
        type_: GraphQLNamedType,
    ) -> tuple[int, int]:
        """The rows that the field itself reads, and the number of objects that it returns."""
        if not SIZING.isdisjoint(field.args):
            try:
                arguments = get_argument_values(field, node, self._variables)
            except GraphQLError:
                return 0, 0
            return self._list_rows(field, arguments, self._is_root(parent))
        return int(self._costs_request(node, parent, type_)), 1

    def _list_rows(
        self, field: GraphQLField, arguments: dict[str, Any], is_root: bool
    ) -> tuple[int, int]:
        """As `_rows_of`, for a field whose arguments set how much it reads."""
        if "first" in field.args:
            size = page_size(arguments.get("first"), arguments.get("last"), self._limits.max_first)
            objects = size if is_root else math.ceil(size / EDGE_FULLNESS)
            return max(1, objects) * _list_count(arguments.get("filter")), objects
        keys = arguments["representations"] if "representations" in arguments else arguments["ids"]
        if len(keys) > self._limits.max_representations:
            raise exceeded("representations", self._limits.max_representations)
        return len(keys), len(keys)

    def _costs_request(
        self, node: FieldNode, parent: GraphQLNamedType, type_: GraphQLNamedType
    ) -> bool:
        """True if the field costs one request or row: a mutation, an object, a costly property."""
        if parent is self._schema.mutation_type or (parent.name, node.name.value) in COSTLY_FIELDS:
            return True
        return _is_node(type_) and (_is_node(parent) or self._is_root(parent))

    def _is_root(self, type_: GraphQLNamedType) -> bool:
        return type_ in (self._schema.query_type, self._schema.subscription_type)


def _is_node(type_: GraphQLNamedType) -> bool:
    interfaces = getattr(type_, "interfaces", ())
    return any(each.name == "Node" for each in (type_, *interfaces))


def _list_count(filter_: dict[str, Any] | None) -> int:
    """How many upstream lists a filter needs: one for each status."""
    return max(1, len(set(filter_.get("status") or ()))) if filter_ else 1
