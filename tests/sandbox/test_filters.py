"""The filters of the lists: by date, by value, and against an oracle."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox import filters
from gateway.sandbox.resources import CallRow
from gateway.sandbox.store import SandboxDatabase
from tests.sandbox.conftest import OpenAccount
from tests.sandbox.rows import call, newest_first, notification, recording, sid


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


AROUND_MIDNIGHT = [
    call(1, at("2009-07-05T23:59:59")),
    call(2, at("2009-07-06T00:00:00")),
    call(3, at("2009-07-06T00:00:01")),
    call(4, at("2009-07-06T23:59:59")),
    call(5, at("2009-07-07T00:00:00")),
    call(6, at("2009-07-06T12:00:00"), start_time=None, status="queued"),
]


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"StartTime": "2009-07-06"}, [4, 3, 2]),
        ({"StartTime<": "2009-07-06"}, [2, 1]),
        ({"StartTime>": "2009-07-06"}, [5, 4, 3, 2]),
        ({"StartTime>": "2009-07-06", "StartTime<": "2009-07-06"}, [2]),
        ({"StartTime>": "2009-07-06", "StartTime<": "2009-07-07"}, [5, 4, 3, 2]),
        ({"StartTime": "2009-07-06T00:00:00Z"}, [4, 3, 2]),
        ({"StartTime": "2009-07-06T17:30:00Z"}, [4, 3, 2]),
        ({"StartTime": "2009-07-06T01:00:00+02:00"}, [1]),
        ({"StartTime>": "2009-07-06T17:30:00Z"}, [5, 4, 3, 2]),
        ({"StartTime<": "2009-07-06T17:30:00Z"}, [2, 1]),
        ({"StartTime": ""}, [5, 4, 6, 3, 2, 1]),
    ],
)
async def test_a_date_is_a_gmt_day_and_an_inequality_starts_or_ends_at_its_midnight(
    open_account: OpenAccount, parameters: dict[str, str], found: list[int]
) -> None:
    account = await open_account(AROUND_MIDNIGHT)

    assert await account.sids("/Calls.json", **parameters) == [sid("CA", n) for n in found]


@pytest.mark.parametrize(
    ("name", "shown"),
    [("StartTime", "StartTime"), ("StartTime<", "StartTime"), ("EndTime>", "EndTime")],
)
async def test_an_invalid_date_is_refused_without_a_code(
    open_account: OpenAccount, name: str, shown: str
) -> None:
    account = await open_account()

    response = await account.get("/Calls.json", **{name: "yesterday"})

    assert response.status_code == 400
    assert response.json() == {"message": f"Invalid {shown}", "status": 400}


@pytest.mark.parametrize(
    "name", ["status", "STATUS", "to", "start_time", "StartTimeAfter", "CallSid", "Nonsense"]
)
async def test_unknown_and_wrongly_cased_parameters_are_ignored(
    open_account: OpenAccount, name: str
) -> None:
    account = await open_account([call(1), call(2)])

    assert len(await account.sids("/Calls.json", **{name: "2009-07-06"})) == 2


async def test_an_end_time_filter_leaves_out_calls_that_have_not_ended(
    open_account: OpenAccount,
) -> None:
    ended = call(1, at("2009-07-06T10:00:00"), end_time=at("2009-07-06T10:05:00"))
    account = await open_account([ended, call(2, at("2009-07-06T10:00:00"))])

    assert await account.sids("/Calls.json", EndTime="2009-07-06") == [ended.sid]


PARTIES = ("+14155550100", "+12125550142", "client:tommy", "sip:kevin@pbx.example.com")
STATUSES = ("queued", "in-progress", "completed", "busy")
DAYS = [date(2026, 7, day) for day in range(4, 8)]


def seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


instants = st.builds(
    lambda day, offset: seconds(day) + offset,
    st.sampled_from(DAYS),
    st.sampled_from((0, 1, 43_200, 86_399)),
)
calls = st.builds(
    lambda number, created, **fields: call(number, created, **fields),
    st.integers(0, 10**9),
    instants,
    to=st.sampled_from(PARTIES),
    from_=st.sampled_from(PARTIES),
    status=st.sampled_from(STATUSES),
    parent_call_sid=st.sampled_from((None, sid("CA", 1), sid("CA", 2))),
    start_time=st.none() | instants,
    end_time=st.none() | instants,
)
days = st.sampled_from(DAYS).map(str)
queries = st.fixed_dictionaries(
    {},
    optional={
        "To": st.sampled_from(PARTIES),
        "From": st.sampled_from(PARTIES),
        "Status": st.sampled_from(STATUSES),
        "ParentCallSid": st.sampled_from((sid("CA", 1), sid("CA", 2))),
        "StartTime": days,
        "StartTime<": days,
        "StartTime>": days,
        "EndTime": days,
        "EndTime<": days,
        "EndTime>": days,
        "status": st.just("ignored"),
    },
)


def _day(moment: int | None) -> date | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).date()


def _instant(moment: int | None) -> datetime:
    return datetime.fromtimestamp(moment or 0, UTC)


def _midnight(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


ORACLE: dict[str, Callable[[CallRow, str], bool]] = {
    "To": lambda row, value: row.to == value,
    "From": lambda row, value: row.from_ == value,
    "Status": lambda row, value: row.status == value,
    "ParentCallSid": lambda row, value: row.parent_call_sid == value,
    "StartTime": lambda row, value: str(_day(row.start_time)) == value,
    "StartTime<": lambda row, value: (
        row.start_time is not None and _instant(row.start_time) <= _midnight(value)
    ),
    "StartTime>": lambda row, value: (
        row.start_time is not None and _instant(row.start_time) >= _midnight(value)
    ),
    "EndTime": lambda row, value: str(_day(row.end_time)) == value,
    "EndTime<": lambda row, value: (
        row.end_time is not None and _instant(row.end_time) <= _midnight(value)
    ),
    "EndTime>": lambda row, value: (
        row.end_time is not None and _instant(row.end_time) >= _midnight(value)
    ),
}


@given(
    rows=st.lists(calls, max_size=25, unique_by=lambda row: row.sid),
    queries=st.lists(queries, min_size=1, max_size=5),
)
def test_filters_find_what_the_oracle_finds(
    rows: list[CallRow], queries: list[Mapping[str, str]]
) -> None:
    store = SandboxDatabase(":memory:")
    store.add(rows)

    for query in queries:
        expected = [
            row
            for row in newest_first(rows)
            if all(ORACLE[name](row, value) for name, value in query.items() if name in ORACLE)
        ]
        found = store.older(CallRow, filters.conditions(filters.CALLS, query), limit=100)
        assert found == expected
    store.close()


MIXED: list[Any] = [
    call(1, at("2026-07-06T10:00:00")),
    recording(1, 1, at("2026-07-06T10:01:00")),
    recording(2, 1, at("2026-07-07T10:01:00"), conference_sid=sid("CF", 1)),
    recording(3, 2, at("2026-07-07T10:02:00")),
    recording(4, 1, at("2026-07-07T10:03:00"), status="deleted"),
    notification(1, 1, at("2026-07-06T10:01:00")),
    notification(2, None, at("2026-07-07T10:01:00"), log="1"),
]


@pytest.mark.parametrize(
    ("resource", "parameters", "found"),
    [
        ("/Recordings.json", {}, [3, 2, 1]),
        ("/Recordings.json", {"CallSid": sid("CA", 1)}, [2, 1]),
        ("/Recordings.json", {"ConferenceSid": sid("CF", 1)}, [2]),
        ("/Recordings.json", {"IncludeSoftDeleted": "true"}, [4, 3, 2, 1]),
        ("/Recordings.json", {"IncludeSoftDeleted": "false"}, [3, 2, 1]),
        ("/Recordings.json", {"DateCreated": "2026-07-07"}, [3, 2]),
        ("/Recordings.json", {"DateCreated<": "2026-07-07"}, [1]),
        ("/Recordings.json", {"DateCreated>": "2026-07-07"}, [3, 2]),
        (f"/Calls/{sid('CA', 1)}/Recordings.json", {}, [2, 1]),
        (f"/Calls/{sid('CA', 1)}/Recordings.json", {"DateCreated": "2026-07-06"}, [1]),
        (f"/Calls/{sid('CA', 1)}/Recordings.json", {"CallSid": sid("CA", 2)}, [2, 1]),
        (f"/Calls/{sid('CA', 1)}/Recordings.json", {"IncludeSoftDeleted": "true"}, [2, 1]),
        ("/Notifications.json", {}, [2, 1]),
        ("/Notifications.json", {"Log": "1"}, [2]),
        ("/Notifications.json", {"MessageDate": "2026-07-06"}, [1]),
        ("/Notifications.json", {"MessageDate<": "2026-07-07"}, [1]),
        ("/Notifications.json", {"MessageDate>": "2026-07-07"}, [2]),
        (f"/Calls/{sid('CA', 1)}/Notifications.json", {}, [1]),
        (f"/Calls/{sid('CA', 1)}/Notifications.json", {"Log": "1"}, []),
    ],
)
async def test_recordings_and_notifications_have_filters_of_their_own(
    open_account: OpenAccount, resource: str, parameters: dict[str, str], found: list[int]
) -> None:
    account = await open_account(MIXED)
    prefix = "NO" if "Notifications" in resource else "RE"

    assert await account.sids(resource, **parameters) == [sid(prefix, n) for n in found]


def test_the_oracle_knows_every_filter_of_calls() -> None:
    assert set(ORACLE) == set(filters.CALLS)
