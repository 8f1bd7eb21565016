"""One row by its SID, as every field reads it that leads to one.

This module must not know which field asks.
"""

from typing import TypeVar

from gateway.errors import BadUserInput
from gateway.schema.context import Info, field_path
from gateway.upstream.calls import CALLS, CallResource
from gateway.upstream.catalog import RESOURCES
from gateway.upstream.descriptors import ResourceDescriptor
from gateway.upstream.resources import Resource

__all__ = ["call_by_sid", "entity_by_sid", "node_by_sid", "row_by_sid"]

R = TypeVar("R", bound=Resource)


async def row_by_sid(info: Info, resource: ResourceDescriptor[R], sid: str) -> R | None:
    """The row of this resource; None when there is none."""
    return await info.context.loaders.row(resource.fetch(sid), field_path(info))


async def call_by_sid(info: Info, sid: str) -> CallResource | None:
    """Calls/{sid}; what the store knows, where that is a 404 so soon that it may be lag.

    None when there is no such call. See Note [Lag] in live.fresh.
    """
    row = await row_by_sid(info, CALLS, sid)
    if row is not None:
        return row
    return await info.context.account.recent_call(sid, info.context.deadline)


async def entity_by_sid(info: Info, resource: ResourceDescriptor[R], sid: str) -> Resource | None:
    """The row of this resource, a call as by `call_by_sid`."""
    if resource is CALLS:
        return await call_by_sid(info, sid)
    return await row_by_sid(info, resource, sid)


async def node_by_sid(info: Info, sid: str) -> Resource | None:
    """The row that the SID is of, by its two letters (SCHEMA rule 2).

    Raises BadUserInput where these are of none of the resources.
    """
    resource = next((each for each in RESOURCES if each.sid_prefix == sid[:2]), None)
    if resource is None:
        known = ", ".join(f"a {each.type_name} ({each.sid_prefix}…)" for each in RESOURCES)
        raise BadUserInput(f"An id is the SID of one of: {known}")
    return await entity_by_sid(info, resource, sid)
