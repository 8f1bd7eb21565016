"""What is used of Strawberry that it does not promise to keep: here, and nowhere else.

Names with an underscore, and modules that its documentation does not name. Each release may change
them, so pyproject.toml allows none that was not tried, and tests/test_libraries.py says what is
missing. This module must not know the gateway's schema.
"""

from collections.abc import Callable
from typing import Any

from graphql import GraphQLField, GraphQLResolveInfo, GraphQLSchema
from strawberry import Info, Schema
from strawberry.federation.schema import FederationAny
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext as GraphQLCoreExecution
from strawberry.schema.schema import validate_document
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments
from strawberry.types.execution import ExecutionContext, PreExecutionError

__all__ = [
    "FederationAny",
    "GraphQLCoreExecution",
    "PreExecutionError",
    "converted",
    "declaration",
    "enum_values",
    "given_operation_name",
    "graphql_info",
    "graphql_schema",
    "info_of",
    "plain_resolver",
    "read_attribute",
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


def read_attribute(field: GraphQLField, resolve: Any) -> str | None:
    """The attribute that Strawberry's resolver of a field reads, and does nothing else."""
    declared = declaration(field)
    is_basic = getattr(resolve, "__name__", "") == "_get_basic_result"
    is_read = is_basic and declared.default_resolver is getattr
    return str(declared.python_name) if is_read else None


def plain_resolver(
    field: GraphQLField, resolve: Any
) -> tuple[Callable[..., Any], str | None, str | None] | None:
    """The function that Strawberry's resolver of a field calls, and does nothing else.

    With the names of its parameters for the source and for the info, where it has them.
    """
    if getattr(resolve, "__name__", "") not in ("_resolver", "_async_resolver"):
        return None
    declared = declaration(field)
    resolver = declared.base_resolver
    if resolver is None or declared.extensions or resolver.self_parameter:
        return None
    source, root = resolver.parent_parameter, resolver.root_parameter
    if source and root:
        return None
    return resolver.wrapped_func, _name(source or root), _name(resolver.info_parameter)


def converted(field: GraphQLField, info: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """A field's arguments as its resolver takes them. Raises what Strawberry's types raise."""
    schema = info.schema._strawberry_schema
    return convert_arguments(
        arguments,
        declaration(field).arguments,
        schema.schema_converter.scalar_registry,
        schema.config,
        info_of(field, info),
    )


def info_of(field: GraphQLField, info: Any) -> Info[Any, Any]:
    """Strawberry's info of a field."""
    return Info(_raw_info=info, _field=declaration(field))


def _name(parameter: Any) -> str | None:
    return parameter.name if parameter else None
