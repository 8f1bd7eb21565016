"""Apollo Federation: the entities that other subgraphs may refer to, and the schema as a subgraph.

With Strawberry's own resolver one bad representation fails the whole response
(docs/design/libraries.md#2-federation). Here each one resolves by itself: a bad one is null with an
error. All are loaded in one batch.

Note [Two readers]. Routers read the schema as text (`_service`), with Federation's directives.
Clients read it by introspection, without these directives and their types.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import strawberry
from graphql import GraphQLSchema, Undefined, is_specified_directive

from gateway.access import Scope
from gateway.errors import BadUserInput
from gateway.schema.call import Call
from gateway.schema.context import Info
from gateway.schema.endpoint import PhoneNumber, phone_number
from gateway.schema.lookup import entity_by_sid
from gateway.schema.masked_fields import mask_personal_fields
from gateway.schema.notification import Notification
from gateway.schema.query import Query
from gateway.schema.recording import Recording
from gateway.schema.strawberry_internals import FederationAny, graphql_schema
from gateway.upstream.catalog import RESOURCES
from gateway.upstream.descriptors import ResourceDescriptor

__all__ = ["FederatedQuery", "FederatedSchema"]

Resolve = Callable[[Info, str], Awaitable[Any]]
ANY = strawberry.scalar(
    name="_Any",
    description="A reference to an object: its `__typename` and its key.",
    serialize=lambda value: value,
    parse_value=lambda value: value,
)
# Types that only Federation's directives use.
SUPPORT_TYPES = ("_FieldSet", "link__Import", "link__Purpose")


async def _phone_number(info: Info, number: str) -> Any:
    info.context.caller.require(Scope.PII, "Looking up a number")
    return phone_number(number)


def _by_sid(resource: ResourceDescriptor[Any]) -> Resolve:
    return lambda info, sid: entity_by_sid(info, resource, sid)


# Type name: its key field, and how the key is resolved.
ENTITIES: dict[str, tuple[str, Resolve]] = {
    **{each.type_name: ("sid", _by_sid(each)) for each in RESOURCES},
    "PhoneNumber": ("number", _phone_number),
}


async def _entity(info: Info, representation: Any) -> Any:
    if not isinstance(representation, dict):
        raise BadUserInput("A representation must be an object")
    entity = ENTITIES.get(str(representation.get("__typename")))
    if entity is None:
        raise BadUserInput(f"__typename must be one of {', '.join(ENTITIES)}")
    key, resolve = entity
    value = representation.get(key)
    if not isinstance(value, str):
        raise BadUserInput(f"The key {key} is missing or not a string")
    return await resolve(info, value)


Entity = Annotated[
    Call | Notification | PhoneNumber | Recording,
    strawberry.union("_Entity", description="The types that other subgraphs may refer to by key."),
]
Representations = Annotated[
    list[FederationAny],
    strawberry.argument(
        description="Objects with `__typename` and the key field: `sid` or `number`."
    ),
]


@strawberry.type(name="_Service", description="This schema, for the routers of Apollo Federation.")
class Service:
    """Federation's type."""

    sdl: str = strawberry.field(description="The schema in GraphQL's schema definition language.")


@strawberry.type(
    name="Query", description="Reads calls, recordings and notifications of the account."
)
class FederatedQuery(Query):
    """The root with the two fields that Federation requires of a subgraph."""

    @strawberry.field(
        name="_entities",
        description="For routers: the objects that other subgraphs refer to, in their order; null "
        "for a reference without an object.",
        graphql_type=list[Entity | None],
    )
    @staticmethod
    def entities(info: Info, representations: Representations) -> list[Any]:
        """An awaitable for each representation, so that each fails by itself."""
        return [_entity(info, given) for given in representations]

    @strawberry.field(name="_service", description="For routers: this schema as text.")
    @staticmethod
    def service(info: Info) -> Service:
        """With Federation's directives. See Note [Two readers]."""
        return Service(sdl=info.schema.as_str())


class FederatedSchema(strawberry.federation.Schema):
    """The subgraph's schema."""

    def __init__(self, **options: Any) -> None:
        super().__init__(scalar_overrides={FederationAny: ANY}, **options)
        _drop_null_defaults(graphql_schema(self))
        mask_personal_fields(graphql_schema(self))
        self._sdl = super().as_str()
        _hide_federation(graphql_schema(self))

    def as_str(self) -> str:
        """The schema that routers read. See Note [Two readers]."""
        return self._sdl

    __str__ = as_str


def _drop_null_defaults(schema: GraphQLSchema) -> None:
    """Removes defaults of null: resolvers get null for an omitted argument anyway."""
    for type_ in schema.type_map.values():
        for field in getattr(type_, "fields", {}).values():
            for value in (field, *getattr(field, "args", {}).values()):
                if getattr(value, "default_value", Undefined) is None:
                    value.default_value = Undefined


def _hide_federation(schema: GraphQLSchema) -> None:
    """See Note [Two readers]."""
    schema.directives = tuple(filter(is_specified_directive, schema.directives))
    for name in SUPPORT_TYPES:
        del schema.type_map[name]
