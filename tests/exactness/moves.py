"""Accounts that change: calls that arrive, end, change and disappear between two requests.

A move changes the account just before a request is answered. Rows that were there unchanged all the
time must not be missing from a response.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from tests.exactness.twilio import OddTwilio
from tests.plain_twilio import Row, call, notification, recording, rfc_2822

__all__ = ["Move", "moves", "removes_rows", "unchanged_rows"]


@dataclass(frozen=True)
class Move:
    """A change: its kind, the number of the call (from the newest), and its time."""

    kind: str
    which: int
    at: datetime

    def __call__(self, twilio: OddTwilio) -> None:
        """Changes the account."""
        calls = [row for row in twilio.calls if row["sid"] not in twilio.gone]
        row = calls[self.which % len(calls)] if calls else None
        now = rfc_2822(self.at)
        match self.kind:
            case "a call comes":
                _add(twilio, self.at, None)
            case "a call is made":
                made = _add(twilio, self.at, None)
                made |= {"status": "queued", "direction": "outbound-api", "start_time": None}
                # A call that was just made shows no date (docs/twilio.md#1-surprising-facts, fact
                # 10).
                twilio.shown[made["sid"]] = made | {"date_created": None, "date_updated": None}
            case "a leg comes" if row and row["status"] == "in-progress":
                _add(twilio, self.at, row["sid"])
            case "it ends" if row and row["status"] == "in-progress":
                row |= {"status": "completed", "end_time": now, "duration": "9"}
            case "it is canceled" if row and row["status"] in ("queued", "ringing"):
                row |= {"status": "canceled"}
                twilio.shown.pop(row["sid"], None)
            case "it is deleted" if row:
                twilio.gone.add(row["sid"])
            case "subresources come" if row and row["status"] == "in-progress":
                _add_subresources(twilio, row, now)


def _add(twilio: OddTwilio, at: datetime, parent: str | None) -> Row:
    dates = dict.fromkeys(("date_created", "date_updated", "start_time"), rfc_2822(at))
    live = {"status": "in-progress", "end_time": None, "duration": None}
    direction = "outbound-dial" if parent else "inbound"
    made = call(9000 + len(twilio.calls), parent_call_sid=parent, direction=direction)
    twilio.calls.append(made | dates | live)
    return twilio.calls[-1]


def _add_subresources(twilio: OddTwilio, row: Row, now: str | None) -> None:
    number = 9000 + len(twilio.recordings)
    dates: dict[str, Any] = {"date_created": now, "date_updated": now}
    twilio.recordings.append(recording(number, 0, **dates, call_sid=row["sid"]))
    dates = {"date_created": now, "message_date": now}
    twilio.notifications.append(notification(number, 0, **dates, call_sid=row["sid"]))


COMING = ["a call comes", "a call is made", "a leg comes"]
KINDS = [
    *COMING,
    "it ends",
    "it is canceled",
    "it is deleted",
    "subresources come",
]


def moves(at: datetime, most: int = 12) -> st.SearchStrategy[dict[int, Move]]:
    """Moves before some of the first requests, all at this time: nothing is newer."""
    move = st.builds(Move, st.sampled_from(KINDS), st.integers(0, 20), st.just(at))
    return st.dictionaries(st.integers(0, most), move, max_size=6)


def removes_rows(moves: Mapping[int, Move]) -> bool:
    """True if rows may leave a list: pages known only by number then shift, and rows are missed."""
    return any(
        move.kind not in ("a call comes", "a call is made", "a leg comes")
        for move in moves.values()
    )


def unchanged_rows(
    history: Sequence[Mapping[str, Mapping[str, Row]]],
    name: str,
    holds: Callable[[Row], bool],
) -> set[str]:
    """The rows of a list that were there, unchanged and matching, during the whole history."""
    first = history[0][name]
    return {
        sid
        for sid, row in first.items()
        if holds(row) and all(then[name].get(sid) == row for then in history)
    }
