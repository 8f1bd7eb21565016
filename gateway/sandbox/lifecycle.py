"""The state machine of a call: which status may follow which. Pure: has no rows and no clock.

Two rules. Only this table knows the order of statuses; no other module compares them. And a status
changes only through ``change``, which also sets the start time, the end time and the duration.

    queued ──► ringing ──► in-progress ──► completed
       │          │
       ├──────────┴──► busy, no-answer, failed     (the carrier says so)
       └──────────┴──► canceled                    (the account says so)

A final status never changes (docs/twilio.md#3-call).
"""

from collections.abc import Mapping

import msgspec

from gateway.sandbox.resources import CallRow

_UNANSWERED = frozenset({"busy", "no-answer", "failed", "canceled"})

FOLLOWS: Mapping[str, frozenset[str]] = {
    "queued": _UNANSWERED | {"ringing"},
    "ringing": _UNANSWERED | {"in-progress"},
    "in-progress": frozenset({"completed"}),
    "completed": frozenset(),
    "busy": frozenset(),
    "no-answer": frozenset(),
    "failed": frozenset(),
    "canceled": frozenset(),
}
"""The eight statuses of the seed, each with its possible successors."""
FINAL = frozenset(status for status, following in FOLLOWS.items() if not following)
LIVE = frozenset(FOLLOWS) - FINAL


class IllegalChange(Exception):
    """The new status may not follow the call's current status."""


def change(call: CallRow, status: str, at: int) -> CallRow:
    """The call with a new status at a second (UTC); raises IllegalChange."""
    if status not in FOLLOWS[call.status]:
        raise IllegalChange(f"{status} may not follow {call.status}")
    changed = msgspec.structs.replace(call, status=status, date_updated=at)
    if status == "ringing":
        return msgspec.structs.replace(changed, start_time=at)
    if status in FINAL:
        return _ended(changed, at)
    return changed


def _ended(call: CallRow, at: int) -> CallRow:
    """A call that was never dialed has no times; only a completed one has a duration (seed)."""
    if call.start_time is None:
        return call
    duration = at - call.start_time if call.status == "completed" else None
    return msgspec.structs.replace(call, end_time=at, duration=duration)


def status_after_hang_up(status: str) -> str:
    """The final status of a live call that is hung up: without an answer it is canceled."""
    return "completed" if status == "in-progress" else "canceled"
