"""All uses of Strawberry's internals. No other module uses them.

Internals are names with an underscore and modules without documentation. Any release may change
them, so pyproject.toml allows only tested releases, and tests/test_libraries.py names what is
missing. This module must not know the gateway's schema.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from functools import partial
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputType,
    GraphQLSchema,
    get_nullable_type,
    is_input_object_type,
    is_list_type,
)
from strawberry import Info, Schema
from strawberry.execution import optimized_is_awaitable
from strawberry.federation.schema import FederationAny
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext as GraphQLCoreExecution
from strawberry.schema.schema import validate_document
from strawberry.schema.schema_converter import GraphQLCoreConverter

__all__ = [
    "FederationAny",
    "GraphQLCoreExecution",
    "arguments_converter",
    "declaration",
    "enum_values",
    "graphql_schema",
    "info_of",
    "optimized_is_awaitable",
    "plain_resolver",
    "read_attribute",
    "validate_document",
]


Convert = Callable[[Any], Any]


def graphql_schema(schema: Any) -> GraphQLSchema:
    """The graphql-core schema behind a Strawberry schema."""
    assert isinstance(schema, Schema)  # noqa: S101 (its base class has no such name)
    return schema._schema


def declaration(made: Any) -> Any:
    """What Strawberry made a graphql-core field, argument or type of; None if there is none."""
    return made.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)


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


def arguments_converter(field: GraphQLField) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function that converts a field's coerced arguments to the types of its resolver.

    It does as Strawberry, which looks at every type again for every value.
    """
    return _converter_of_fields(field.args, dict)


def _converter_of_fields(
    fields: Mapping[str, GraphQLArgument | GraphQLInputField], make: Callable[..., Any]
) -> Convert:
    named = [
        (name, declaration(field).python_name, _converter(field.type))
        for name, field in fields.items()
    ]

    def convert(values: dict[str, Any]) -> Any:
        given: dict[str, Any] = {
            python_name: values[name] if to_python is None else to_python(values[name])
            for name, python_name, to_python in named
            if name in values
        }
        return make(**given)

    return convert


def _converter(type_: GraphQLInputType) -> Convert | None:
    """Converts values of an input type; None where they stay as they are."""
    nullable = get_nullable_type(type_)
    if is_list_type(nullable):
        item = _converter(nullable.of_type) or _same
        return lambda values: None if values is None else [item(value) for value in values]
    if not is_input_object_type(nullable):
        return None
    declared = declaration(nullable)
    without_default = [
        each.python_name
        for each in declared.fields
        if each.default_value is MISSING and each.default_factory is MISSING
    ]
    make = partial(declared.origin, **dict.fromkeys(without_default))
    convert = _converter_of_fields(nullable.fields, make)
    return lambda values: None if values is None else convert(values)


def _same(value: Any) -> Any:
    return value


def info_of(field: GraphQLField, info: Any) -> Info[Any, Any]:
    """The Strawberry info of a field."""
    return Info(_raw_info=info, _field=declaration(field))


def _name(parameter: Any) -> str | None:
    return parameter.name if parameter else None
