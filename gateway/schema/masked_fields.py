"""Personal fields: a caller without the scope `pii` sees a mask.

A field's declaration marks it as personal, and the schema wraps its resolver. So it is masked
wherever its row is returned: in queries, entities, payloads of mutations and events. This module
must not know which fields are personal, nor how a mask looks.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from graphql import GraphQLField, GraphQLObjectType, GraphQLSchema

from gateway.access import Scope
from gateway.schema.strawberry_internals import declaration

__all__ = [
    "MaskedResolver",
    "mask_of",
    "mask_personal_fields",
    "personal",
    "personal_names",
    "shows_personal",
]

Mask = Callable[[str], str]
MASK = "mask"


def personal(mask: Mask) -> Mapping[str, Mask]:
    """The metadata of a personal text field: `strawberry.field(metadata=personal(...))`."""
    return {MASK: mask}


def mask_of(field: GraphQLField) -> Mask | None:
    """The mask of a field's declaration; None if it is not personal."""
    mask: Mask | None = getattr(declaration(field), "metadata", {}).get(MASK)
    return mask


def mask_personal_fields(schema: GraphQLSchema) -> None:
    """Wraps the resolver of every personal field. Call once, when the schema is made."""
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLObjectType):
            for field in type_.fields.values():
                mask = mask_of(field)
                if mask is not None and field.resolve is not None:
                    field.resolve = MaskedResolver(field.resolve, mask)


def personal_names(schema: GraphQLSchema) -> frozenset[str]:
    """The names of all personal fields."""
    types = [type_ for type_ in schema.type_map.values() if isinstance(type_, GraphQLObjectType)]
    return frozenset(
        name for type_ in types for name, field in type_.fields.items() if mask_of(field)
    )


@dataclass(frozen=True)
class MaskedResolver:
    """The resolver of a personal field: what `resolve` gives, or its mask."""

    resolve: Callable[..., Any]
    mask: Mask

    def __call__(self, source: Any, info: Any, **arguments: Any) -> Any:
        """As graphql-core calls it."""
        value = self.resolve(source, info, **arguments)
        if shows_personal(info.context):
            return value
        return _later(value, self.mask) if isawaitable(value) else self.masked(value)

    def masked(self, value: str | None) -> str | None:
        """The mask of a value."""
        return _now(value, self.mask)


def shows_personal(context: Any) -> bool:
    """True where the caller sees personal values as they are."""
    return bool(context.caller.may(Scope.PII))


def _now(value: str | None, mask: Mask) -> str | None:
    return None if value is None else mask(value)


async def _later(value: Awaitable[str | None], mask: Mask) -> str | None:
    return _now(await value, mask)
