"""Apollo Federation: the entities that other subgraphs may refer to.

Strawberry's own resolver loses the whole answer to one bad representation (LIBRARY-FACTS 2). Here
each one resolves by itself: a bad one is null with an error. All are loaded in one batch.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import strawberry

from gateway.access import Scope
from gateway.errors import BadUserInput
from gateway.schema.context import Info, field_path
from gateway.schema.endpoint import phone_number
from gateway.schema.lookup import call_by_sid
from gateway.schema.personal import mask_personal_fields
from gateway.schema.strawberry_internals import FederationAny, graphql_schema
from gateway.upstream.requests import FetchNotification, FetchRecording

__all__ = ["FederatedSchema"]


async def _notification(info: Info, sid: str) -> Any:
    return await info.context.loaders.row(FetchNotification(sid=sid), field_path(info))


async def _phone_number(info: Info, number: str) -> Any:
    info.context.caller.require(Scope.PII, "Looking up a number")
    return phone_number(number)


async def _recording(info: Info, sid: str) -> Any:
    return await info.context.loaders.row(FetchRecording(sid=sid), field_path(info))


# Type name: its key field, and how the key is resolved.
ENTITIES: dict[str, tuple[str, Callable[[Info, str], Awaitable[Any]]]] = {
    "Call": ("sid", call_by_sid),
    "Notification": ("sid", _notification),
    "PhoneNumber": ("number", _phone_number),
    "Recording": ("sid", _recording),
}


async def _entity(info: Info, representation: Any) -> Any:
    if not isinstance(representation, dict):
        raise BadUserInput("A representation is an object")
    entity = ENTITIES.get(str(representation.get("__typename")))
    if entity is None:
        raise BadUserInput(f"__typename must be one of {', '.join(ENTITIES)}")
    key, resolve = entity
    value = representation.get(key)
    if not isinstance(value, str):
        raise BadUserInput(f"The key {key} is missing or not a text")
    return await resolve(info, value)


class FederatedSchema(strawberry.federation.Schema):
    """The subgraph's schema."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        mask_personal_fields(graphql_schema(self))

    def entities_resolver(
        self, info: strawberry.Info, representations: list[FederationAny]
    ) -> list[FederationAny]:
        """`_entities`: an awaitable for each representation, so that each fails by itself."""
        entities: list[Any] = [_entity(info, given) for given in representations]
        return entities

    def process_errors(self, errors: Any, execution_context: Any = None) -> None:
        """Logging is the ErrorCodes extension's: Strawberry's own logs whole upstream URLs."""
