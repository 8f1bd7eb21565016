"""What is used of Strawberry that it does not promise to keep: here, and nowhere else.

Names with an underscore, and modules that its documentation does not name. Each release may change
them, so pyproject.toml allows none that was not tried, and tests/test_libraries.py says what is
missing. This module must not know the gateway's schema.
"""

from typing import Any

from graphql import GraphQLField, GraphQLResolveInfo, GraphQLSchema
from strawberry import Info, Schema
from strawberry.federation.schema import FederationAny
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext as GraphQLCoreExecution
from strawberry.schema.schema import validate_document
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.execution import ExecutionContext, PreExecutionError

__all__ = [
    "FederationAny",
    "GraphQLCoreExecution",
    "PreExecutionError",
    "declaration",
    "enum_values",
    "given_operation_name",
    "graphql_info",
    "graphql_schema",
    "validate_document",
]


def graphql_schema(schema: Any) -> GraphQLSchema:
    """graphql-core's schema, of which Strawberry's is made."""
    assert isinstance(schema, Schema)  # noqa: S101 (its base class has no such name)
    return schema._schema


def graphql_info(info: Info[Any, Any]) -> GraphQLResolveInfo[Any]:
    """graphql-core's info, which has the document's fragments."""
    return info._raw_info


def given_operation_name(context: ExecutionContext) -> str | None:
    """The operation's name as the client gave it; `operation_name` makes up for one left out."""
    return context._provided_operation_name


def declaration(field: GraphQLField) -> Any:
    """What a field was made of; None where it is not Strawberry's."""
    return field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)


def enum_values(enum: Any) -> list[Any]:
    """The values of a GraphQL enum, whose descriptions may be set."""
    values: list[Any] = enum.__strawberry_definition__.values
    return values
