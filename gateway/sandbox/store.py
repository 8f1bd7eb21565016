"""The sandbox's rows in SQLite: the only module with SQL text. Knows no HTTP and no parameters.

Not safe for use by several threads at once: its owner runs everything in one worker thread.

Note [Position]. The primary key of each table is the row's place in its list: the second of
``date_created`` in the high bits, and a count of the rows of that second in the low bits. SQLite
clusters a table by that key and ends every index with it, so each list and each filtered list is
read in its order, newest first and latest inserted first, from any place, with no sorting.

Note [Lags]. A call starts, ends and is told of soon after it is created. How soon at the least and
at the most is the first and the last entry of an index on the difference, so that a range of start
times is a range of positions, widened by the lags. Lists by date are therefore read in their order,
too, and only from the part of the table in which such rows can be. A row with an absurd lag makes
that part larger, never wrong.
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

_PER_SECOND = 1 << 22  # rows of one kind that one second has room for
_BATCH = 1000  # rows that go into the database at once
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
"""One index for each filter by a value, one for each pair of such filters of calls (a party may
have most of all calls and hardly any that is busy), and one for each lag of Note [Lags]."""
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
        """Opens the database and creates its tables when it has none."""
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
        """Closes the database; a store in memory is gone."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done inside is done or, after an exception, nothing; may be nested."""
        self._connection.execute("SAVEPOINT sandbox")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK TO sandbox")
            raise
        finally:
            self._connection.execute("RELEASE sandbox")

    def clear(self) -> None:
        """Forgets every row, script and event."""
        for table in (*_TABLES.values(), "scripts", "events"):
            self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our names

    def load(self, rows: Iterable[Row]) -> None:
        """Adds the first rows, in any number: the indexes are built once all are there."""
        with self.transaction():
            for name in _INDEXES:
                self._connection.execute(f"DROP INDEX {name}")
            self.add(rows)
            for name, columns in _INDEXES.items():
                self._connection.execute(f"CREATE {columns[0]} {name} ON {columns[1]}")
            self._connection.execute("ANALYZE")
            self._connection.execute("PRAGMA user_version = 1")

    def add(self, rows: Iterable[Row]) -> None:
        """Adds rows of any kinds, the latest last, all of them or none."""
        with self.transaction():
            rest = iter(rows)
            while batch := list(islice(rest, _BATCH)):
                for kind, of_kind in groupby(sorted(batch, key=_kind), key=type):
                    self._connection.executemany(_insert(kind), map(_values, of_kind))

    def update(self, row: Row) -> None:
        """Writes a row over the one of the same SID, which keeps its place."""
        fields = row.__struct_fields__
        assignments = ", ".join(f'"{name}" = ?' for name in fields)
        update = f"UPDATE {_TABLES[type(row)]} SET {assignments} WHERE sid = ?"  # noqa: S608
        self._connection.execute(update, (*msgspec.structs.astuple(row), row.sid))

    def get(self, kind: type[R], sid: str) -> R | None:
        """The row of this SID, or none."""
        return next(self._select(kind, "WHERE sid = ?", [sid]), None)

    def position(self, kind: type[Row], sid: str) -> int | None:
        """The place of a row in its list, see Note [Position]."""
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
        """Rows in list order, from the newest or from below a position."""
        where, values = self._where(kind, conditions)
        if than is not None:
            where, values = f"{where} AND position < ?", [*values, than]
        rest = f"{where} ORDER BY position DESC LIMIT ? OFFSET ?"
        return list(self._select(kind, rest, [*values, limit, offset]))

    def newer(
        self, kind: type[R], conditions: Sequence[Condition], *, limit: int, than: int
    ) -> list[R]:
        """The rows next above a position, in list order."""
        where, values = self._where(kind, conditions)
        rest = f"{where} AND position > ? ORDER BY position LIMIT ?"
        return list(self._select(kind, rest, [*values, than, limit]))[::-1]

    def set_script(self, sid: str, script: bytes) -> None:
        """Keeps what a call has been told."""
        self._connection.execute("INSERT OR REPLACE INTO scripts VALUES (?, ?)", [sid, script])

    def script(self, sid: str) -> bytes | None:
        """What a call has been told, if anything."""
        found = self._connection.execute("SELECT script FROM scripts WHERE sid = ?", [sid])
        return next((script for (script,) in found), None)

    def schedule(self, due: float, sid: str, event: bytes) -> None:
        """Puts an event of a call on the events, behind those due at the same moment."""
        insert = "INSERT INTO events (due, sid, event) VALUES (?, ?, ?)"
        self._connection.execute(insert, [due, sid, event])

    def unschedule(self, sid: str) -> None:
        """Takes all events of a call off the events."""
        self._connection.execute("DELETE FROM events WHERE sid = ?", [sid])

    def next_due(self) -> float | None:
        """When the first event of the events is due."""
        due: float | None = self._connection.execute("SELECT min(due) FROM events").fetchone()[0]
        return due

    def take_due(self, until: float, waiting: Iterable[str]) -> tuple[float, bytes] | None:
        """Takes the first event due by a moment off the events; waiting calls' events stay."""
        held = list(waiting)
        placeholders = ", ".join("?" * len(held))
        first = f"due <= ? AND sid NOT IN ({placeholders}) ORDER BY due, number LIMIT 1"
        found = self._connection.execute(
            f"SELECT due, event, number FROM events WHERE {first}",  # noqa: S608 - only placeholders
            [until, *held],
        ).fetchone()
        if found is None:
            return None
        self._connection.execute("DELETE FROM events WHERE number = ?", [found[2]])
        return found[0], found[1]

    def _where(self, kind: type[Row], conditions: Iterable[Condition]) -> tuple[str, list[object]]:
        """Conditions in SQL; a comparison with null is never true, as the conditions want it."""
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
        """The positions between which the rows of a range of instants lie, see Note [Lags]."""
        if not isinstance(condition, Within):
            return
        least, most = self._lags(_TABLES[kind], condition.column)
        if condition.start is not None:
            yield "position >=", (condition.start - most) * _PER_SECOND
        if condition.end is not None:
            yield "position <", (condition.end - least) * _PER_SECOND

    def _lags(self, table: str, column: str) -> tuple[int, int]:
        """The least and the greatest difference between a column and ``date_created``."""
        if column == "date_created":
            return 0, 0
        lag = f"{column} - date_created"
        known = f"SELECT {lag} FROM {table} WHERE {lag} > -1e18"  # noqa: S608 - our names
        ends = [f"({known} ORDER BY {lag} {way} LIMIT 1)" for way in ("ASC", "DESC")]
        found = self._connection.execute(f"SELECT {ends[0]}, {ends[1]}").fetchone()
        return found[0] or 0, found[1] or 0

    def _select(self, kind: type[R], rest: str, values: Sequence[object]) -> Iterator[R]:
        query = f"SELECT {_columns(kind)} FROM {_TABLES[kind]} {rest}"  # noqa: S608 - our names
        found = self._connection.execute(query, tuple(values))
        return (kind(*row) for row in found)


def _kind(row: Row) -> str:
    return _TABLES[type(row)]


def _columns(kind: type[Row]) -> str:
    return ", ".join(f'"{name}"' for name in kind.__struct_fields__)


def _schema() -> str:
    tables = [
        f"{table} (position INTEGER PRIMARY KEY, {_columns(kind)})"
        for kind, table in _TABLES.items()
    ]
    hidden = [
        "scripts (sid PRIMARY KEY, script) WITHOUT ROWID",
        "events (number INTEGER PRIMARY KEY, due REAL, sid, event)",
    ]
    indexes = {
        **_INDEXES,
        "agenda_due": ("INDEX", "events (due)"),
        "agenda_sid": ("INDEX", "events (sid)"),
    }
    return "\n".join(
        [f"CREATE TABLE IF NOT EXISTS {table};" for table in [*tables, *hidden]]
        + [f"CREATE {kind} IF NOT EXISTS {n} ON {on};" for n, (kind, on) in indexes.items()]
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
    return [(f'"{condition.column}" {way}', bound) for way, bound in bounds if bound is not None]
