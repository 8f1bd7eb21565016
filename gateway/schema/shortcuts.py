"""Faster equivalents of resolvers, without the work that Strawberry repeats for every row.

A field without a resolver reads an attribute. A resolver's arguments are converted once per
request, not per row, and the caller's masks are chosen once. A field with other wrappers (such as
permissions) keeps its resolver. This module must not know which fields there are.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from graphql import GraphQLField

from gateway.execution import Binding, Shortcut
from gateway.schema.masked_fields import MaskedResolver, shows_personal
from gateway.schema.strawberry_internals import (
    converted_arguments,
    info_of,
    plain_resolver,
    read_attribute,
)

__all__ = ["shortcut"]


def shortcut(field: GraphQLField) -> Shortcut | None:
    """The shortcut to a field's values; None if the plan has to call its resolver."""
    if not isinstance(field.resolve, MaskedResolver):
        return _unmasked(field, field.resolve)
    attribute = read_attribute(field, field.resolve.resolve)
    return _masked(attrgetter(attribute), field.resolve) if attribute else None


def _masked(read: Callable[[Any], Any], masked: MaskedResolver) -> Shortcut:
    def read_masked(source: Any) -> Any:
        return masked.masked(read(source))

    def bind(info: Any, _arguments: dict[str, Any]) -> Binding:
        return Binding(read if shows_personal(info) else read_masked, needs_info=False)

    return bind


def _unmasked(field: GraphQLField, resolve: Any) -> Shortcut | None:
    attribute = read_attribute(field, resolve)
    if attribute:
        reading = Binding(attrgetter(attribute), needs_info=False)
        return lambda _info, _arguments: reading
    resolver = plain_resolver(field, resolve)
    if resolver is None:
        return None
    function, source_name, info_name = resolver

    def bind(info: Any, arguments: dict[str, Any]) -> Binding:
        values = converted_arguments(field, info, arguments)

        def call(source: Any, info: Any) -> Any:
            named = {source_name: source} if source_name else {}
            if info_name:
                named[info_name] = info_of(field, info)
            return function(**named, **values)

        return Binding(call if info_name else lambda source: call(source, None), bool(info_name))

    return bind
