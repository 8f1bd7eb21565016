"""The expected response to a query: plain loops over the rows of an account that does not change.

The oracle knows the lists' order and the rows, but not how they are read. If upstream is wrong in a
way that the gateway cannot detect, the oracle gives what is promised instead: `ANYTHING`, or an
error at the field's own path.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any
from unittest.mock import ANY as ANYTHING

from tests.exactness.queries import Edge, Filter, Root
from tests.exactness.twilio import OddTwilio, is_row, moment
from tests.plain_twilio import ACCOUNT, Row

__all__ = ["ANYTHING", "Oracle"]

LIVE = ["queued", "ringing", "in-progress"]
STATUSES = [*LIVE, "completed", "busy", "failed", "canceled", "no-answer"]
DIRECTIONS = ["inbound", "outbound-api", "outbound-dial"]
Path = tuple[str | int, ...]


@dataclass
class Oracle:
    """The expected responses of one account. `errors` holds the paths of their errors."""

    twilio: OddTwilio
    errors: set[Path] = field(default_factory=set)

    def matching(self, filter_: Filter, parent: str | None = None) -> list[Row]:
        """The calls of a list in its order, also those that upstream shows as junk."""
        return [row for row in self.twilio.rows_of("Calls") if self.matches(row, filter_, parent)]

    def rows(self, filter_: Filter) -> list[Row]:
        """The calls of a list that can be shown."""
        return [row for row in self.matching(filter_) if self._is_shown(row)]

    def root(self, root: Root) -> dict[str, Any]:
        """The connection of a root field."""
        listed = self.matching(root.filter)
        rows = [row for row in listed if self._is_shown(row)]
        size, position = root.window.size, root.window.position
        if root.window.backwards:
            stop = position or 0
            shown, has = rows[max(stop - size, 0) : stop], (True, stop > size)
        else:
            start = 0 if position is None else position + 1
            shown, has = (
                rows[start : start + size],
                (len(rows) > start + size, position is not None),
            )
        answer = self._connection(listed, shown, has, (root.alias,), root.edges)
        answer["pageInfo"] |= {"startCursor": ANYTHING, "endCursor": ANYTHING}
        return answer if root.page_info else _without(answer, "pageInfo")

    def call(self, row: Row, path: Path, edges: Sequence[Edge]) -> dict[str, Any]:
        """A call and its edges."""
        answer = self.plain(self.twilio.seen(row), path)
        for edge in edges:
            answer[edge.alias] = self._edge(row, edge, (*path, edge.alias))
        return answer

    def plain(self, seen: Row, path: Path) -> dict[str, Any]:
        """A call as upstream shows it, without its edges."""
        return {
            "sid": seen["sid"],
            "status": _enum(seen.get("status"), STATUSES),
            "direction": _enum(seen.get("direction"), DIRECTIONS),
            "accountSid": ACCOUNT,
            "parentCallSid": seen["parent_call_sid"],
            "startTime": _time(seen["start_time"]),
            "dateCreated": self._date(seen.get("date_created"), (*path, "dateCreated")),
        }

    def _edge(self, row: Row, edge: Edge, path: Path) -> Any:
        if edge.field == "parentCall":
            calls = {call["sid"]: call for call in self.twilio.rows_of("Calls")}
            parent = calls.get(row["parent_call_sid"])
            return self.call(parent, path, edge.edges) if parent else None
        if edge.field == "childCalls":
            listed = self.matching(edge.filter, row["sid"])
        else:
            listed = [
                row_below
                for row_below in self.twilio.rows_of(edge.field)
                if row_below["call_sid"] == row["sid"] and edge.log in (None, row_below.get("log"))
            ]
        rows = [child for child in listed if self._is_shown(child)]
        size = edge.first or 50
        if edge.is_loose:
            rows = sorted(rows, key=lambda row: str(row["sid"]))
        answer = self._connection(
            listed, rows[:size], (len(rows) > size, False), path, edge.edges, edge.track
        )
        return answer if edge.page_info else _without(answer, "pageInfo")

    def _connection(
        self,
        listed: Sequence[Row],
        shown: Sequence[Row],
        has: tuple[bool, bool],
        path: Path,
        edges: Sequence[Edge],
        track: bool = False,
    ) -> dict[str, Any]:
        nodes = [
            self.call(row, (*path, "nodes", number), edges)
            if row["sid"].startswith("CA")
            else self._subresource(row, track)
            for number, row in enumerate(shown)
        ]
        return {
            "nodes": nodes,
            "isComplete": self._is_complete(listed, shown),
            "pageInfo": {"hasNextPage": has[0], "hasPreviousPage": has[1]},
        }

    def _is_complete(self, listed: Sequence[Row], shown: Sequence[Row]) -> Any:
        """False if a row between those shown is junk; anything if one may have been read."""
        if not self._has_junk():
            return True
        positions = [position for position, row in enumerate(listed) if row in shown]
        between = listed[positions[0] : positions[-1] + 1] if positions else []
        return ANYTHING if all(map(self._is_shown, between)) else False

    def _has_junk(self) -> bool:
        return any(not is_row(value) for value in self.twilio.shown.values())

    def _is_shown(self, row: Row) -> bool:
        return is_row(self.twilio.shown.get(row["sid"], row))

    def _subresource(self, row: Row, track: bool) -> dict[str, Any]:
        more = {"callSid": row["call_sid"]} if row["sid"].startswith("RE") else {}
        if row["sid"].startswith("NO"):
            more = {"log": "ERROR" if row["log"] == "0" else "WARNING"}
        more |= {"track": "BOTH"} if track else {}
        return {"sid": row["sid"], "accountSid": ACCOUNT, **more}

    def _date(self, text: Any, path: Path) -> str | None:
        if text is None or text == "":
            return None
        if not isinstance(text, str):
            self.errors.add(path)
            return None
        return _time(text)

    def matches(self, row: Row, filter_: Filter, parent: str | None) -> bool:
        seen = self.twilio.seen(row)
        plain = {
            "to": filter_.to,
            "from": filter_.from_,
            "parent_call_sid": parent or filter_.parent,
        }
        if any(value is not None and seen[name] != value for name, value in plain.items()):
            return False
        if filter_.statuses and not self._has_status(seen.get("status"), filter_.statuses):
            return False
        if filter_.directions and _enum(seen.get("direction"), DIRECTIONS) not in map(
            _name, filter_.directions
        ):
            return False
        if filter_.least and int(seen["duration"] or 0) < filter_.least:
            return False
        ranges = ((filter_.start, "start_time"), (filter_.end, "end_time"))
        return all(
            range_ is None or range_.holds(moment(seen[name]) if seen[name] else None)
            for range_, name in ranges
        )

    def _has_status(self, status: Any, statuses: Sequence[str]) -> bool:
        """An unreadable status matches if upstream ignores the filter and sends the row."""
        if status in STATUSES:
            return status in statuses
        return "Status" in self.twilio.switches.ignored


def _enum(value: Any, known: Sequence[str]) -> str:
    return _name(value) if value in known else "UNKNOWN"


def _name(value: str) -> str:
    return value.upper().replace("-", "_")


def _time(text: str | None) -> str | None:
    if not text:
        return None
    return moment(text).astimezone(UTC).isoformat().replace("+00:00", "Z")


def _without(answer: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != name}
