"""Faster equivalents of resolvers, without the work that Strawberry repeats for every row.

A field without a resolver reads an attribute; a property of Twilio's rows is read and written for
all rows of a level at once. A resolver's arguments are converted once per request, not per row, and
the caller's masks are chosen once. A field with other wrappers (such as permissions) keeps its
resolver. This module must not know which fields there are.

Note [One info]. A level has one info for all of its rows, so no resolver may use the list indexes
in `info.path`: field_path (context) leaves them out.
"""

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from graphql import GraphQLField, get_nullable_type, is_leaf_type

from gateway.execution import Binding, Shortcut
from gateway.schema.masked_fields import MaskedResolver, shows_personal
from gateway.schema.rows import bulk_resolver
from gateway.schema.strawberry_internals import (
    arguments_converter,
    info_of,
    plain_resolver,
    read_attribute,
)
from gateway.upstream.resources import LazyField

__all__ = ["shortcut"]

# The key among a field's extensions under which its shortcut is kept.
SHORTCUT = "shortcut"


def shortcut(field: GraphQLField) -> Shortcut | None:
    """The shortcut to a field's values; None if the plan has to call its resolver."""
    if SHORTCUT not in field.extensions:
        field.extensions[SHORTCUT] = _shortcut(field)
    made: Shortcut | None = field.extensions[SHORTCUT]
    return made


def _shortcut(field: GraphQLField) -> Shortcut | None:
    resolve = field.resolve
    mask = resolve.masked if isinstance(resolve, MaskedResolver) else None
    inner = resolve.resolve if isinstance(resolve, MaskedResolver) else resolve
    attribute = read_attribute(field, inner)
    if attribute is not None:
        return _attribute(field, attribute, mask)
    return None if mask else _resolver(field, resolve)


def _attribute(field: GraphQLField, attribute: str, mask: Callable[[Any], Any] | None) -> Shortcut:
    read, outputs = attrgetter(attribute), _outputs(field, attribute)
    whole = Binding(read, needs_info=False, outputs=outputs)
    if mask is None:
        return whole

    def masked_outputs(rows: Sequence[Any]) -> Sequence[Any]:
        return [*map(mask, outputs(rows))] if outputs else ()

    masked = Binding(
        lambda source: mask(read(source)),
        needs_info=False,
        outputs=masked_outputs if outputs else None,
    )
    return lambda context, _info, _arguments: whole if shows_personal(context) else masked


def _outputs(
    field: GraphQLField, attribute: str
) -> Callable[[Sequence[Any]], Sequence[Any]] | None:
    """Reads and writes the attribute of many rows, where it is a leaf."""
    type_, read = get_nullable_type(field.type), attrgetter(attribute)
    if not is_leaf_type(type_):
        return None

    @cache
    def column_of(row_class: type) -> Callable[[Sequence[Any]], Sequence[Any]]:
        property_ = getattr(row_class, attribute, None)
        if isinstance(property_, LazyField):
            return property_.column(type_.coerce_output_value)
        return lambda rows: [
            value if value is None or type(value) is str else type_.coerce_output_value(value)
            for value in map(read, rows)
        ]

    def outputs(rows: Sequence[Any]) -> Sequence[Any]:
        row_class: type = type(rows[0])
        if len(rows) > 1 and {*map(type, rows)} != {row_class}:
            raise TypeError("Rows of several classes are read one by one")
        return column_of(row_class)(rows)

    return outputs


def _resolver(field: GraphQLField, resolve: Any) -> Shortcut | None:
    resolver = plain_resolver(field, resolve)
    if resolver is None:
        return None
    function, source_name, info_name = resolver
    resolve_all, converted = bulk_resolver(function), arguments_converter(field)

    def bind(_context: Any, make_info: Callable[[], Any], arguments: dict[str, Any]) -> Binding:
        info = make_info()
        values = converted(arguments)
        if info_name:  # see Note [One info]
            values[info_name] = info_of(field, info)
        if resolve_all and source_name:
            return Binding(
                lambda source: function(**{source_name: source}, **values),
                needs_info=False,
                resolve_all=lambda sources: resolve_all(**{source_name: sources}, **values),
            )
        if source_name:
            return Binding(lambda source: function(**{source_name: source}, **values), False)
        return Binding(lambda _source: function(**values), needs_info=False)

    return bind
