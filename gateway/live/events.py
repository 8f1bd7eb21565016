"""What is heard of a call, and how the notices of one call become its state. Pure: values in, out.

This module must not know where a notice came from, the clock, or who is told.

Note [Order]. Notices arrive late, twice, shuffled or never, and from several gateways. So a state
is simply the furthest notice: `advance` keeps the further of two, and whatever the order, the last
state is the call's last state. How far a call has come is its place in the lifecycle (FACTS section
3), which never turns back; SequenceNumber decides between notices of one status. It does not decide
alone: a poll has none, and that a final notice is dropped for its number must not be possible.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from gateway.upstream.calls import FINAL, CallStatus

__all__ = ["FINAL", "CallStatusEvent", "EventSource", "advance", "status_of_callback"]

# queued → ringing → in-progress → completed; what follows is never what went before.
PLACE: Mapping[CallStatus, int] = {
    CallStatus.QUEUED: 0,
    CallStatus.RINGING: 1,
    CallStatus.IN_PROGRESS: 2,
    **dict.fromkeys(FINAL, 3),
}


# What callbacks call a status, and the resource does not (FACTS sections 3 and 12).
OF_CALLBACKS = {"initiated": CallStatus.QUEUED, "answered": CallStatus.IN_PROGRESS}


class EventSource(Enum):
    """How the gateway came to know."""

    WEBHOOK = "webhook"
    POLL = "poll"
    MUTATION = "mutation"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStatusEvent:
    """What was heard of a call at one moment; the furthest one is the call's state.

    `sequence` is the webhook's SequenceNumber. `at` is when a gateway heard of it, UTC. `facts` are
    the properties that came along, by their name in Twilio's JSON row, as text, sorted by name.
    """

    call_sid: str
    status: CallStatus
    sequence: int | None = None
    at: datetime
    source: EventSource
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def is_final(self) -> bool:
        """True when nothing more will happen to the call."""
        return self.status in FINAL

    def fact(self, name: str) -> str | None:
        """A property that came along, by its name in Twilio's JSON row (`parent_call_sid`)."""
        return next((value for known, value in self.facts if known == name), None)


def status_of_callback(text: str) -> CallStatus:
    """A webhook's CallStatus; UNKNOWN where it is none that is known here."""
    try:
        return OF_CALLBACKS.get(text) or CallStatus(text)
    except ValueError:
        return CallStatus.UNKNOWN


def advance(state: CallStatusEvent | None, event: CallStatusEvent) -> CallStatusEvent | None:
    """The call's new state; None where the notice changes nothing. See Note [Order].

    A status that is not known here has no place in the order and changes nothing.
    """
    if event.status not in PLACE:
        return None
    if state is None:
        return event
    if state.is_final or PLACE[event.status] < PLACE[state.status]:
        return _with_more_facts(state, event) if event.status is state.status else None
    if event.status is state.status:
        return _with_more_facts(state, event)
    return replace(
        event,
        sequence=_latest(state.sequence, event.sequence),
        facts=_merged(state.facts, event.facts),
    )


def _with_more_facts(state: CallStatusEvent, event: CallStatusEvent) -> CallStatusEvent | None:
    """The same status with what the notice knows besides; None where that is nothing."""
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
