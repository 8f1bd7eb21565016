"""The status table, tested with every pair of statuses."""

from itertools import product

import pytest

from gateway.sandbox.lifecycle import (
    FINAL,
    FOLLOWS,
    LIVE,
    IllegalChange,
    change,
    status_after_hang_up,
)
from tests.sandbox.rows import NOON, call

SEED = [
    "queued",
    "ringing",
    "in-progress",
    "canceled",
    "completed",
    "failed",
    "busy",
    "no-answer",
]
LEGAL = {
    ("queued", "ringing"),
    ("queued", "canceled"),
    ("queued", "busy"),
    ("queued", "no-answer"),
    ("queued", "failed"),
    ("ringing", "in-progress"),
    ("ringing", "canceled"),
    ("ringing", "busy"),
    ("ringing", "no-answer"),
    ("ringing", "failed"),
    ("in-progress", "completed"),
}
"""The changes that docs/twilio.md#3-call lists."""


def test_the_statuses_are_those_of_the_seed() -> None:
    assert set(FOLLOWS) == set(SEED)
    assert {"completed", "canceled", "busy", "failed", "no-answer"} == FINAL
    assert {"queued", "ringing", "in-progress"} == LIVE


@pytest.mark.parametrize(("before", "after"), list(product(SEED, SEED)))
def test_a_status_follows_another_only_as_in_the_facts(before: str, after: str) -> None:
    row = call(1, status=before, start_time=None)

    if (before, after) in LEGAL:
        assert change(row, after, NOON + 5).status == after
    else:
        with pytest.raises(IllegalChange):
            change(row, after, NOON + 5)


def test_a_call_starts_when_it_rings_and_its_duration_counts_from_there() -> None:
    queued = call(1, status="queued", start_time=None)

    ringing = change(queued, "ringing", NOON + 1)
    completed = change(change(ringing, "in-progress", NOON + 5), "completed", NOON + 65)

    assert (ringing.start_time, ringing.end_time) == (NOON + 1, None)
    assert (completed.end_time, completed.date_updated) == (NOON + 65, NOON + 65)
    assert completed.duration == 64


@pytest.mark.parametrize("status", ["busy", "no-answer", "failed", "canceled"])
def test_a_call_that_was_not_answered_has_no_duration(status: str) -> None:
    rung = change(call(1, status="ringing", start_time=NOON), status, NOON + 9)
    never_dialed = change(call(1, status="queued", start_time=None), status, NOON + 9)

    assert (rung.end_time, rung.duration) == (NOON + 9, None)
    assert (never_dialed.start_time, never_dialed.end_time) == (None, None)


def test_hanging_up_is_a_legal_change_of_every_live_call() -> None:
    for status in LIVE:
        assert status_after_hang_up(status) in FOLLOWS[status]
