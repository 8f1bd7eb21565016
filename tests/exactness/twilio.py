"""An upstream for tests, with a switch for everything about Twilio that is open or inferred.

It is the plain account of tests.plain_twilio with other lists: their order, links, pages and
filters are drawn at random, and rows may be odd, or arrive, change and disappear while they are
read. It knows neither the gateway nor the expected response.
"""

from base64 import b32decode, b32encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx

from tests.exactness.switches import BackNumber, Order, Switches, Tail, Ties, Tokens, Undated, Until
from tests.plain_twilio import ROOT, PlainTwilio, Row, _linker, error

__all__ = ["Account", "OddTwilio", "is_row", "moment"]

NAMES = ("calls", "recordings", "notifications")
RAGGED = (1, 3, 2)
PLAIN = {"To": "to", "From": "from", "Status": "status", "ParentCallSid": "parent_call_sid"}
PLAIN |= {"Log": "log"}
DATES = {
    "StartTime": "start_time",
    "EndTime": "end_time",
    "DateCreated": "date_created",
    "MessageDate": "message_date",
}

REFUSABLE = DATES.keys() - {"EndTime"}


@dataclass(frozen=True)
class Account:
    """True rows in any order, and what upstream shows in place of some (by SID)."""

    calls: tuple[Row, ...] = ()
    recordings: tuple[Row, ...] = ()
    notifications: tuple[Row, ...] = ()
    shown: Mapping[str, Any] = field(default_factory=dict)
    now: datetime = datetime(2026, 3, 14, tzinfo=UTC)


@dataclass(frozen=True)
class Link:
    """A page's number and what its token means."""

    number: int
    position: str = ""


@dataclass(frozen=True)
class ListPage:
    """One page of a list: its rows and the pages beside it."""

    rows: Sequence[Row] = ()
    next: Link | None = None
    previous: Link | None = None


