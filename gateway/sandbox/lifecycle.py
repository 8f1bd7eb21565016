"""The life of a call: which status may follow which. Pure: no rows are kept here, no clock runs.

Two rules. Everything about the order of statuses lives in this table; nobody else compares them.
And a status changes only through ``change``, which knows what comes with it: when a call starts,
when it ends, how long it was.

    queued ──► ringing ──► in-progress ──► completed
       │          │
       ├──────────┴──► busy, no-answer, failed     (the carrier says so)
       └──────────┴──► canceled                    (the account says so)

A final status never changes (FACTS section 3).
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
"""The eight statuses of the seed, each with those that may follow it."""
FINAL = frozenset(status for status, following in FOLLOWS.items() if not following)
LIVE = frozenset(FOLLOWS) - FINAL


class IllegalChange(Exception):
    """A status that may not follow the one a call has."""


def change(call: CallRow, status: str, at: int) -> CallRow:
    """The call after a change at a second (UTC); raises IllegalChange when the table forbids it."""
    if status not in FOLLOWS[call.status]:
        raise IllegalChange(f"{status} may not follow {call.status}")
    changed = msgspec.structs.replace(call, status=status, date_updated=at)
    if status == "ringing":
        return msgspec.structs.replace(changed, start_time=at)
    if status in FINAL:
        return _ended(changed, at)
    return changed


def _ended(call: CallRow, at: int) -> CallRow:
    """A call that was never dialed has no times; only a completed one has a length (seed)."""
    if call.start_time is None:
        return call
    duration = at - call.start_time if call.status == "completed" else None
    return msgspec.structs.replace(call, end_time=at, duration=duration)


def status_after_hang_up(status: str) -> str:
    """What becomes of a live call that is hung up: one that was not answered is canceled."""
    return "completed" if status == "in-progress" else "canceled"
