"""One call by its SID, as every field reads it that leads to one.

This module must not know which field asks.
"""

from gateway.schema.context import Info, field_path
from gateway.upstream.requests import FetchCall
from gateway.upstream.resources import CallResource

__all__ = ["call_by_sid"]


async def call_by_sid(info: Info, sid: str) -> CallResource | None:
    """Calls/{sid}; what the store knows, where that is a 404 so soon that it may be lag.

    None when there is no such call. See Note [Lag] in live.fresh.
    """
    row = await info.context.loaders.row(FetchCall(sid=sid), field_path(info))
    if row is not None:
        return row
    return await info.context.account.heard(sid, info.context.deadline)
