"""Random accounts and switches: what real accounts hold, and what Twilio leaves open.

Families of legs up to three deep, legs in their parent's second, parents that are answered after
their legs, calls that never started, live calls, dense minutes and whole weeks. Recordings and
notifications at every time that the documentation allows, of calls, of no call and of deleted
calls. Rows with a missing or odd property, and junk in place of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.exactness.switches import BackNumber, Order, Switches, Tail, Ties, Tokens, Undated, Until
from tests.exactness.twilio import Account, moment
from tests.plain_twilio import Row, call, notification, recording, rfc_2822, sid

__all__ = ["JUNK", "accounts", "exact_switches", "junk", "odd_rows", "paging_switches"]

BASES = [
    datetime(2026, 3, 10, 12, tzinfo=UTC),
    datetime(2026, 3, 10, 0, 0, 2, tzinfo=UTC),
    datetime(2026, 3, 9, 23, 59, 58, tzinfo=UTC),
]
NUMBERS = ["+18005550100", "+16175550101", "client:ann"]
MAX_CALLS = 24
SECOND = timedelta(seconds=1)
UNANSWERED = ["busy", "no-answer", "failed"]
# Junk in place of a row: no object, no SID, or a SID that is no call's.
JUNK: list[Any] = [None, 17, "call", [], {}, {"sid": None}, {"sid": "CA12"}, {"status": "busy"}]
ODD_VALUES: list[Any] = [None, "", {}, {"is": "odd"}, "ABSENT"]


@dataclass
class AccountBuilder:
    """Draws the rows of an account."""

    draw: st.DrawFn
    later: tuple[int, ...] = (0, 0, 1, 3, 20, 3600)
    calls: list[Row] = field(default_factory=list)
    recordings: list[Row] = field(default_factory=list)
    notifications: list[Row] = field(default_factory=list)

    def choose(self, *choices: Any) -> Any:
        """Draws one of the choices."""
        return self.draw(st.sampled_from(choices))

    def family(self, created: datetime, parent: str | None, depth: int) -> None:
        """A call and its legs."""
        number = len(self.calls)
        if number >= MAX_CALLS:
            return
        row = self.leg(number, created, parent)
        self.calls.append(row)
        self.subresources(row)
        if depth < 3 and _may_dial(row):
            ended = moment(row["end_time"]) if row["end_time"] else created + timedelta(minutes=2)
            for _ in range(self.choose(0, 0, 1, 1, 2, 3) if depth else self.choose(0, 1, 2, 3)):
                later = self.choose(*self.later)
                self.family(min(created + timedelta(seconds=later), ended), row["sid"], depth + 1)

    def leg(self, number: int, created: datetime, parent: str | None) -> Row:
        """One call with its state and its dates."""
        kind = self.choose(
            *["done"] * 5, "done late", "live", "queued", "canceled", "unanswered", "cut"
        )
        started = created + timedelta(
            seconds=self.choose(0, 0, 1, 4) if kind != "done late" else 30
        )
        ended = started + timedelta(seconds=self.choose(0, 1, 60, 600, 7200))
        properties: dict[str, Any] = {
            "to": self.choose(*NUMBERS),
            "from": self.choose(*NUMBERS),
            "direction": "outbound-dial" if parent else self.choose("inbound", "outbound-api"),
            "parent_call_sid": parent,
            "date_created": rfc_2822(created),
            "date_updated": rfc_2822(ended),
            "start_time": rfc_2822(started),
            "end_time": rfc_2822(ended),
            "duration": str(int((ended - started).total_seconds())),
        }
        over = dict.fromkeys(("end_time", "duration"))
        match kind:
            case "live":
                properties |= {"status": "in-progress"} | over
            case "queued":
                properties |= {
                    "status": self.choose("queued", "ringing"),
                    "start_time": None,
                } | over
            case "canceled":
                properties |= {"status": "canceled", "start_time": None} | over
            case "unanswered":
                properties |= {
                    "status": self.choose(*UNANSWERED),
                    "duration": self.choose("0", "", None),
                }
            case "cut":
                properties |= {"status": "failed", "duration": "12"}
        return call(_scattered(number), **properties)

    def subresources(self, row: Row) -> None:
        """A call's recordings and notifications."""
        created = moment(row["date_created"])
        ended = moment(row["end_time"]) if row["end_time"] else created
        for _ in range(self.choose(0, 0, 1, 2)):
            late = self.choose(timedelta(), timedelta(), timedelta(minutes=59))
            at = self.choose(created, ended, ended + late)
            self.recordings.append(self.recording(row["sid"], at))
        for _ in range(self.choose(0, 0, 0, 1, 2)):
            late = self.choose(timedelta(), timedelta(seconds=3), timedelta(hours=23))
            at = self.choose(created, ended, ended + late)
            self.notifications.append(self.notification(row["sid"], at))

    def recording(self, of: str | None, at: datetime) -> Row:
        """A recording of a call, or of no call."""
        number = _scattered(len(self.recordings))
        dates = dict.fromkeys(("date_created", "date_updated"), rfc_2822(at))
        return recording(number, 0, **dates) | {"call_sid": of}

    def notification(self, of: str, at: datetime) -> Row:
        """A notification about a call, or about no call."""
        number = _scattered(len(self.notifications))
        dates = dict.fromkeys(("date_created", "message_date"), rfc_2822(at))
        return notification(number, 0, log=self.choose("0", "1"), **dates) | {"call_sid": of}


