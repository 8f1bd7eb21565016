"""What the tests of this room share: notices that are easy to read, and news as they come."""

import asyncio
from datetime import UTC, datetime

from gateway.live.events import CallStatusEvent, EventSource
from gateway.live.store import EventSubscription
from gateway.upstream.calls import CallStatus
from tests.plain_twilio import sid

CALL = sid("CA", 1)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
# FACTS section 3: each status and those that may follow it, skipped ones included.
LIVES = [
    ["queued", "ringing", "in-progress", "completed"],
    *(["queued", "ringing", end] for end in ("busy", "no-answer", "failed", "canceled")),
    *(["queued", end] for end in ("failed", "canceled")),
]


def event(
    status: str,
    sequence: int | None = None,
    *,
    of: str = CALL,
    source: EventSource = EventSource.WEBHOOK,
    at: datetime = NOW,
    **facts: str,
) -> CallStatusEvent:
    """What a webhook, or with no sequence a poll, says of a call."""
    return CallStatusEvent(
        call_sid=of,
        status=CallStatus(status),
        sequence=sequence,
        at=at,
        source=source,
        facts=tuple(sorted(facts.items())),
    )


async def next_status(subscription: EventSubscription) -> str:
    """The status of the next state, which must come within some seconds."""
    async with asyncio.timeout(20):
        return (await anext(subscription)).status.value


async def statuses_until(subscription: EventSubscription, last: str) -> list[str]:
    """The statuses up to one."""
    seen = [await next_status(subscription)]
    while seen[-1] != last:
        seen.append(await next_status(subscription))
    return seen
