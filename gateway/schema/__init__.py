"""The GraphQL schema: Strawberry types, resolvers, filters, cursors. No HTTP here.

This module builds the federated schema.
"""

from strawberry.schema.config import StrawberryConfig

from gateway.schema.call import Call
from gateway.schema.context import Context
from gateway.schema.cursors import cursor_key
from gateway.schema.document_guard import DocumentGuard
from gateway.schema.endpoint import PhoneNumber
from gateway.schema.entities import FederatedQuery, FederatedSchema
from gateway.schema.event_execution import EventExecutor
from gateway.schema.extensions import ErrorCodes, RequireScope
from gateway.schema.mutation import Mutation
from gateway.schema.notification import Notification
from gateway.schema.recording import Recording
from gateway.schema.scalars import SCALARS
from gateway.schema.subscription import Subscription

__all__ = ["Context", "cursor_key", "schema"]

schema = FederatedSchema(
    query=FederatedQuery,
    subscription=Subscription,
    mutation=Mutation,
    types=[Call, Recording, Notification, PhoneNumber],
    extensions=[ErrorCodes, RequireScope, DocumentGuard],
    config=StrawberryConfig(scalar_map=SCALARS),
    execution_context_class=EventExecutor,
    # The lowest version with the directives used here: composers refuse versions that they do not
    # know.
    federation_version="2.0",
)
