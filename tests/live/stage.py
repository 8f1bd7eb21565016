"""What the tests of this room share: short events, and the statuses that a subscriber gets."""

import asyncio
from datetime import UTC, datetime

from gateway.live.events import CallStatusEvent, EventSource
from gateway.live.store import EventSubscription
from gateway.upstream.calls import CallStatus
from tests.plain_twilio import sid

CALL = sid("CA", 1)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
# docs/twilio.md#3-call: the ways through the lifecycle; statuses may be skipped.
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
    """An event of a call, as a webhook reports it; without `sequence` as a poll does."""
    return CallStatusEvent(
        call_sid=of,
        status=CallStatus(status),
        sequence=sequence,
        at=at,
        source=source,
        facts=tuple(sorted(facts.items())),
    )


async def next_status(subscription: EventSubscription[CallStatusEvent]) -> str:
    """The status of the next state, which must come within 20 seconds."""
    async with asyncio.timeout(20):
        return (await anext(subscription)).status.value


async def statuses_until(subscription: EventSubscription[CallStatusEvent], last: str) -> list[str]:
    """The statuses up to `last`."""
    statuses = [await next_status(subscription)]
    while statuses[-1] != last:
        statuses.append(await next_status(subscription))
    return statuses