@dataclass
class OddTwilio(PlainTwilio):
    """An account behind these switches.

    `moves` are made just before the request of their number is answered; `history` holds the
    account after each of them, and before the first.
    """

    shown: dict[str, Any] = field(default_factory=dict)
    switches: Switches = field(default_factory=Switches)
    moves: Mapping[int, Callable[["OddTwilio"], None]] = field(default_factory=dict)
    lagging: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    history: list[dict[str, dict[str, Row]]] = field(default_factory=list)
    answered: int = 0

    @classmethod
    def of(cls, account: Account, switches: Switches) -> "OddTwilio":
        """The account, in the order of its lists."""
        made = cls(
            calls=[dict(row) for row in account.calls],
            recordings=[dict(row) for row in account.recordings],
            notifications=[dict(row) for row in account.notifications],
            shown=dict(account.shown),
            switches=switches,
        )
        made.sort()
        return made

    def sort(self) -> None:
        """Sorts every list as the switches say."""
        depths = _depths(self.calls)
        oldest_first = self.switches.order is Order.OLDEST_FIRST
        for name in NAMES:
            rows = self.every_row(name)
            rows.sort(key=lambda row: self._tie(row, depths))
            rows.sort(key=lambda row: self._date(row), reverse=not oldest_first)
        self.remember()

    def remember(self) -> None:
        """Adds the account as upstream shows it now to its history."""
        now = {
            name: {row["sid"]: dict(self.seen(row)) for row in self.rows_of(name)} for name in NAMES
        }
        self.history.append(now)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """The response to a request, after the moves that come before it."""
        move = self.moves.get(self.answered)
        self.answered += 1
        if move is not None:
            move(self)
            self.sort()
        return super().answer(request)

    def form(self, row: Row, *, of_call: bool) -> Any:
        """A row as upstream shows it in a call's own list, or in the account's."""
        shown = self.shown.get(row["sid"], row)
        if not isinstance(shown, dict) or not row["sid"].startswith("RE") or of_call:
            return shown
        form = {key: value for key, value in shown.items() if key != "track"}
        return form | {"media_url": f"https://api.twilio.com/{row['sid']}"}

    def seen(self, row: Row) -> Row:
        """A row as upstream's filters see it: the shown row, unless that is junk."""
        shown: Row = self.shown.get(row["sid"], row)
        return shown if is_row(shown) else row

    def _tie(self, row: Row, depths: Mapping[str, int]) -> tuple[int, int]:
        number = int(row["sid"][2:], 16)
        depth = depths.get(row["sid"], 0)
        match self.switches.ties:
            case Ties.SID_UP:
                return 0, number
            case Ties.SID_DOWN:
                return 0, -number
            case Ties.PARENT_ABOVE:
                return depth, number
            case Ties.PARENT_BELOW:
                return -depth, number

    def _date(self, row: Row) -> datetime:
        if not row["sid"].startswith("CA"):
            date_name = "message_date" if row["sid"].startswith("NO") else "date_created"
            return moment(row[date_name])
        if self.switches.order is not Order.STARTED:
            return moment(row["date_created"])
        if row["start_time"] is not None or self.switches.undated is Undated.BY_CREATION:
            return moment(row["start_time"] or row["date_created"])
        at_top = self.switches.undated is Undated.FIRST_PAGE
        return datetime(9999, 1, 1, tzinfo=UTC) if at_top else datetime(1, 1, 1, tzinfo=UTC)

    def every_row(self, name: str) -> list[Row]:
        return super().rows_of(name)

    def rows_of(self, name: str) -> list[Row]:
        return [row for row in self.every_row(name.lower()) if row["sid"] not in self.gone]

    def _instance(self, name: str, wanted: str, form: Callable[[Row], Row]) -> httpx.Response:
        if self.lagging.get(wanted, 0) > 0:
            self.lagging[wanted] -= 1
            return error(404, 20404)
        for row in self.rows_of(name):
            if row["sid"] == wanted:
                return httpx.Response(200, json=form(self.seen(row)))
        return error(404, 20404)

    def _list(self, request: httpx.Request, name: str, rows: list[Row]) -> httpx.Response:
        query = dict(parse_qsl(request.url.query.decode()))
        size = min(int(query.pop("PageSize", "50")), 1000)
        link = Link(int(query.pop("Page", "0")), self._read(query.pop("PageToken", "")))
        if self._is_refused(query):
            return error(400, 20004)
        matching = [row for row in rows if self.keeps(row, query)]
        if self.switches.tokens is Tokens.NUMBERS:
            cut = self._numbered(matching, size, link.number)
        else:
            order = {row["sid"]: position for position, row in enumerate(self.every_row(name))}
            cut = self._cut(matching, order, size, link)
        uri = _linker(request.url.path, query, size)
        of_call = request.url.path.startswith(f"{ROOT}Calls/")
        body = {
            name: [self.form(row, of_call=of_call) for row in cut.rows],
            "page": link.number,
            "page_size": size,
            "start": 0,
            "end": len(cut.rows),
            "uri": request.url.path,
            "first_page_uri": uri(0, ""),
            "next_page_uri": cut.next and uri(cut.next.number, self._write(cut.next.position)),
            "previous_page_uri": cut.previous
            and uri(cut.previous.number, self._write(cut.previous.position)),
        }
        return httpx.Response(200, json=body)

    def _write(self, position: str) -> str:
        if self.switches.tokens is not Tokens.OPAQUE:
            return position
        return b32encode(position.encode()).decode().rstrip("=")

    def _read(self, token: str) -> str:
        """A token of another form than upstream's own is ignored."""
        if self.switches.tokens is Tokens.SIDS:
            return token
        try:
            return b32decode(token + "=" * (-len(token) % 8)).decode()
        except ValueError:
            return ""

    # -- pages by number --------------------------------------------------------------------------

    def _numbered(self, matching: Sequence[Row], size: int, number: int) -> ListPage:
        switches = self.switches
        step = min(size, switches.largest_page)
        shown, rest = matching[number * step : (number + 1) * step], matching[(number + 1) * step :]
        back = Link(number - 1) if number else None
        if rest:
            return ListPage(shown, Link(number + 1), back)
        is_past = number > 0 and not shown
        after: dict[Tail, int | None] = {
            Tail.NONE: None,
            Tail.EMPTY: None if is_past else number + 1,
            Tail.SAME: number if is_past else number + 1,
            Tail.AGAIN: number,
            Tail.FIRST: 0,
            Tail.ENDLESS: number + 1,
        }
        following = after[switches.tail]
        return ListPage(shown, None if following is None else Link(following), back)

    # -- pages by token ---------------------------------------------------------------------------
    # A position is PA and a SID: after that row; PB: before it; PI: before it, itself included; PT
    # and a number: one of the empty pages past the end. `:2` means that two empty pages come first.

    def _cut(
        self, matching: Sequence[Row], order: Mapping[str, int], size: int, link: Link
    ) -> ListPage:
        kind, anchor, empties = link.position[:2], link.position[2:36], link.position[37:]
        if kind == "PT":
            return self._past_the_end(matching, link)
        if empties:
            return self._empty(link, int(empties))
        at = order.get(anchor, -1)
        size = min(size, self.switches.largest_page)
        size = min(size, RAGGED[at % len(RAGGED)]) if self.switches.ragged else size
        shown: Sequence[Row]
        if kind in ("PB", "PI"):
            stop = at + (kind == "PI")
            shown = [row for row in matching if order[row["sid"]] < stop][-size:]
        else:
            shown = self._onwards(matching, order, size, at)
        return self._linked(shown, matching, order, link)

    def _onwards(
        self, matching: Sequence[Row], order: Mapping[str, int], size: int, at: int
    ) -> Sequence[Row]:
        """The rows after a position; with `repeats` the row before them comes again."""
        above = [row for row in matching if order[row["sid"]] <= at]
        below = [row for row in matching if order[row["sid"]] > at]
        again = above[-1:] if self.switches.repeats and size > 1 else []
        return [*again, *below[: size - len(again)]] if below else []

    def _linked(
        self, shown: Sequence[Row], matching: Sequence[Row], order: Mapping[str, int], link: Link
    ) -> ListPage:
        if not shown:
            return ListPage((), self._tail(link) if link.position[:2] in ("", "PA") else None, None)
        first, last = shown[0]["sid"], shown[-1]["sid"]
        is_last = order[matching[-1]["sid"]] <= order[last]
        is_first = order[matching[0]["sid"]] >= order[first]
        below = self._tail(link) if is_last else self._link(link.number + 1, "PA", last, order)
        has_link = link.number > 0 if self.switches.previous_by_number else not is_first
        back = {
            BackNumber.COUNTED: max(link.number - 1, 0),
            BackNumber.ZERO: 0,
            BackNumber.ONE: 1,
        }[self.switches.back_number]
        above = self._link(back, "PB", first, order) if has_link else None
        return ListPage(shown, below, above)

    def _link(self, number: int, kind: str, anchor: str, order: Mapping[str, int]) -> Link:
        """A link; every other one leads over empty pages, if the switches have any."""
        empties = self.switches.empties if order[anchor] % 2 == 0 else 0
        return Link(number, f"{kind}{anchor}:{empties}" if empties else f"{kind}{anchor}")

    def _empty(self, link: Link, left: int) -> ListPage:
        kind, anchor = link.position[:2], link.position[2:36]
        onwards = Link(link.number + 1, kind + anchor + (f":{left - 1}" if left > 1 else ""))
        if kind == "PB":
            return ListPage(next=None, previous=onwards)
        return ListPage(next=onwards, previous=Link(0, f"PI{anchor}"))

    def _tail(self, link: Link) -> Link | None:
        match self.switches.tail:
            case Tail.NONE:
                return None
            case Tail.AGAIN:
                return link
            case Tail.FIRST:
                return Link(0)
        return Link(link.number + 1, "PT1")

    def _past_the_end(self, matching: Sequence[Row], link: Link) -> ListPage:
        previous = Link(0, f"PI{matching[-1]['sid']}") if matching else None
        match self.switches.tail:
            case Tail.SAME:
                return ListPage(next=link, previous=previous)
            case Tail.ENDLESS:
                further = Link(link.number + 1, f"PT{int(link.position[2:]) + 1}")
                return ListPage(next=further, previous=previous)
        return ListPage(previous=previous)

    # -- filters ----------------------------------------------------------------------------------

    def _is_refused(self, query: Mapping[str, str]) -> bool:
        before = self.switches.refused_before
        days = [day for name, day in query.items() if name.rstrip(">") in REFUSABLE]
        return before is not None and any(date.fromisoformat(day) < before for day in days)

    def keeps(self, row: Row, query: Mapping[str, str]) -> bool:
        """True if the row matches the filters that upstream does not ignore."""
        seen = self.seen(row)
        for name, value in query.items():
            base = name.rstrip("<>")
            if base in self.switches.ignored:
                continue
            if name in PLAIN and seen.get(PLAIN[name]) != value:
                return False
            if base in DATES and not self._in_days(row[DATES[base]], name, value):
                return False
        return True

    def _in_days(self, text: str | None, name: str, value: str) -> bool:
        if text is None:
            return self.switches.undated_in_ranges
        at, day = moment(text), datetime.fromisoformat(value).replace(tzinfo=UTC)
        if name.endswith(">"):
            return at >= day
        if not name.endswith("<"):
            return day <= at < day + timedelta(days=1)
        return {
            Until.MIDNIGHT_TOO: at <= day,
            Until.BEFORE_MIDNIGHT: at < day,
            Until.WHOLE_DAY: at < day + timedelta(days=1),
        }[self.switches.until]


def moment(text: str) -> datetime:
    """Twilio's date as a datetime."""
    return parsedate_to_datetime(text)


def is_row(value: Any) -> bool:
    """True for an object with a readable SID."""
    return isinstance(value, dict) and len(str(value.get("sid"))) == 34


def _depths(calls: Sequence[Row]) -> dict[str, int]:
    parents = {row["sid"]: row["parent_call_sid"] for row in calls}
    depths: dict[str, int] = {}
    for sid in parents:
        above, depth = parents[sid], 0
        while above in parents:
            above, depth = parents[above], depth + 1
        depths[sid] = depth
    return depths
