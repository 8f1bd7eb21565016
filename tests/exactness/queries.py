"""Queries as values, their GraphQL text, and strategies for them.

A root list with a filter and a window, edges nested up to two levels, aliases. A window starts at
the number of a matching row; the test reads that row's cursor first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.exactness.accounts import NUMBERS
from tests.exactness.twilio import Account, moment

__all__ = ["CALL", "Edge", "Filter", "Range", "Root", "Window", "document"]

CALL = "sid status direction accountSid parentCallSid startTime dateCreated"
SUBRESOURCES = {"recordings": "sid callSid accountSid", "notifications": "sid log accountSid"}


@dataclass(frozen=True)
class Range:
    """A half-open range of times, or a day."""

    gte: datetime | None = None
    lt: datetime | None = None
    on: date | None = None

    def holds(self, at: datetime | None) -> bool:
        """True if the time is inside."""
        if at is None:
            return False
        if self.on:
            return at.astimezone(UTC).date() == self.on
        return (self.gte is None or at >= self.gte) and (self.lt is None or at < self.lt)

    def __str__(self) -> str:
        arguments = [
            f'{name}: "{value.isoformat()}"' for name, value in vars(self).items() if value
        ]
        return "{" + ", ".join(arguments) + "}"


@dataclass(frozen=True)
class Filter:
    """A filter of calls, and what refines it: directions, and the least duration."""

    to: str | None = None
    from_: str | None = None
    statuses: tuple[str, ...] = ()
    start: Range | None = None
    end: Range | None = None
    parent: str | None = None
    directions: tuple[str, ...] = ()
    least: int | None = None

    def __str__(self) -> str:
        return _object(
            {
                "to": self.to and f'"{self.to}"',
                "from": self.from_ and f'"{self.from_}"',
                "status": self.statuses and _enums(self.statuses),
                "startTime": self.start,
                "endTime": self.end,
                "parentCallSid": self.parent and f'"{self.parent}"',
            }
        )

    @property
    def arguments(self) -> list[str]:
        """The arguments of a field."""
        directions = self.directions and _enums(self.directions)
        refine = _object({"direction": directions, "minDuration": self.least})
        given = {"filter": str(self), "refine": refine}
        return [f"{name}: {text}" for name, text in given.items() if text != "{}"]


def _object(fields: Mapping[str, object]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in fields.items() if value) + "}"


def _enums(values: Sequence[str]) -> str:
    return f"[{', '.join(value.upper().replace('-', '_') for value in values)}]"


@dataclass(frozen=True)
class Edge:
    """An edge of a call: childCalls, recordings, notifications or parentCall."""

    field: str
    alias: str
    first: int | None = None
    filter: Filter = Filter()
    log: str | None = None
    track: bool = False
    page_info: bool = False
    edges: tuple["Edge", ...] = ()

    @property
    def is_loose(self) -> bool:
        """True if several lists are merged: rows of one second then come in any order."""
        return len(self.filter.statuses) > 1

    def __str__(self) -> str:
        if self.field == "parentCall":
            return f"{self.alias}: parentCall {{ {_call(self.edges)} }}"
        values = {
            "first": self.first,
            "log": self.log and ("ERROR" if self.log == "0" else "WARNING"),
        }
        given = [f"{name}: {value}" for name, value in values.items() if value]
        arguments = ", ".join([*given, *self.filter.arguments])
        node = SUBRESOURCES.get(self.field) or _call(self.edges)
        node += " track" if self.track else ""
        of = f"({arguments})" if arguments else ""
        return f"{self.alias}: {self.field}{of} {_connection(node, self.page_info)}"


@dataclass(frozen=True)
class Window:
    """`size` rows from the top, or after, or before the matching row number `position`."""

    size: int
    position: int | None = None
    backwards: bool = False


@dataclass(frozen=True)
class Root:
    """`calls` with a filter, a window and edges."""

    alias: str = "calls"
    filter: Filter = Filter()
    window: Window = Window(5)
    page_info: bool = True
    edges: tuple[Edge, ...] = ()

    def fitted(self, count: int) -> "Root":
        """The same for `count` matching rows: from the top if there is no row to start at."""
        position = self.window.position
        if position is None or not count:
            return replace(self, window=Window(self.window.size))
        return replace(self, window=replace(self.window, position=min(position, count - 1)))

    def text(self, cursor: str | None) -> str:
        """The field; `cursor` is that of the window's position."""
        size = ("last" if self.window.backwards else "first", self.window.size)
        arguments = [f"{size[0]}: {size[1]}"]
        if cursor is not None:
            arguments.append(f'{"before" if self.window.backwards else "after"}: "{cursor}"')
        arguments += self.filter.arguments
        node = _call(self.edges)
        return (
            f"{self.alias}: calls({', '.join(arguments)}) {_connection(node, self.page_info, True)}"
        )


def _call(edges: tuple[Edge, ...]) -> str:
    return " ".join([CALL, *map(str, edges)])


def _connection(node: str, page_info: bool, is_root: bool = False) -> str:
    ends = " startCursor endCursor" if is_root else ""
    info = f" pageInfo {{ hasNextPage hasPreviousPage{ends} }}" if page_info else ""
    return f"{{ nodes {{ {node} }} isComplete{info} }}"


def document(*fields: str) -> str:
    """The operation."""
    return "{ " + " ".join(fields) + " }"


