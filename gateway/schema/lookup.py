"""Reads one row by its SID, for every field that leads to one.

This module must not know the fields.
"""

from collections.abc import Awaitable, Sequence
from typing import TypeVar

from gateway.errors import BadUserInput
from gateway.loaders.dataloaders import settled
from gateway.schema.context import Context, Info, field_path
from gateway.upstream.calls import CALLS, CallResource
from gateway.upstream.catalog import RESOURCES
from gateway.upstream.descriptors import ResourceDescriptor
from gateway.upstream.resources import Resource

__all__ = ["call_by_sid", "calls_by_sid", "entity_by_sid", "node_by_sid", "row_by_sid"]

R = TypeVar("R", bound=Resource)


async def row_by_sid(info: Info, resource: ResourceDescriptor[R], sid: str) -> R | None:
    """The row of this resource; None if there is none."""
    return await info.context.loaders.row(resource.fetch(sid), field_path(info))


async def call_by_sid(info: Info, sid: str) -> CallResource | None:
    """Calls/{sid}; after a 404 that may be replication lag, the recent call in the store.

    None if there is no such call. See Note [Lag] in live.snapshots.
    """
    return await settled(_load_call(info.context, sid, field_path(info)))


def calls_by_sid(
    info: Info, sids: Sequence[str | None]
) -> list[CallResource | Awaitable[CallResource | None] | None]:
    """The call with each of these SIDs, as `call_by_sid`; None where there is no SID."""
    context, path = info.context, field_path(info)
    return [_load_call(context, sid, path) if sid else None for sid in sids]


def _load_call(
    context: Context, sid: str, path: str
) -> CallResource | Awaitable[CallResource | None] | None:
    def or_recent(row: CallResource | None) -> CallResource | Awaitable[CallResource | None]:
        return row or context.account.recent_call(sid, context.deadline)

    return context.loaders.load(CALLS.fetch(sid), path, or_recent)


async def entity_by_sid(info: Info, resource: ResourceDescriptor[R], sid: str) -> Resource | None:
    """The row of this resource; a call is read by `call_by_sid`."""
    if resource is CALLS:
        return await call_by_sid(info, sid)
    return await row_by_sid(info, resource, sid)


async def node_by_sid(info: Info, sid: str) -> Resource | None:
    """The row with this SID. Its two letters give the resource.

    See docs/design/schema.md#2-the-sid-is-the-global-id. Raises BadUserInput if no resource has
    these letters.
    """
    resource = next((each for each in RESOURCES if each.sid_prefix == sid[:2]), None)
    if resource is None:
        known = ", ".join(f"a {each.type_name} ({each.sid_prefix}…)" for each in RESOURCES)
        raise BadUserInput(f"An id must be the SID of one of: {known}")
    return await entity_by_sid(info, resource, sid)
