"""The example calls: their variety, and that the same seed gives the same rows."""

import re
from collections import Counter
from datetime import UTC, datetime

import pytest

from gateway.sandbox.resources import CallRow, NotificationRow, RecordingRow, Row
from gateway.sandbox.seed import DAY, DAYS, SHOWN, example_rows

NOW = int(datetime(2026, 7, 8, 15, 30, tzinfo=UTC).timestamp())
MIDNIGHT = NOW // DAY * DAY
NIGHT = int(datetime(2026, 7, 5, 3, 0, tzinfo=UTC).timestamp())
TWO_WEEKS = list(example_rows(2000, 1, NOW))
CALLS = {row.sid: row for row in TWO_WEEKS if isinstance(row, CallRow)}
RECORDINGS = [row for row in TWO_WEEKS if isinstance(row, RecordingRow)]
NOTIFICATIONS = [row for row in TWO_WEEKS if isinstance(row, NotificationRow)]


def newest(rows: list[Row], count: int) -> list[CallRow]:
    """As the list shows them: of one second, the latest inserted first."""
    calls = [row for row in rows if isinstance(row, CallRow)]
    calls.reverse()
    return sorted(calls, key=lambda row: -row.date_created)[:count]


def sids(rows: list[CallRow]) -> list[str]:
    return [row.sid for row in rows]


def test_the_same_seed_gives_the_same_rows() -> None:
    assert list(example_rows(300, 7, NOW)) == list(example_rows(300, 7, NOW))
    assert list(example_rows(300, 7, NOW)) != list(example_rows(300, 8, NOW))


def test_the_rows_are_the_same_all_day() -> None:
    first, last = (list(example_rows(300, 7, MIDNIGHT + at)) for at in (0, DAY - 1))

    assert first == last


@pytest.mark.parametrize("days", range(1, 15))
def test_the_sids_are_the_same_on_every_day(days: int) -> None:
    """Also those of the first page, in the same order: a printed SID stays true."""
    later = list(example_rows(2000, 1, NOW + days * DAY))

    assert {row.sid for row in later} == {row.sid for row in TWO_WEEKS}
    assert sids(newest(later, 50)) == sids(newest(TWO_WEEKS, 50))


@pytest.mark.parametrize("count", [0, 1, 2, 10, 77, 1234])
@pytest.mark.parametrize("now", [NOW, NIGHT])
def test_there_are_exactly_as_many_calls_as_requested(count: int, now: int) -> None:
    rows = list(example_rows(count, 1, now))

    assert sum(isinstance(row, CallRow) for row in rows) == count
    assert len({row.sid for row in rows}) == len(rows)


def test_everything_happened_in_the_two_weeks_to_midnight() -> None:
    oldest = MIDNIGHT - SHOWN - DAYS * DAY
    for row in TWO_WEEKS:
        assert oldest <= row.date_created <= row.date_updated < MIDNIGHT


def test_calls_are_made_in_business_hours_and_on_weekdays() -> None:
    moments = [datetime.fromtimestamp(row.date_created, UTC) for row in CALLS.values()]
    weekend = sum(moment.weekday() >= 5 for moment in moments)
    night = sum(moment.hour < 6 for moment in moments)

    assert 0 < weekend < len(moments) * 0.15
    assert 0 < night < len(moments) * 0.05


PAGES = [
    pytest.param(list(example_rows(2000, seed, now)), id=f"seed {seed}")
    for seed, now in [(1, NOW), (1, NIGHT), *((seed, NOW) for seed in range(2, 22))]
]


@pytest.mark.parametrize("rows", PAGES)
def test_the_first_page_shows_every_kind_of_call(rows: list[Row]) -> None:
    page = newest(rows, 50)
    statuses = {"in-progress", "completed", "busy", "no-answer", "failed", "canceled"}

    assert {row.status for row in page} == statuses
    assert {row.direction for row in page} >= {"inbound", "outbound-dial", "outbound-api"}
    assert any(row.direction.startswith("trunking") for row in page)
    assert {row.to.partition(":")[0] for row in page} >= {"client", "sip"}
    assert any(row.answered_by for row in page)
    assert any(row.caller_name for row in page)


@pytest.mark.parametrize("rows", PAGES)
def test_the_first_page_has_one_live_call_and_it_is_not_on_top(rows: list[Row]) -> None:
    """All others ended half a minute before midnight or earlier, so they are settled."""
    page = newest(rows, 50)
    (live,) = [at for at, row in enumerate(page) if row.status == "in-progress"]
    midnight = page[0].date_created // DAY * DAY + DAY

    assert live >= 5
    for row in page[:live] + page[live + 1 :]:
        assert row.end_time is not None
        assert row.end_time + 30 <= midnight


