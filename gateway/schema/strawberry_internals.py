"""All uses of Strawberry's internals. No other module uses them.

Internals are names with an underscore and modules without documentation. Any release may change
them, so pyproject.toml allows only tested releases, and tests/test_libraries.py names what is
missing. This module must not know the gateway's schema.
"""

from collections.abc import Callable
from typing import Any

from graphql import GraphQLField, GraphQLSchema
from strawberry import Info, Schema
from strawberry.execution import optimized_is_awaitable
from strawberry.federation.schema import FederationAny
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext as GraphQLCoreExecution
from strawberry.schema.schema import validate_document
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments

__all__ = [
    "FederationAny",
    "GraphQLCoreExecution",
    "converted_arguments",
    "declaration",
    "enum_values",
    "graphql_schema",
    "info_of",
    "optimized_is_awaitable",
    "plain_resolver",
    "read_attribute",
    "validate_document",
]


def graphql_schema(schema: Any) -> GraphQLSchema:
    """The graphql-core schema behind a Strawberry schema."""
    assert isinstance(schema, Schema)  # noqa: S101 (its base class has no such name)
    return schema._schema


def declaration(field: GraphQLField) -> Any:
    """The Strawberry field behind a graphql-core field; None if there is none."""
    return field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)


def enum_values(enum: Any) -> list[Any]:
    """The values of a GraphQL enum; their descriptions are writable."""
    values: list[Any] = enum.__strawberry_definition__.values
    return values


def read_attribute(field: GraphQLField, resolve: Any) -> str | None:
    """The attribute that a field reads, if Strawberry's resolver does nothing else; or None."""
    declared = declaration(field)
    is_basic = getattr(resolve, "__name__", "") == "_get_basic_result"
    is_read = is_basic and declared.default_resolver is getattr
    return str(declared.python_name) if is_read else None


def plain_resolver(
    field: GraphQLField, resolve: Any
) -> tuple[Callable[..., Any], str | None, str | None] | None:
    """The function that a field calls, if Strawberry's resolver does nothing else; or None.

    It comes with the names of its parameters for the source and the info; None for one it lacks.
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


def converted_arguments(
    field: GraphQLField, info: Any, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Converts arguments to the resolver's types. Raises what Strawberry's types raise."""
    schema = info.schema._strawberry_schema
    return convert_arguments(
        arguments,
        declaration(field).arguments,
        schema.schema_converter.scalar_registry,
        schema.config,
        info_of(field, info),
    )


def info_of(field: GraphQLField, info: Any) -> Info[Any, Any]:
    """The Strawberry info of a field."""
    return Info(_raw_info=info, _field=declaration(field))


def _name(parameter: Any) -> str | None:
    return parameter.name if parameter else None
