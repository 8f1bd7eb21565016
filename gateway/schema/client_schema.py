"""The schema as clients see it, without Federation, and what changed in it.

This module must not know the gateway's own types: it reads schemas as text.
"""

from collections.abc import Sequence

from graphql import (
    GraphQLError,
    GraphQLSchema,
    build_schema,
    find_breaking_changes,
    find_dangerous_changes,
    is_specified_directive,
    print_schema,
)

__all__ = ["client_sdl", "schema_changes"]


def client_sdl(sdl: str) -> str:
    """The SDL without the fields, types and directives of Federation. Raises ValueError."""
    return print_schema(_client_schema(sdl))


def schema_changes(old: str, new: str) -> tuple[Sequence[str], Sequence[str]]:
    """What breaks clients of the old schema, and what may surprise them. Raises ValueError.

    Both are compared as clients see them, so either may be a subgraph's schema.
    """
    before, after = _client_schema(old), _client_schema(new)
    breaking = [change.description for change in find_breaking_changes(before, after)]
    dangerous = [change.description for change in find_dangerous_changes(before, after)]
    return breaking, dangerous


def _client_schema(sdl: str) -> GraphQLSchema:
    try:
        schema = build_schema(sdl, assume_valid_sdl=True)
    except (GraphQLError, TypeError) as error:
        raise ValueError(f"not a schema: {error}") from error
    schema.directives = tuple(filter(is_specified_directive, schema.directives))
    for name in [name for name in schema.type_map if _is_federations(name)]:
        del schema.type_map[name]
    fields = schema.query_type.fields if schema.query_type else {}
    for name in filter(_is_federations, list(fields)):
        del fields[name]
    return schema


def _is_federations(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
