"""What a row of upstream's says of its call, as a notice. Pure.

This module must not know why the row was read.
"""

from datetime import datetime

from gateway.live.events import CallNotice, Source
from gateway.upstream.resources import CallResource

__all__ = ["notice_of"]

FACTS = (
    "account_sid",
    "answered_by",
    "caller_name",
    "direction",
    "duration",
    "forwarded_from",
    "from_",
    "parent_call_sid",
    "to",
)


def notice_of(row: CallResource, source: Source, at: datetime) -> CallNotice:
    """A notice without a sequence number. A status that is missing is UNKNOWN."""
    values = ((name.rstrip("_"), getattr(row, f"wire_{name}")) for name in FACTS)
    return CallNotice(
        call_sid=row.sid,
        status=row.status,
        at=at,
        source=source,
        facts=tuple(sorted((name, text) for name, text in values if _is_text(text))),
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""