@pytest.mark.parametrize("rows", PAGES)
def test_no_leg_on_the_first_page_has_its_parent_elsewhere(rows: list[Row]) -> None:
    """Each such parent would be a request of its own."""
    page = newest(rows, 50)

    assert {row.parent_call_sid for row in page} - {None} <= set(sids(page))


@pytest.mark.parametrize("rows", PAGES)
def test_a_transferred_answered_and_recorded_call_is_first(rows: list[Row]) -> None:
    """It is the third level: the agent's own leg dialled the supervisor."""
    calls = {row.sid: row for row in newest(rows, 50)}
    recorded = {row.call_sid for row in rows if isinstance(row, RecordingRow)}
    warned = {row.call_sid for row in rows if isinstance(row, NotificationRow)}
    transfer = next(iter(calls.values()))
    agent = calls[transfer.parent_call_sid or ""]
    customer = calls[agent.parent_call_sid or ""]

    for call in (transfer, agent, customer):
        assert (call.status, call.sid in recorded) == ("completed", True)
        assert call.duration
        assert call.price
    assert (customer.parent_call_sid, customer.direction) == (None, "inbound")
    assert agent.sid in warned


def test_the_fields_of_every_call_fit_its_status() -> None:
    for row in CALLS.values():
        live = row.status in ("queued", "ringing", "in-progress")
        assert (row.start_time is None) <= (row.status in ("queued", "canceled"))
        assert (row.end_time is None) <= (live or row.status == "canceled")
        assert (row.price is not None) <= (row.status == "completed")
        if row.status == "completed":
            assert row.start_time is not None
            assert row.end_time is not None
            assert row.duration == row.end_time - row.start_time


def test_dialled_legs_are_created_after_their_parents_and_never_outlive_them() -> None:
    children = [row for row in CALLS.values() if row.parent_call_sid in CALLS]
    child_counts = Counter(row.parent_call_sid for row in children)

    for child in children:
        parent = CALLS[child.parent_call_sid or ""]
        assert child.direction == "outbound-dial"
        assert parent.date_created <= child.date_created
        if parent.end_time is not None and child.end_time is not None:
            assert child.end_time <= parent.end_time + 1
    assert {1, 2, 3} <= set(child_counts.values())


def test_some_prices_never_arrive() -> None:
    completed = [row for row in CALLS.values() if row.status == "completed"]

    assert 0 < sum(row.price is None for row in completed) < len(completed) * 0.05


def test_recordings_of_a_dial_belong_to_the_parent_leg() -> None:
    """docs/twilio.md#1-surprising-facts, fact 7. Only the API starts one on another leg."""
    for row in RECORDINGS:
        recorded = CALLS.get(row.call_sid or "")
        is_top = recorded is None or recorded.parent_call_sid is None
        assert is_top or row.source == "StartCallRecordingAPI"


def test_recordings_come_in_several_kinds_and_states() -> None:
    assert {row.source for row in RECORDINGS} >= {
        "DialVerb",
        "RecordVerb",
        "Conference",
        "Trunking",
        "StartCallRecordingAPI",
    }
    assert {row.status for row in RECORDINGS} >= {"in-progress", "completed", "absent", "deleted"}
    for row in RECORDINGS:
        if row.status == "in-progress":
            assert (row.duration, row.price, row.price_unit) == (None, None, None)


def test_notifications_come_in_several_kinds() -> None:
    codes = {row.error_code for row in NOTIFICATIONS}
    late = [row for row in NOTIFICATIONS if row.error_code == "15003"]

    assert codes >= {"11200", "11205", "12100", "13224", "15003"}
    assert {row.log for row in NOTIFICATIONS} == {"0", "1"}
    assert any(row.call_sid is None for row in NOTIFICATIONS)
    assert late
    for row in late:
        assert row.message_date >= (CALLS[row.call_sid or ""].end_time or NOW)


def test_there_are_orphans() -> None:
    """Legs and recordings whose call was deleted: the gateway must handle them."""
    assert any(row.parent_call_sid not in {None, *CALLS} for row in CALLS.values())
    assert any(row.call_sid not in CALLS for row in RECORDINGS)


FICTIONAL = re.compile(
    r"\+1\d{3}55501\d{2}|\+1500555000\d"  # 555-0100 to 555-0199, and Twilio's test numbers
    r"|\+442079460\d{3}|\+441614960\d{3}|\+447700900\d{3}"  # Ofcom's drama ranges
    r"|\+35320917\d{4}|\+61491570\d{3}"  # ComReg's and ACMA's
    r"|client:[a-z.]+|sip:[a-z0-9-]+@pbx\.example\.com"
)


def test_all_parties_are_fictional() -> None:
    for row in CALLS.values():
        for party in (row.to, row.from_, row.forwarded_from):
            assert party is None or FICTIONAL.fullmatch(party), party
