"""The store at work: no sorting, no scanning, and pages that cost the same wherever they lie.

Work is counted in steps of SQLite's virtual machine, not in seconds.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox import filters, reading
from gateway.sandbox.paging import PageRange
from gateway.sandbox.resources import CallRow, NotificationRow, RecordingRow, Row
from gateway.sandbox.seed import example_rows
from gateway.sandbox.store import SandboxDatabase
from tests.sandbox.rows import NOON, call, sid

NOW = int(datetime(2026, 7, 8, 15, 30, tzinfo=UTC).timestamp())
KINDS: dict[type[Row], Mapping[str, filters.Filter]] = {
    CallRow: filters.CALLS,
    RecordingRow: filters.RECORDINGS,
    NotificationRow: filters.NOTIFICATIONS,
}


class Watched(sqlite3.Connection):
    """Keeps what it is asked, and counts the steps of SQLite's machine, in tens."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.statements: list[str] = []
        self.tens = 0
        self.set_trace_callback(self.statements.append)
        self.set_progress_handler(self._count, 10)

    def _count(self) -> int:
        self.tens += 1
        return 0


class WatchedStore(SandboxDatabase):
    """A store whose connection is seen."""

    def __init__(self) -> None:
        connections: list[Watched] = []

        class Kept(Watched):
            def __init__(self, *given: Any, **options: Any) -> None:
                super().__init__(*given, **options)
                connections.append(self)

        super().__init__(":memory:", Kept)
        (self.seen,) = connections


@pytest.fixture(scope="module")
def store() -> Iterator[WatchedStore]:
    opened = WatchedStore()
    opened.load(example_rows(4000, 1, NOW))
    yield opened
    opened.close()


def value(name: str) -> str:
    if name.rstrip("<>") in ("StartTime", "EndTime", "DateCreated", "MessageDate"):
        return "2026-07-01"
    return {"Status": "busy", "Log": "1", "To": "client:tommy"}.get(name, "+14155550100")


SINGLE = [
    (kind, (name,)) for kind, of_kind in KINDS.items() for name in of_kind if "Deleted" not in name
]
PAIRS = [
    (CallRow, pair)
    for pair in (
        ("Status", "StartTime"),
        ("Status", "StartTime>", "StartTime<"),
        ("To", "Status"),
        ("From", "Status"),
        ("To", "From"),
        ("To", "StartTime"),
        ("To", "From", "Status", "StartTime>"),
    )
]


@pytest.mark.parametrize(("kind", "names"), [*SINGLE, *PAIRS])
def test_every_filtered_page_is_read_from_an_index_in_its_order(
    store: WatchedStore, kind: type[Row], names: tuple[str, ...]
) -> None:
    wanted = filters.conditions(KINDS[kind], {name: value(name) for name in names})
    store.seen.statements.clear()
    store.older(kind, wanted, limit=50)

    page = next(one for one in store.seen.statements if "LIMIT 50" in one)
    plan = " / ".join(row[3] for row in store.seen.execute(f"EXPLAIN QUERY PLAN {page}"))
    assert "SEARCH" in plan
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan


def steps(store: WatchedStore, query: dict[str, str]) -> int:
    """What a page costs, in tens of the steps of SQLite's machine."""
    wanted, before = filters.conditions(filters.CALLS, query), store.seen.tens
    reading.page(store, CallRow, wanted, PageRange.of(query))
    return store.seen.tens - before


def test_a_page_behind_a_deep_token_costs_what_the_first_costs(store: WatchedStore) -> None:
    all_calls = store.older(CallRow, [], limit=9999)
    deep = {"PageToken": f"PA{all_calls[3500].sid}"}

    assert steps(store, deep) <= steps(store, {}) * 1.1 + 5


def test_a_day_long_ago_costs_what_yesterday_costs(store: WatchedStore) -> None:
    yesterday, long_ago = {"StartTime": "2026-07-07"}, {"StartTime": "2026-06-26"}

    assert steps(store, long_ago) <= steps(store, yesterday) * 1.5
    assert steps(store, {"StartTime<": "2020-01-01"}) < steps(store, yesterday) / 5


def test_rows_loaded_and_rows_added_are_read_alike() -> None:
    rows = list(example_rows(300, 3, NOW))
    loaded, added = SandboxDatabase(":memory:"), SandboxDatabase(":memory:")
    loaded.load(rows)
    added.add(rows)

    for kind in KINDS:
        assert loaded.older(kind, [], limit=999) == added.older(kind, [], limit=999)
    assert (loaded.is_new, added.is_new) == (False, True)
    loaded.close()
    added.close()


@given(
    lags=st.lists(st.none() | st.integers(-(10**9), 10**9), min_size=1, max_size=8),
    day=st.sampled_from(["2026-07-05", "2026-07-06", "2030-01-01", "1999-12-31"]),
    name=st.sampled_from(["StartTime", "StartTime<", "StartTime>", "EndTime", "EndTime>"]),
)
def test_no_lag_is_too_absurd_for_a_range(lags: list[int | None], day: str, name: str) -> None:
    """Calls may start or end years before or after they were created: they are still found."""
    rows = [
        call(
            n,
            start_time=None if lag is None else NOON + lag,
            end_time=None if lag is None else NOON - lag,
        )
        for n, lag in enumerate(lags)
    ]
    store = SandboxDatabase(":memory:")
    store.add(rows)
    (wanted,) = filters.conditions(filters.CALLS, {name: day})
    assert isinstance(wanted, filters.Within)

    found = {row.sid for row in store.older(CallRow, [wanted], limit=99)}

    moments = {row.sid: getattr(row, wanted.column) for row in rows}
    first, last = wanted.start or -(10**15), wanted.end or 10**15
    assert found == {one for one, at in moments.items() if at is not None and first <= at < last}
    store.close()


def test_a_changed_row_keeps_its_place() -> None:
    store = SandboxDatabase(":memory:")
    store.add([call(1), call(2), call(3)])
    middle = store.position(CallRow, sid("CA", 2))

    store.update(call(2, status="busy", date_updated=NOON + 5))

    assert store.position(CallRow, sid("CA", 2)) == middle
    assert [row.status for row in store.older(CallRow, [], limit=9)] == [
        "completed",
        "busy",
        "completed",
    ]
    store.close()
