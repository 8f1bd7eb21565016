"""The sandbox's rows in SQLite: the only module with SQL text. Knows no HTTP and no parameters.

It is not thread-safe: its owner runs everything in one worker thread.

Note [Position]. The primary key of each table is the row's position in its list: the second of
``date_created`` in the high bits, and a count of the rows of that second in the low bits. SQLite
clusters a table by that key and ends every index with it. So each list, filtered or not, is read
in its order (newest first, latest inserted first) from any position without sorting.

Note [Lags]. A call starts and ends soon after it is created, and a message is dated near its
notification. The smallest and the largest of these lags are the first and the last entry of an
index on the difference. So a range of start times is a range of positions, widened by the lags.
Lists by date, too, are read in their order, and only from the part of the table that can hold such
rows. A row with an absurd lag makes that part larger, never wrong.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from typing import TypeVar

import msgspec

from gateway.sandbox.filters import Condition, Differ, Equal, Within
from gateway.sandbox.resources import CallRow, NotificationRow, RecordingRow, Row

R = TypeVar("R", bound=Row)

_PER_SECOND = 1 << 22  # positions that each second has in a table
_BATCH = 1000  # rows that are inserted at once
_TABLES: dict[type[Row], str] = {
    CallRow: "calls",
    RecordingRow: "recordings",
    NotificationRow: "notifications",
}
_INDEXES = {
    "calls_sid": ("UNIQUE INDEX", "calls (sid)"),
    "calls_parent": ("INDEX", "calls (parent_call_sid)"),
    "calls_status": ("INDEX", "calls (status)"),
    "calls_to": ("INDEX", 'calls ("to")'),
    "calls_from": ("INDEX", "calls (from_)"),
    "calls_to_status": ("INDEX", 'calls ("to", status)'),
    "calls_from_status": ("INDEX", "calls (from_, status)"),
    "calls_to_from": ("INDEX", 'calls ("to", from_)'),
    "calls_start_lag": ("INDEX", "calls (start_time - date_created)"),
    "calls_end_lag": ("INDEX", "calls (end_time - date_created)"),
    "recordings_sid": ("UNIQUE INDEX", "recordings (sid)"),
    "recordings_call": ("INDEX", "recordings (call_sid)"),
    "recordings_conference": ("INDEX", "recordings (conference_sid)"),
    "notifications_sid": ("UNIQUE INDEX", "notifications (sid)"),
    "notifications_call": ("INDEX", "notifications (call_sid)"),
    "notifications_log": ("INDEX", "notifications (log)"),
    "notifications_lag": ("INDEX", "notifications (message_date - date_created)"),
}
"""One index for each filter by a value, one for each pair of such filters of calls (most calls may
be of one party, and few of those busy), and one for each lag of Note [Lags]."""
_SETTINGS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA cache_size = -65536;
PRAGMA temp_store = MEMORY;
"""


