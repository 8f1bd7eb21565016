"""Estimates what an operation may cost upstream, before anything is sent.

The estimate is the number of rows that the operation's lists may read; for edges of many parents it
counts the rows that such edges usually have. This module must not know how lists are read.

Note [Estimated rows]. A list of the account, or of a phone number, counts the rows that it
requests. An edge of a call (or
of any other parent) requests that many rows for each parent, but few exist: every leg has one
parent and most calls have one recording or none. So an edge's page counts as filled to one part in
EDGE_FULLNESS: 2 rows for the usual 50, 40 for 1,000. It counts at least one row, for its request. A
single object counts one row, and so does a property that costs a request of its own. Each status of
a filter is an upstream list of its own and counts in full; calls that were never dialed are a
second list for each. A count of a list counts the rows that it may read, in the same way; it does
not multiply what is below. Selections below a list count once for
each of its rows. `@skip` and `@include` are ignored, and equal fields count each time.

Note [What counts is what is executed]. graphql-core itself coerces arguments and variables, as in
execution: 1000.0 is 1,000, a single value is a list of one, an omitted variable has its default. A
field whose arguments cannot be coerced is not executed and costs nothing.

Note [Counted once]. Only a field whose size depends on a variable is counted for each request. All
else is summed up when the operation is prepared: for most operations the estimate is then a
constant. A variable in another argument, or in another field of a filter, does not matter: these
may all be null, so it cannot make the arguments uncoercible.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
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
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_argument_values,
    get_named_type,
)
from graphql.execution import VariableValues

from gateway.errors import CallerError
from gateway.execution import nodes_in
from gateway.schema.arguments import graphql_name, page_size
from gateway.schema.counting import DEFAULT_UP_TO
from gateway.schema.limits import exceeded
from gateway.settings import DocumentSettings
from gateway.upstream.catalog import RESOURCES

__all__ = ["COSTLY_FIELDS", "EDGE_FULLNESS", "CostEstimate"]

EDGE_FULLNESS = 25
# Arguments that set how much a field reads.
SIZING = frozenset({"first", "representations", "ids"})
# Arguments of which some fields set how many upstream lists are read, or hold a list: a null in a
# list makes the arguments uncoercible.
LISTING = {
    "filter": frozenset({"status"}),
    "refine": frozenset({"includeNeverDialed", "direction", "answeredBy"}),
}
# Properties that cost a request for each row (docs/twilio.md#1-surprising-facts, facts 8 and 9);
# their descriptions say so.
COSTLY_FIELDS = frozenset(
    (each.type_name, graphql_name(attribute))
    for each in RESOURCES
    for attribute in each.costly_properties
)
NO_VARIABLES = VariableValues({}, {})


class CostEstimate:
    """The rows that an operation may read upstream, as a function of its variables."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        limits: DocumentSettings,
    ) -> None:
        root = schema.get_root_type(operation.operation)
        estimator = Estimator(schema, document, limits)
        self._rows: Rows = estimator.selections(operation.selection_set, root) if root else 0
        self._max_cost = limits.max_cost

    @property
    def is_constant(self) -> bool:
        """True if the rows depend on no variable."""
        return isinstance(self._rows, int)

    def rows(self, variables: VariableValues) -> int:
        """The rows with these coerced variables.

        Raises LimitExceeded or BadUserInput if a single field requests too much.
        """
        return _count(self._rows, CountContext(variables))

    def check(self, variables: VariableValues) -> None:
        """Raises as `rows`, and LimitExceeded for the whole operation."""
        cost = self.rows(variables)
        if cost > self._max_cost:
            hint = f" rows; this operation may read {cost}: request fewer (first), or fewer edges"
            raise exceeded("cost", self._max_cost, hint)


@dataclass(frozen=True)
class CountContext:
    """The variables of one request, and the rows of the fragments that were counted for them."""

    variables: VariableValues
    fragment_rows: dict[str, int] = field(default_factory=dict)


# A number of rows; a function where it depends on variables. See Note [Counted once].
Rows = int | Callable[[CountContext], int]