def _scattered(number: int) -> int:
    """A number whose order differs from the order in which rows are made."""
    return (number * 7919 + 13) % 9973


def _may_dial(row: Row) -> bool:
    """False for a call that ran no TwiML: not started, or outbound and never answered."""
    was_answered = row["status"] in ("completed", "in-progress") or row["duration"] == "12"
    if row["start_time"] is None:
        return False
    return was_answered or row["direction"] == "inbound"


@st.composite
def accounts(draw: st.DrawFn, *, odd: bool = True, families: int = 6, junk: bool = True) -> Account:
    """An account with some families; with `odd` upstream shows some rows wrongly."""
    builder = AccountBuilder(draw)
    base = builder.choose(*BASES)
    pace = builder.choose(0, 1, 1, 60, 3600, 40_000)
    is_sparse = builder.choose(False, False, True)
    if is_sparse:  # hardly two calls in one second
        pace, builder.later = max(pace, 60), (1, 2, 3, 5, 7, 11, 13, 17, 3600)
    agos = st.lists(st.integers(0, 12), min_size=1, max_size=families, unique=is_sparse)
    for ago in draw(agos):
        builder.family(base - timedelta(seconds=ago * pace), None, 0)
    for _ in range(builder.choose(0, 0, 1)):
        stranger = builder.choose(None, sid("CA", 0xDEAD))
        builder.recordings.append(builder.recording(stranger, base))
        builder.notifications.append(builder.notification(stranger or "", base))
    dates = [moment(row["end_time"] or row["date_created"]) for row in builder.calls]
    rest = builder.choose(
        *[timedelta(days=3)] * 3, timedelta(hours=2), timedelta(seconds=40), SECOND
    )
    now = max(dates) + rest
    shown = draw(odd_rows(builder, with_junk=junk)) if odd and builder.choose(False, True) else {}
    gone = builder.calls[0]["sid"] if builder.choose(*[False] * 5, True) else None
    return Account(
        calls=tuple(row for row in builder.calls if row["sid"] != gone),
        recordings=_by_now(builder.recordings, now),
        notifications=_by_now(builder.notifications, now),
        shown=shown,
        now=now,
    )


def _by_now(rows: Sequence[Row], now: datetime) -> tuple[Row, ...]:
    return tuple(row for row in rows if moment(row["date_created"]) <= now)


@st.composite
def odd_rows(draw: st.DrawFn, builder: AccountBuilder, *, with_junk: bool) -> dict[str, Any]:
    """Odd rows or junk that upstream shows in place of some rows, by SID."""
    shown: dict[str, Any] = {}
    rows = [*builder.calls, *builder.recordings, *builder.notifications]
    for row in draw(st.lists(st.sampled_from(rows), max_size=4)):
        if with_junk and draw(st.booleans()):
            shown[row["sid"]] = draw(junk())
            continue
        names = ["account_sid", "date_created"]
        if row["sid"].startswith("CA"):
            names += ["status", "direction"]
        name, value = draw(st.sampled_from(names)), draw(st.sampled_from(ODD_VALUES))
        shown[row["sid"]] = {key: kept for key, kept in row.items() if key != name}
        if value != "ABSENT":
            shown[row["sid"]][name] = value
    return shown


def junk() -> st.SearchStrategy[Any]:
    """Values that are no rows."""
    return st.sampled_from(JUNK)


def _choices(**names: Sequence[Any]) -> dict[str, st.SearchStrategy[Any]]:
    return {name: st.sampled_from(choices) for name, choices in names.items()}


# With these no row can be lost, so responses are exact.
EXACT = _choices(
    order=[Order.CREATED, Order.CREATED, Order.STARTED, Order.OLDEST_FIRST],
    ties=list(Ties),
    tokens=[Tokens.SIDS, Tokens.SIDS, Tokens.OPAQUE, Tokens.NUMBERS],
    tail=[Tail.NONE, Tail.NONE, Tail.EMPTY, Tail.SAME, Tail.AGAIN],
    previous_by_number=[True, False],
    back_number=list(BackNumber),
    largest_page=[1000, 1000, 1, 2, 3, 5],
    ragged=[False, False, True],
    empties=[0, 0, 1, 2],
    repeats=[False, False, True],
    until=list(Until),
    undated_in_ranges=[False, True],
    ignored=[
        frozenset(),
        frozenset(),
        frozenset({"EndTime"}),
        frozenset({"Status", "To", "From"}),
        frozenset({"ParentCallSid", "Log"}),
        frozenset({"StartTime", "DateCreated", "MessageDate"}),
    ],
)


def exact_switches() -> st.SearchStrategy[Switches]:
    """The switches that must not change a response."""
    return st.builds(Switches, **EXACT)


def paging_switches() -> st.SearchStrategy[Switches]:
    """The same, with calls that never started anywhere in a list: it is no evidence for edges."""
    return st.builds(Switches, **EXACT, undated=st.sampled_from(list(Undated)))


def retention() -> st.SearchStrategy[date]:
    """The first day of upstream's retention."""
    return st.dates(date(2026, 3, 8), date(2026, 3, 12))
