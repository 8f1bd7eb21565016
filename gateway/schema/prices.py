"""What documents cost by estimate, before any request has values for their variables.

This module must not know where a document comes from.
"""

from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLInputType,
    GraphQLNonNull,
    OperationDefinitionNode,
    get_variable_values,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    type_from_ast,
)
from graphql.execution import VariableValues

from gateway.errors import BadRequest, CallerError
from gateway.schema import prepare
from gateway.schema.arguments import page_size
from gateway.schema.prepared import PreparedOperation, parsed
from gateway.settings import DocumentSettings

__all__ = ["DocumentRefused", "Price", "price_of"]


class DocumentRefused(ValueError):
    """The gateway would refuse the document; the message says why."""


@dataclass(frozen=True, slots=True)
class Price:
    """The rows that a document's dearest operation may read from Twilio.

    `rows` are those with the variables' defaults; a required size counts as the default page, a
    required list as one value. If `varies`, variables can raise them up to GATEWAY_MAX_COST.
    """

    rows: int
    varies: bool


def price_of(text: str, limits: DocumentSettings) -> Price:
    """The price of a document. Raises DocumentRefused."""
    try:
        return _price_of(text, limits)
    except (GraphQLError, CallerError) as error:
        raise DocumentRefused(getattr(error, "message", str(error))) from None


def _price_of(text: str, limits: DocumentSettings) -> Price:
    names = [
        node.name.value if node.name else None
        for node in parsed(text).definitions
        if isinstance(node, OperationDefinitionNode)
    ]
    if not names:
        raise BadRequest("The document has no operation")
    prices = [_price(prepare(text, name, limits)) for name in names]
    return Price(max(one.rows for one in prices), any(one.varies for one in prices))


def _price(operation: PreparedOperation) -> Price:
    for error in operation.errors:
        raise error
    variables = _typical_variables(operation)
    operation.estimate.check(variables)
    return Price(operation.estimate.rows(variables), not operation.estimate.is_constant)


def _typical_variables(operation: PreparedOperation) -> VariableValues:
    """The defaults, and a value for each variable that must have one."""
    definitions = operation.node.variable_definitions or ()
    required, others = {}, []
    for node in definitions:
        type_ = type_from_ast(operation.schema, node.type)
        if isinstance(type_, GraphQLNonNull) and node.default_value is None:
            required[node.variable.name.value] = _typical(type_, operation.limits)
        else:
            others.append(node)
    defaults = get_variable_values(operation.schema, others, {})
    if isinstance(defaults, list):
        raise defaults[0]
    return VariableValues(defaults.sources, {**defaults.coerced, **required})


def _typical(type_: GraphQLInputType, limits: DocumentSettings) -> Any:
    """A coerced value of the type, of which only sizes matter."""
    if is_non_null_type(type_):
        return _typical(type_.of_type, limits)
    if is_list_type(type_):
        return [_typical(type_.of_type, limits)]
    if is_input_object_type(type_):
        return {}
    return page_size(None, None, limits.max_first) if str(type_) == "Int" else ""