class Estimator:
    """Counts rows of selection sets. A fragment is walked once (see Note [Linear] in limits).

    Its results do not refer to it, so that they are no reference cycle.
    """

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, limits: DocumentSettings
    ) -> None:
        self._schema = schema
        self._limits = limits
        self._fragment_rows: dict[str, Rows] = {}
        self._fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }

    def selections(self, selection_set: SelectionSetNode | None, parent: GraphQLNamedType) -> Rows:
        """The rows that are read for one object of the type."""
        nodes = selection_set.selections if selection_set else ()
        return _sum([self._selection(node, parent) for node in nodes])

    def _selection(self, node: Any, parent: GraphQLNamedType) -> Rows:
        if isinstance(node, FieldNode):
            return self._field(node, parent)
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value)
        assert isinstance(node, InlineFragmentNode)  # noqa: S101
        condition = node.type_condition
        narrowed = self._schema.get_type(condition.name.value) if condition else None
        return self.selections(node.selection_set, narrowed or parent)

    def _fragment(self, name: str) -> Rows:
        if name not in self._fragment_rows:
            self._fragment_rows[name] = 0
            definition = self._fragments.get(name)
            type_ = definition and self._schema.get_type(definition.type_condition.name.value)
            if definition and type_:
                rows = self.selections(definition.selection_set, type_)
                self._fragment_rows[name] = (
                    rows if isinstance(rows, int) else partial(_once, name, rows)
                )
        return self._fragment_rows[name]

    def _field(self, node: FieldNode, parent: GraphQLNamedType) -> Rows:
        if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
            return 0
        definition = self._schema.get_field(parent, node.name.value)
        if definition is None:
            return 0
        type_ = get_named_type(definition.type)
        below = self.selections(node.selection_set, type_)
        if SIZING.isdisjoint(definition.args):
            return _sum([int(self._costs_request(node, parent, type_)), below])
        is_full = self._is_root(parent) or parent.name == "PhoneNumber"
        counts = list(self._counts(node.selection_set, type_, set()))
        sized = partial(_sized_rows, definition, node, self._limits, is_full, below, counts)
        parts = nodes_in(*_sizing_values(node), *(one for _, one in counts))
        if any(isinstance(one, VariableNode) for one in parts) or not isinstance(below, int):
            return sized
        try:
            return sized(CountContext(NO_VARIABLES))
        except CallerError:  # each request reports the error, after those of its variables
            return sized

    def _counts(
        self, selection_set: SelectionSetNode | None, type_: GraphQLNamedType, seen: set[str]
    ) -> Iterator[tuple[GraphQLField, FieldNode]]:
        """The counts that are selected on a connection, also in fragments."""
        for node in selection_set.selections if selection_set else ():
            if isinstance(node, FieldNode) and isinstance(type_, GraphQLObjectType):
                count = self._schema.get_field(type_, node.name.value)
                if count is not None and "upTo" in count.args:
                    yield count, node
            elif isinstance(node, InlineFragmentNode):
                yield from self._counts(node.selection_set, type_, seen)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                fragment = self._fragments.get(node.name.value)
                seen.add(node.name.value)
                if fragment:
                    yield from self._counts(fragment.selection_set, type_, seen)

    def _costs_request(
        self, node: FieldNode, parent: GraphQLNamedType, type_: GraphQLNamedType
    ) -> bool:
        """True if the field costs one request or row: a mutation, an object, a costly property."""
        if parent is self._schema.mutation_type or (parent.name, node.name.value) in COSTLY_FIELDS:
            return True
        return _is_node(type_) and (_is_node(parent) or self._is_root(parent))

    def _is_root(self, type_: GraphQLNamedType) -> bool:
        return type_ in (self._schema.query_type, self._schema.subscription_type)


def _sizing_values(node: FieldNode) -> Iterator[ValueNode]:
    """The values, in a field's arguments, that set how much it reads."""
    for argument in node.arguments or ():
        value = argument.value
        if argument.name.value in LISTING and isinstance(value, ObjectValueNode):
            sizing = LISTING[argument.name.value]
            yield from (one.value for one in value.fields if one.name.value in sizing)
        elif argument.name.value in SIZING | {"last"} | LISTING.keys():
            yield value


def _sum(parts: Iterable[Rows]) -> Rows:
    constant, counted = 0, []
    for part in parts:
        if isinstance(part, int):
            constant += part
        else:
            counted.append(part)
    return partial(_total, constant, counted) if counted else constant


def _total(
    constant: int, counted: list[Callable[[CountContext], int]], context: CountContext
) -> int:
    return constant + sum(count(context) for count in counted)


def _count(rows: Rows, context: CountContext) -> int:
    return rows if isinstance(rows, int) else rows(context)


def _once(name: str, rows: Callable[[CountContext], int], context: CountContext) -> int:
    """The rows of a fragment, counted once for each request."""
    known = context.fragment_rows
    if name not in known:
        known[name] = rows(context)
    return known[name]


def _sized_rows(
    definition: GraphQLField,
    node: FieldNode,
    limits: DocumentSettings,
    is_full: bool,
    below: Rows,
    counts: Sequence[tuple[GraphQLField, FieldNode]],
    context: CountContext,
) -> int:
    """The rows of a field whose arguments set how much it reads, and of what is below it.

    Counts read rows besides, of each of the field's lists.
    """
    rows, objects = 0, 0
    try:
        arguments = get_argument_values(definition, node, context.variables)
    except GraphQLError:
        pass
    else:
        rows, objects = _list_rows(definition, arguments, limits, is_full)
        counted = sum(_counted(*count, context.variables) for count in counts)
        rows += math.ceil(counted if is_full else counted / EDGE_FULLNESS) * _list_count(arguments)
    return rows + objects * _count(below, context)


def _list_rows(
    definition: GraphQLField, arguments: dict[str, Any], limits: DocumentSettings, is_full: bool
) -> tuple[int, int]:
    """The rows that the field itself reads, and the number of objects that it returns."""
    if "first" in definition.args:
        size = page_size(arguments.get("first"), arguments.get("last"), limits.max_first)
        objects = size if is_full else math.ceil(size / EDGE_FULLNESS)
        return max(1, objects) * _list_count(arguments), objects
    keys = arguments["representations"] if "representations" in arguments else arguments["ids"]
    if len(keys) > limits.max_representations:
        raise exceeded("representations", limits.max_representations)
    return len(keys), len(keys)


def _counted(definition: GraphQLField, node: FieldNode, variables: VariableValues) -> int:
    """The rows that a count may read; none if it is not executed."""
    try:
        up_to = get_argument_values(definition, node, variables)["upTo"]
    except GraphQLError:
        return 0
    return max(0, DEFAULT_UP_TO if up_to is None else up_to)


def _is_node(type_: GraphQLNamedType) -> bool:
    interfaces = getattr(type_, "interfaces", ())
    return any(each.name == "Node" for each in (type_, *interfaces))


def _list_count(arguments: dict[str, Any]) -> int:
    """How many upstream lists are read: one for each status; twice with calls never dialed."""
    filter_, refine = arguments.get("filter") or {}, arguments.get("refine") or {}
    statuses = max(1, len(set(filter_.get("status") or ())))
    return statuses * (2 if refine.get("includeNeverDialed") else 1)