class SandboxDatabase:
    """Calls, recordings and notifications of one account, in a file or in memory."""

    def __init__(
        self, database: str, connection: type[sqlite3.Connection] = sqlite3.Connection
    ) -> None:
        """Opens the database, and creates its tables if it has none."""
        self._connection = sqlite3.connect(
            database, check_same_thread=False, isolation_level=None, factory=connection
        )
        self._connection.executescript(_SETTINGS)
        self._connection.executescript(_schema())

    @property
    def is_new(self) -> bool:
        """Whether nothing has been loaded yet."""
        return not self._connection.execute("PRAGMA user_version").fetchone()[0]

    def close(self) -> None:
        """Closes the database; data in memory is lost."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits the changes of the block; an exception rolls them back. May be nested."""
        self._connection.execute("SAVEPOINT sandbox")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK TO sandbox")
            raise
        finally:
            self._connection.execute("RELEASE sandbox")

    def clear(self) -> None:
        """Deletes all rows, scripts and events."""
        for table in (*_TABLES.values(), "scripts", "events"):
            self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our names

    def load(self, rows: Iterable[Row]) -> None:
        """Loads the initial rows, however many; builds the indexes after that."""
        with self.transaction():
            for name in _INDEXES:
                self._connection.execute(f"DROP INDEX {name}")
            self.add(rows)
            for name, columns in _INDEXES.items():
                self._connection.execute(f"CREATE {columns[0]} {name} ON {columns[1]}")
            self._connection.execute("ANALYZE")
            self._connection.execute("PRAGMA user_version = 1")

    def add(self, rows: Iterable[Row]) -> None:
        """Adds rows of any type, oldest first; all of them or none."""
        with self.transaction():
            remaining = iter(rows)
            while batch := list(islice(remaining, _BATCH)):
                for kind, of_kind in groupby(sorted(batch, key=_kind), key=type):
                    self._connection.executemany(_insert(kind), map(_values, of_kind))

    def update(self, row: Row) -> None:
        """Overwrites the row of the same SID; its position stays."""
        fields = row.__struct_fields__
        assignments = ", ".join(f'"{name}" = ?' for name in fields)
        update = f"UPDATE {_TABLES[type(row)]} SET {assignments} WHERE sid = ?"  # noqa: S608
        self._connection.execute(update, (*msgspec.structs.astuple(row), row.sid))

    def get(self, kind: type[R], sid: str) -> R | None:
        """The row of this SID, or None."""
        return next(self._select(kind, "WHERE sid = ?", [sid]), None)

    def position(self, kind: type[Row], sid: str) -> int | None:
        """The position of a row in its list, see Note [Position]."""
        query = f"SELECT position FROM {_TABLES[kind]} WHERE sid = ?"  # noqa: S608 - our names
        return next((position for (position,) in self._connection.execute(query, [sid])), None)

    def older(
        self,
        kind: type[R],
        conditions: Sequence[Condition],
        *,
        limit: int,
        than: int | None = None,
        offset: int = 0,
    ) -> list[R]:
        """Rows in list order, from the newest or from the first one below a position."""
        where, values = self._where(kind, conditions)
        if than is not None:
            where, values = f"{where} AND position < ?", [*values, than]
        rest = f"{where} ORDER BY position DESC LIMIT ? OFFSET ?"
        return list(self._select(kind, rest, [*values, limit, offset]))

    def newer(
        self, kind: type[R], conditions: Sequence[Condition], *, limit: int, than: int
    ) -> list[R]:
        """The rows right above a position, in list order."""
        where, values = self._where(kind, conditions)
        rest = f"{where} AND position > ? ORDER BY position LIMIT ?"
        return list(self._select(kind, rest, [*values, than, limit]))[::-1]

    def set_script(self, sid: str, script: bytes) -> None:
        """Stores the encoded script of a call."""
        self._connection.execute("INSERT OR REPLACE INTO scripts VALUES (?, ?)", [sid, script])

    def script(self, sid: str) -> bytes | None:
        """The encoded script of a call, or None."""
        rows = self._connection.execute("SELECT script FROM scripts WHERE sid = ?", [sid])
        return next((script for (script,) in rows), None)

    def schedule(self, due: float, sid: str, event: bytes) -> None:
        """Schedules an event of a call, after those that are due at the same moment."""
        insert = "INSERT INTO events (due, sid, event) VALUES (?, ?, ?)"
        self._connection.execute(insert, [due, sid, event])

    def unschedule(self, sid: str) -> None:
        """Deletes all scheduled events of a call."""
        self._connection.execute("DELETE FROM events WHERE sid = ?", [sid])

    def next_due(self) -> float | None:
        """When the next event is due, or None."""
        due: float | None = self._connection.execute("SELECT min(due) FROM events").fetchone()[0]
        return due

    def take_due(self, until: float, waiting: Iterable[str]) -> tuple[float, bytes] | None:
        """Removes and returns the next event due by a moment, except of calls in ``waiting``."""
        excluded = list(waiting)
        placeholders = ", ".join("?" * len(excluded))
        first = f"due <= ? AND sid NOT IN ({placeholders}) ORDER BY due, number LIMIT 1"
        row = self._connection.execute(
            f"SELECT due, event, number FROM events WHERE {first}",  # noqa: S608 - only placeholders
            [until, *excluded],
        ).fetchone()
        if row is None:
            return None
        self._connection.execute("DELETE FROM events WHERE number = ?", [row[2]])
        return row[0], row[1]

    def _where(self, kind: type[Row], conditions: Iterable[Condition]) -> tuple[str, list[object]]:
        """Conditions in SQL. A comparison with null is never true, as the conditions require."""
        clauses, values = ["WHERE true"], list[object]()
        for condition in conditions:
            for operand, value in [
                *_comparisons(condition),
                *self._position_bounds(kind, condition),
            ]:
                clauses.append(f"{operand} ?")
                values.append(value)
        return " AND ".join(clauses), values

    def _position_bounds(self, kind: type[Row], condition: Condition) -> Iterator[tuple[str, int]]:
        """The range of positions that holds the rows of a range of instants, see Note [Lags]."""
        if not isinstance(condition, Within):
            return
        smallest, largest = self._lags(_TABLES[kind], condition.column)
        if condition.start is not None:
            yield "position >=", (condition.start - largest) * _PER_SECOND
        if condition.end is not None:
            yield "position <", (condition.end - smallest) * _PER_SECOND

    def _lags(self, table: str, column: str) -> tuple[int, int]:
        """The smallest and the largest difference between a column and ``date_created``."""
        if column == "date_created":
            return 0, 0
        lag = f"{column} - date_created"
        lags = f"SELECT {lag} FROM {table} WHERE {lag} > -1e18"  # noqa: S608 - our names
        ends = [f"({lags} ORDER BY {lag} {order} LIMIT 1)" for order in ("ASC", "DESC")]
        smallest, largest = self._connection.execute(f"SELECT {ends[0]}, {ends[1]}").fetchone()
        return smallest or 0, largest or 0

    def _select(self, kind: type[R], rest: str, values: Sequence[object]) -> Iterator[R]:
        query = f"SELECT {_columns(kind)} FROM {_TABLES[kind]} {rest}"  # noqa: S608 - our names
        rows = self._connection.execute(query, tuple(values))
        return (kind(*row) for row in rows)