def in_order(node: Any, edges: tuple[Edge, ...]) -> Any:
    """A call of the response, with the rows of loose lists sorted by SID."""
    for edge in edges if node else ():
        found = node[edge.alias]
        nodes = found["nodes"] if found and "nodes" in found else [found]
        for call in nodes:
            in_order(call, edge.edges)
        if edge.is_loose and found:
            nodes.sort(key=lambda call: str(call["sid"]))
    return node


def is_loose(edges: tuple[Edge, ...]) -> bool:
    """True if the order of some list is not defined."""
    return any(edge.is_loose or is_loose(edge.edges) for edge in edges)


def edge_count(edges: tuple[Edge, ...]) -> int:
    """How many edges a selection has, at every level."""
    return sum(1 + edge_count(edge.edges) for edge in edges)


DIRECTIONS = [("inbound",), ("outbound-dial", "outbound-api"), ("unknown",)]
STATUSES = ["completed", "in-progress", "queued", "canceled", "busy", "failed", "no-answer"]


@st.composite
def ranges(draw: st.DrawFn, account: Account) -> Range:
    """A range with odd seconds, or of whole days, near the account's calls."""
    dates = [moment(row["start_time"] or row["date_created"]) for row in account.calls]
    near = st.sampled_from(dates or [account.now])
    off = st.sampled_from([timedelta(), timedelta(seconds=1), timedelta(hours=-5)])
    edge = st.builds(lambda at, by: at + by, near, off)
    midnight = near.map(lambda at: at.replace(hour=0, minute=0, second=0))
    one, other = draw(st.one_of(edge, midnight)), draw(st.one_of(edge, midnight))
    match draw(st.sampled_from(["gte", "lt", "both", "on"])):
        case "gte":
            return Range(gte=one)
        case "lt":
            return Range(lt=one)
        case "on":
            return Range(on=one.date())
    if one == other:
        return Range(gte=one, lt=one + timedelta(days=1))
    return Range(gte=min(one, other), lt=max(one, other))


@st.composite
def filters(
    draw: st.DrawFn, account: Account, *, statuses: int = 1, of_child: bool = False
) -> Filter:
    """No, one or two conditions, with at most `statuses` statuses."""
    arguments: dict[str, object] = {}
    kinds = ["to", "from_", "statuses", "start", "end", *([] if of_child else ["parent"])]
    for kind in draw(
        st.sampled_from(
            [
                (),
                (),
                ("start",),
                ("statuses",),
                ("to", "statuses"),
                ("start", "from_"),
                ("end",),
                ("directions",),
                ("start", "least"),
                (kinds[-1],),
            ]
        )
    ):
        match kind:
            case "statuses":
                chosen = st.lists(
                    st.sampled_from(STATUSES), min_size=1, max_size=statuses, unique=True
                )
                arguments["statuses"] = tuple(draw(chosen))
            case "start" | "end":
                arguments[kind] = draw(ranges(account))
            case "directions":
                arguments[kind] = draw(st.sampled_from(DIRECTIONS))
            case "least":
                arguments[kind] = draw(st.sampled_from([1, 12, 60, 300]))
            case "parent":
                arguments["parent"] = draw(
                    st.sampled_from([r["sid"] for r in account.calls] or [None])
                )
            case _:
                arguments[kind] = draw(st.sampled_from(NUMBERS))
    return Filter(**arguments)  # type: ignore[arg-type]


@st.composite
def edges(
    draw: st.DrawFn, account: Account, depth: int = 2, *, statuses: int = 3
) -> tuple[Edge, ...]:
    """Some edges of a call, nested `depth` deep, with filters of at most `statuses` statuses."""
    fields = ["childCalls", "childCalls", "recordings", "notifications", "parentCall"]
    least = draw(st.sampled_from([0, 1, 1, 1])) if depth > 1 else 0
    found: list[Edge] = []
    for number, field in enumerate(
        draw(st.lists(st.sampled_from(fields), min_size=least, max_size=3))
    ):
        is_child = field == "childCalls"
        filter_ = draw(filters(account, statuses=statuses, of_child=True)) if is_child else Filter()
        one_list = field != "parentCall" and len(filter_.statuses) < 2
        below = is_child or field == "parentCall"
        found.append(
            Edge(
                field,
                f"e{number}",
                first=draw(st.sampled_from([None, None, 1, 2])) if one_list else None,
                filter=filter_,
                log=draw(st.sampled_from([None, None, "0", "1"]))
                if field == "notifications"
                else None,
                track=field == "recordings" and draw(st.sampled_from([False, False, True])),
                page_info=draw(st.booleans()),
                edges=draw(edges(account, depth - 1, statuses=statuses))
                if below and depth > 1
                else (),
            )
        )
    return tuple(found)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """From the top, after or before a row."""
    size = draw(st.sampled_from([1, 2, 3, 5, 8, 50]))
    match draw(st.sampled_from(["top", "top", "after", "before"])):
        case "top":
            return Window(size)
        case "after":
            return Window(size, draw(st.integers(0, 6)))
    return Window(size, draw(st.integers(0, 9)), backwards=True)


@st.composite
def roots(draw: st.DrawFn, account: Account, alias: str = "calls") -> Root:
    """A root list with at most one status."""
    return Root(
        alias,
        draw(filters(account)),
        draw(windows()),
        draw(st.booleans()),
        draw(edges(account)),
    )
