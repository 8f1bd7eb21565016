"""Events in any order, lost or doubled: the last state is the call's last, and none goes back."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.live.events import (
    FINAL,
    RANK,
    CallStatusEvent,
    EventSource,
    advance,
    status_of_callback,
)
from gateway.upstream.calls import CallStatus
from tests.live.stage import LIVES, NOW, event


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[CallStatusEvent], list[CallStatusEvent]]:
    """A call's whole life as numbered webhooks, and the events that reach the gateway.

    Webhooks are lost (never the last), doubled, late and shuffled; polls add some states.
    """
    statuses = draw(st.sampled_from(LIVES))
    whole = [
        event(status, number, at=NOW + timedelta(seconds=number), to=f"+1800555010{number}")
        for number, status in enumerate(statuses)
    ]
    polls = [event(status, source=EventSource.POLL) for status in statuses]
    received = draw(st.lists(st.sampled_from(whole + polls), max_size=12))
    last = draw(st.sampled_from([whole[-1], polls[-1]]))
    return whole, draw(st.permutations([*received, last]))


def reduced(events: Sequence[CallStatusEvent]) -> list[CallStatusEvent]:
    """Every state that the events lead through."""
    states: list[CallStatusEvent] = []
    for received in events:
        state = advance(states[-1] if states else None, received)
        if state is not None:
            states.append(state)
    return states


@given(lives())
def test_the_last_state_is_the_calls_last_state_and_no_state_goes_backwards(
    life: tuple[list[CallStatusEvent], list[CallStatusEvent]],
) -> None:
    whole, received = life
    states = reduced(received)
    ranks = [RANK[state.status] for state in states]

    assert states[-1].status is whole[-1].status
    assert ranks == sorted(ranks)
    assert sum(state.is_final for state in states) <= len(received)
    assert len({state.status for state in states if state.is_final}) == 1


@given(lives(), st.integers(1, 5))
def test_a_repeated_event_changes_nothing(
    life: tuple[list[CallStatusEvent], list[CallStatusEvent]], times: int
) -> None:
    _, received = life
    numbered = [one for one in received if one.sequence is not None] or received[-1:]
    last = reduced(numbered)[-1]

    for _ in range(times):
        for again in numbered:
            newer = advance(last, again)
            assert newer is None or newer.status is last.status
            last = newer or last
        assert all(advance(last, again) is None for again in numbered)


def test_the_first_event_is_the_state() -> None:
    first = event("ringing", 1)

    assert advance(None, first) is first


@pytest.mark.parametrize("final", [one for one in CallStatus if one in FINAL])
@pytest.mark.parametrize("later", list(CallStatus))
def test_a_final_state_is_never_undone(final: CallStatus, later: CallStatus) -> None:
    """docs/twilio.md#3-call: "The five final states never change". The number does not matter."""
    state = event(final.value, 3)

    assert advance(state, event(later.value, 99)) is None


@pytest.mark.parametrize("live", ["queued", "ringing", "in-progress"])
@pytest.mark.parametrize("final", sorted(status.value for status in FINAL))
def test_a_final_event_always_counts(live: str, final: str) -> None:
    """Also with a lower number or none: a subscription must end."""
    for number in (None, 0, 9):
        state = advance(event(live, 5), event(final, number))

        assert state is not None
        assert state.status.value == final
        assert state.sequence == max(5, number or 0)


def test_the_table_has_every_status_but_unknown() -> None:
    assert set(RANK) == set(CallStatus) - {CallStatus.UNKNOWN}
    assert {status.value for status in FINAL} == {
        "completed", "canceled", "busy", "no-answer", "failed",
    }  # fmt: skip


def test_a_status_that_is_not_known_changes_nothing() -> None:
    assert advance(None, event("unknown", 0)) is None
    assert advance(event("ringing", 1), event("unknown", 2)) is None


def test_facts_are_merged_and_the_higher_number_wins() -> None:
    """Of two events of one status, the higher SequenceNumber is the newer, whatever the order."""
    state = event("in-progress", 3, answered_by="machine_start", to="+18005550100")

    late = advance(state, event("in-progress", 2, answered_by="unknown", direction="inbound"))
    assert late is not None
    assert late.fact("answered_by") == "machine_start"
    assert late.fact("direction") == "inbound"
    assert late.sequence == 3

    final = advance(late, event("completed", 4, duration="42"))
    assert final is not None
    assert dict(final.facts) == {
        "answered_by": "machine_start", "direction": "inbound", "to": "+18005550100",
        "duration": "42",
    }  # fmt: skip
    assert final.fact("price") is None


def test_facts_of_a_final_state_may_still_come() -> None:
    state = advance(
        event("completed", source=EventSource.POLL), event("completed", 3, duration="42")
    )

    assert state is not None
    assert state.fact("duration") == "42"
    assert advance(state, event("completed", 3, duration="42")) is None


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("initiated", CallStatus.QUEUED),
        ("in-progress", CallStatus.IN_PROGRESS),
        ("answered", CallStatus.IN_PROGRESS),
        ("no-answer", CallStatus.NO_ANSWER),
        ("on-hold", CallStatus.UNKNOWN),
        ("", CallStatus.UNKNOWN),
    ],
)
def test_what_a_webhook_calls_a_status(text: str, status: CallStatus) -> None:
    """docs/twilio.md#3-call: `initiated` is a value of the webhook, never of the resource.

    docs/twilio.md#12-reports-of-people-who-use-the-api: users reported `answered`, too.
    """
    assert status_of_callback(text) is status