def _kind(row: Row) -> str:
    return _TABLES[type(row)]


def _columns(kind: type[Row]) -> str:
    return ", ".join(f'"{name}"' for name in kind.__struct_fields__)


def _schema() -> str:
    tables = [
        f"{table} (position INTEGER PRIMARY KEY, {_columns(kind)})"
        for kind, table in _TABLES.items()
    ]
    internal = [
        "scripts (sid PRIMARY KEY, script) WITHOUT ROWID",
        "events (number INTEGER PRIMARY KEY, due REAL, sid, event)",
    ]
    indexes = {
        **_INDEXES,
        "events_due": ("INDEX", "events (due)"),
        "events_sid": ("INDEX", "events (sid)"),
    }
    return "\n".join(
        [f"CREATE TABLE IF NOT EXISTS {table};" for table in [*tables, *internal]]
        + [
            f"CREATE {kind} IF NOT EXISTS {name} ON {columns};"
            for name, (kind, columns) in indexes.items()
        ]
    )


def _insert(kind: type[Row]) -> str:
    table, placeholders = _TABLES[kind], ", ".join("?" * len(kind.__struct_fields__))
    top = f"SELECT max(position) FROM {table}"  # noqa: S608 - our names
    second = f"position BETWEEN ? AND ? + {_PER_SECOND - 1}"
    return f"INSERT INTO {table} SELECT coalesce(({top} WHERE {second}) + 1, ?), {placeholders}"


def _values(row: Row) -> tuple[object, ...]:
    first = row.date_created * _PER_SECOND
    return (first, first, first, *msgspec.structs.astuple(row))


def _comparisons(condition: Condition) -> list[tuple[str, object]]:
    if isinstance(condition, Equal):
        return [(f'"{condition.column}" =', condition.value)]
    if isinstance(condition, Differ):
        return [(f'"{condition.column}" <>', condition.value)]
    bounds = [(">=", condition.start), ("<", condition.end)]
    return [
        (f'"{condition.column}" {operator}', bound)
        for operator, bound in bounds
        if bound is not None
    ]
