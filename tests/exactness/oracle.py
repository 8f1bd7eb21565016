"""What the answer to a query has to be: plain loops over the rows of an account that stands still.

It knows the lists' order and the rows, nothing of how either is read. Where upstream is wrong in a
way that nobody can see through, it says what is promised instead: `ANYTHING`, or an error at the
field's own place.
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
    """The answers of one account. `errors` are the paths at which they have an error."""

    twilio: OddTwilio
    errors: set[Path] = field(default_factory=set)

    def matching(self, wanted: Filter, parent: str | None = None) -> list[Row]:
        """The calls of a list in its order, also those that upstream shows as no row."""
        return [row for row in self.twilio.rows_of("Calls") if self.is_wanted(row, wanted, parent)]

    def rows(self, wanted: Filter) -> list[Row]:
        """The calls of a list that can be shown."""
        return [row for row in self.matching(wanted) if self._is_shown(row)]

    def root(self, root: Root) -> dict[str, Any]:
        """The connection of a root field."""
        listed = self.matching(root.filter)
        rows = [row for row in listed if self._is_shown(row)]
        size, place = root.window.size, root.window.place
        if root.window.backwards:
            stop = place or 0
            shown, has = rows[max(stop - size, 0) : stop], (True, stop > size)
        else:
            start = 0 if place is None else place + 1
            shown, has = rows[start : start + size], (len(rows) > start + size, place is not None)
        answer = self._connection(listed, shown, has, (root.alias,), root.edges)
        answer["pageInfo"] |= {"startCursor": ANYTHING, "endCursor": ANYTHING}
        return answer

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
                paper
                for paper in self.twilio.rows_of(edge.field)
                if paper["call_sid"] == row["sid"] and edge.log in (None, paper.get("log"))
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
            else self._paper(row, track)
            for number, row in enumerate(shown)
        ]
        return {
            "nodes": nodes,
            "isComplete": self._is_complete(listed, shown),
            "pageInfo": {"hasNextPage": has[0], "hasPreviousPage": has[1]},
        }

    def _is_complete(self, listed: Sequence[Row], shown: Sequence[Row]) -> Any:
        """False where a row between those shown is none; anything where one may have been met."""
        if not self._has_junk():
            return True
        places = [place for place, row in enumerate(listed) if row in shown]
        between = listed[places[0] : places[-1] + 1] if places else []
        return ANYTHING if all(map(self._is_shown, between)) else False

    def _has_junk(self) -> bool:
        return any(not is_row(value) for value in self.twilio.shown.values())

    def _is_shown(self, row: Row) -> bool:
        return is_row(self.twilio.shown.get(row["sid"], row))

    def _paper(self, row: Row, track: bool) -> dict[str, Any]:
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

    def is_wanted(self, row: Row, wanted: Filter, parent: str | None) -> bool:
        seen = self.twilio.seen(row)
        plain = {
            "to": wanted.to,
            "from": wanted.from_,
            "parent_call_sid": parent or wanted.parent,
        }
        if any(value is not None and seen[name] != value for name, value in plain.items()):
            return False
        if wanted.statuses and not self._has_status(seen.get("status"), wanted.statuses):
            return False
        ranges = ((wanted.start, "start_time"), (wanted.end, "end_time"))
        return all(
            range_ is None or range_.holds(moment(seen[name]) if seen[name] else None)
            for range_, name in ranges
        )

    def _has_status(self, status: Any, wanted: Sequence[str]) -> bool:
        """A status that cannot be read is left to upstream's word: shown where it was sent."""
        if status in STATUSES:
            return status in wanted
        return "Status" in self.twilio.switches.ignored


def _enum(value: Any, known: Sequence[str]) -> str:
    return value.upper().replace("-", "_") if value in known else "UNKNOWN"


def _time(text: str | None) -> str | None:
    if not text:
        return None
    return moment(text).astimezone(UTC).isoformat().replace("+00:00", "Z")


def _without(answer: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != name}
