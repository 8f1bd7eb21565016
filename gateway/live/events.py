"""Events of a call, and how they reduce to the call's state. Pure: values in, out.

This module must not know where an event came from, the clock, or the subscribers.

Note [Order]. Events arrive late, twice, out of order or never, and from several gateways. So a
call's state is its furthest event: `advance` keeps the further of two, and in any order the last
state is the call's last state. The rank of a status is its position in the lifecycle
(docs/twilio.md#3-call), which never turns back; SequenceNumber decides between events of one
status. It cannot decide alone: a poll has none, and a low number must never drop a final event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from gateway.upstream.calls import FINAL, CallStatus

__all__ = ["FINAL", "CallStatusEvent", "EventSource", "advance", "status_of_callback"]

# queued → ringing → in-progress → completed; a call never moves to a lower rank.
RANK: Mapping[CallStatus, int] = {
    CallStatus.QUEUED: 0,
    CallStatus.RINGING: 1,
    CallStatus.IN_PROGRESS: 2,
    **dict.fromkeys(FINAL, 3),
}


# Statuses that only callbacks use, never the resource (docs/twilio.md#3-call and
# docs/twilio.md#12-reports-of-people-who-use-the-api).
CALLBACK_STATUSES = {"initiated": CallStatus.QUEUED, "answered": CallStatus.IN_PROGRESS}


class EventSource(Enum):
    """How the gateway learned of an event."""

    WEBHOOK = "webhook"
    POLL = "poll"
    MUTATION = "mutation"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStatusEvent:
    """A call's status at one moment; the furthest event is the call's state.

    `sequence` is the webhook's SequenceNumber. `at` is when a gateway received it, UTC. `facts` are
    the call's other properties, by their name in Twilio's JSON row, as text, sorted by name.
    """

    call_sid: str
    status: CallStatus
    sequence: int | None = None
    at: datetime
    source: EventSource
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def is_final(self) -> bool:
        """True when the call's status cannot change any more."""
        return self.status in FINAL

    def fact(self, name: str) -> str | None:
        """A property of the call, by its name in Twilio's JSON row (`parent_call_sid`)."""
        return next((value for known, value in self.facts if known == name), None)


def status_of_callback(text: str) -> CallStatus:
    """A webhook's CallStatus; UNKNOWN for a value that the gateway does not know."""
    try:
        return CALLBACK_STATUSES.get(text) or CallStatus(text)
    except ValueError:
        return CallStatus.UNKNOWN


def advance(state: CallStatusEvent | None, event: CallStatusEvent) -> CallStatusEvent | None:
    """The call's new state; None when the event changes nothing. See Note [Order].

    An unknown status has no rank and changes nothing.
    """
    if event.status not in RANK:
        return None
    if state is None:
        return event
    if state.is_final or RANK[event.status] < RANK[state.status]:
        return _with_more_facts(state, event) if event.status is state.status else None
    if event.status is state.status:
        return _with_more_facts(state, event)
    return replace(
        event,
        sequence=_latest(state.sequence, event.sequence),
        facts=_merged(state.facts, event.facts),
    )


def _with_more_facts(state: CallStatusEvent, event: CallStatusEvent) -> CallStatusEvent | None:
    """The same status with the event's facts added; None when they add nothing."""
    older, newer = state, event
    if event.sequence is not None and (state.sequence or 0) > event.sequence:
        older, newer = event, state
    facts = _merged(older.facts, newer.facts)
    if facts == state.facts:
        return None
    return replace(event, sequence=_latest(state.sequence, event.sequence), facts=facts)


def _merged(
    older: tuple[tuple[str, str], ...], newer: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({**dict(older), **dict(newer)}.items()))


def _latest(one: int | None, other: int | None) -> int | None:
    return max((number for number in (one, other) if number is not None), default=None)
