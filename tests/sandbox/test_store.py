"""The store's queries: no sorting, no scanning, and the same cost for every page.

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


class RecordingConnection(sqlite3.Connection):
    """Records its statements, and counts the steps of SQLite's virtual machine in tens."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.statements: list[str] = []
        self.tens = 0
        self.set_trace_callback(self.statements.append)
        self.set_progress_handler(self._count, 10)

    def _count(self) -> int:
        self.tens += 1
        return 0


class RecordingStore(SandboxDatabase):
    """A store with access to its connection (``recorded``)."""

    def __init__(self) -> None:
        connections: list[RecordingConnection] = []

        class KnownConnection(RecordingConnection):
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                connections.append(self)

        super().__init__(":memory:", KnownConnection)
        (self.recorded,) = connections


@pytest.fixture(scope="module")
def store() -> Iterator[RecordingStore]:
    opened = RecordingStore()
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
    store: RecordingStore, kind: type[Row], names: tuple[str, ...]
) -> None:
    conditions = filters.conditions(KINDS[kind], {name: value(name) for name in names})
    store.recorded.statements.clear()
    store.older(kind, conditions, limit=50)

    page = next(text for text in store.recorded.statements if "LIMIT 50" in text)
    plan = " / ".join(row[3] for row in store.recorded.execute(f"EXPLAIN QUERY PLAN {page}"))
    assert "SEARCH" in plan
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan


def steps(store: RecordingStore, query: dict[str, str]) -> int:
    """The cost of a page, in tens of steps of SQLite's virtual machine."""
    conditions, before = filters.conditions(filters.CALLS, query), store.recorded.tens
    reading.page(store, CallRow, conditions, PageRange.of(query))
    return store.recorded.tens - before


def test_a_page_after_a_deep_token_costs_as_much_as_the_first(store: RecordingStore) -> None:
    all_calls = store.older(CallRow, [], limit=9999)
    deep = {"PageToken": f"PA{all_calls[3500].sid}"}

    assert steps(store, deep) <= steps(store, {}) * 1.1 + 5


def test_a_day_long_ago_costs_as_much_as_yesterday(store: RecordingStore) -> None:
    yesterday, long_ago = {"StartTime": "2026-07-07"}, {"StartTime": "2026-06-26"}

    assert steps(store, long_ago) <= steps(store, yesterday) * 1.5
    assert steps(store, {"StartTime<": "2020-01-01"}) < steps(store, yesterday) / 5


def test_loaded_and_added_rows_are_read_in_the_same_order() -> None:
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
def test_a_range_finds_rows_with_any_lag(lags: list[int | None], day: str, name: str) -> None:
    """Calls that start or end years before or after their creation are still found."""
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
    (condition,) = filters.conditions(filters.CALLS, {name: day})
    assert isinstance(condition, filters.Within)

    found = {row.sid for row in store.older(CallRow, [condition], limit=99)}

    moments = {row.sid: getattr(row, condition.column) for row in rows}
    first, last = condition.start or -(10**15), condition.end or 10**15
    assert found == {one for one, at in moments.items() if at is not None and first <= at < last}
    store.close()


def test_an_updated_row_keeps_its_position() -> None:
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
