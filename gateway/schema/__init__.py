"""The GraphQL schema: Strawberry types, resolvers, filters, cursors. No HTTP here.

This module builds the federated schema and prepares its operations.
"""

from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig

from gateway.schema.call import Call
from gateway.schema.context import Context
from gateway.schema.cursors import cursor_key
from gateway.schema.endpoint import PhoneNumber
from gateway.schema.entities import FederatedQuery, FederatedSchema
from gateway.schema.error_codes import presentable
from gateway.schema.executing import execute, open_subscription
from gateway.schema.masked_fields import personal_names
from gateway.schema.mutation import Mutation
from gateway.schema.notification import Notification
from gateway.schema.prepared import PreparedCache, PreparedOperation
from gateway.schema.recording import Recording
from gateway.schema.scalars import SCALARS
from gateway.schema.strawberry_internals import graphql_schema
from gateway.schema.subscription import Subscription
from gateway.settings import DocumentSettings

__all__ = [
    "Context",
    "PreparedOperation",
    "cursor_key",
    "execute",
    "open_subscription",
    "personal_field_names",
    "prepare",
    "schema",
]

schema = FederatedSchema(
    query=FederatedQuery,
    subscription=Subscription,
    mutation=Mutation,
    types=[Call, Recording, Notification, PhoneNumber],
    config=StrawberryConfig(scalar_map=SCALARS),
    # The lowest version with the directives used here: composers refuse versions that they do not
    # know.
    federation_version="2.9",
)
_cache = PreparedCache()


def personal_field_names() -> frozenset[str]:
    """The names of all fields that show personal data."""
    return personal_names(graphql_schema(schema))


def prepare(text: str, name: str | None, limits: DocumentSettings) -> PreparedOperation:
    """The operation of that name, from the cache if it was prepared before.

    Raises GraphQLError if the text cannot be parsed, BadRequest if it has no such operation.
    """
    try:
        return _cache.prepared(text, name, limits, graphql_schema(schema))
    except GraphQLError as error:
        (shown,) = presentable([error], limits)
    raise shown
