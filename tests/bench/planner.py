"""What the planner wins and loses, side by side with one request for each key.

    python -m tests.bench.planner [--quick]

Accounts of 200 to 200,000 calls a day, asked for 50 and 200 calls with the four edges: the newest,
and from the middle of the busiest hour of yesterday, once scrolled to (a list of whole days, after
a cursor) and once by a window of start times (which upstream can only narrow to days, so that every
way first reads down to it: the column "list" is the query without its edges). Time is real; each
way has a gateway of its own, which has run the query once before it is measured: what it learned
from that, and from the queries above in the table, is what it knows. The ways take turns, and the
best run of each counts: the machine is shared. It exits with 1 where a bar is not met. The bar for
a window's time is about its edges: its list takes the same requests in every way, so that time is
taken off both sides; the column "faster" is of the whole. With the scan of childCalls an answer may
differ, as it does not show a call that was never dialed. The last way of the table reads pages only
by upstream's own links: beside "adaptive" it shows what page tokens save that are made of a SID.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.live.store import MemoryStore
from gateway.live.subscriptions import SubscriberSlots
from gateway.planner import Costs
from gateway.sandbox import SandboxConfig
from gateway.sandbox.resources import CallRow, Row
from gateway.schema.cursors import Cursor, PositionKind, RowPosition, cursor_key, write_cursor
from gateway.server.account_clients import AccountClient as Own
from gateway.server.account_stores import AccountStores
from gateway.server.operations import Gateway
from gateway.settings import PlannerMode, Secret, Settings, Switch, UpstreamSettings
from gateway.upstream.calls import ListCalls
from gateway.upstream.client import Account, UpstreamClient
from gateway.upstream.date_ranges import DateTimeRange
from tests.bench.planner_upstream import AT_A_TIME, LATENCY, PER_ROW, Upstream, account, upstream
from tests.settings import settings_of

NOW = datetime(2026, 7, 8, 18, 30, tzinfo=UTC)  # a Wednesday
BUSY = NOW - timedelta(hours=28)
MIDNIGHT = BUSY.replace(hour=0, minute=0)
DAYS = DateTimeRange(MIDNIGHT - timedelta(days=2), MIDNIGHT + timedelta(days=1))
WINDOW = DateTimeRange(MIDNIGHT - timedelta(days=2), BUSY)
# Calls a day, and how many days of them: a dense account is as long as its queries look back.
ACCOUNTS = {200: 14, 2_000: 14, 20_000: 2, 200_000: 2}
SIZES, QUICK = (50, 200), 20_000
# Calls a day times calls asked for: beyond this a window lies so deep that its list takes seconds.
DEEPEST_WINDOW = 20_000 * 50
FIELDS = """sid
    parentCall { sid status to from }
    childCalls { nodes { sid status to duration } }
    recordings { nodes { sid duration status source } }
    notifications { nodes { sid log errorCode messageDate } }"""
QUERY = """query($first: Int!, $after: String, $filter: CallFilter) {
    calls(first: $first, after: $after, filter: $filter) { nodes { %s } } }"""
PER_KEY, ADAPTIVE, SCANNING = "per key", "adaptive", "adaptive + childCalls scan"
LINKS_ONLY = "adaptive, upstream's links"
WAYS: dict[str, Settings] = {
    PER_KEY: settings_of(max_in_flight=AT_A_TIME, planner=PlannerMode.PER_KEY),
    ADAPTIVE: settings_of(max_in_flight=AT_A_TIME),
    SCANNING: settings_of(max_in_flight=AT_A_TIME, scan_child_calls=Switch.ON),
    LINKS_ONLY: settings_of(max_in_flight=AT_A_TIME),
}


class NoMadeTokens(Costs):
    """Costs of a planner that reads pages only by upstream's own links."""

    @property
    def can_make_token(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class Query:
    """One query of the table."""

    place: str
    first: int
    after: str | None = None
    range: DateTimeRange | None = None

    @property
    def variables(self) -> dict[str, Any]:
        """The variables of QUERY."""
        if self.range is None or self.range.gte is None or self.range.lt is None:
            return {"first": self.first}
        days = {"gte": self.range.gte.isoformat(), "lt": self.range.lt.isoformat()}
        return {"first": self.first, "after": self.after, "filter": {"startTime": days}}

    @property
    def ways(self) -> Sequence[str]:
        """The ways to measure: the newest page knows its children without a scan."""
        return (PER_KEY, ADAPTIVE) if self.place == "newest" else tuple(WAYS)


@dataclass(frozen=True)
class Measured:
    """One query of one account, answered in one way."""

    calls_a_day: int
    query: Query
    way: str
    requests: int
    seconds: float
    whole: float
    data: Any
    list_seconds: float

    @property
    def edge_seconds(self) -> float:
        """What the edges take where the list is the same long walk in every way."""
        return self.seconds - (self.list_seconds if self.query.place == "window" else 0.0)


def queries(rows: Sequence[Row]) -> Iterator[Query]:
    """The queries of an account."""
    calls = [row for row in rows if isinstance(row, CallRow)]
    before = [call for call in calls if call.date_created < BUSY.timestamp()]
    for size in SIZES:
        yield Query("newest", size)
        yield Query("scrolled", size, _cursor(before[-1], size), DAYS)
        yield Query("window", size, None, WINDOW)


def _cursor(row: CallRow, size: int) -> str:
    """What a client holds that has scrolled to this call in pages of so many."""
    created = datetime.fromtimestamp(row.date_created, UTC)
    place = RowPosition(kind=PositionKind.NAMED, page_size=size, after=row.sid, date=created)
    cursor = Cursor(stream=0, is_row=True, key=None, positions=(place,))
    sandbox = SandboxConfig()
    key = cursor_key(sandbox.auth_token, UpstreamSettings().base_url, sandbox.account_sid)
    return write_cursor(cursor, key, [ListCalls(start_time=DAYS)])


async def run(gateway: Gateway, fields: str, query: Query) -> tuple[float, dict[str, Any]]:
    """The seconds of one operation, and its answer."""
    began = time.perf_counter()
    answer = await gateway.execute_as_operator(QUERY % fields, query.variables, None)
    return time.perf_counter() - began, answer


def whole(answer: Mapping[str, Any]) -> float:
    """The share of cells (a call's edge) that have no error."""
    if not (answer.get("data") or {}).get("calls"):
        return 0.0
    failed = {tuple(error["path"][:4]) for error in answer.get("errors", ())}
    return 1 - len(failed) / (4 * len(answer["data"]["calls"]["nodes"]))


async def measure(
    calls_a_day: int, query: Query, gateways: Mapping[str, Gateway], there: Upstream, rounds: int
) -> list[Measured]:
    """One query in every way, by turns, after a run that is not counted."""
    seconds: dict[str, list[float]] = {way: [] for way in query.ways}
    requests: dict[str, int] = {}
    answers: dict[str, Any] = {}
    alone, _ = await run(gateways[PER_KEY], "sid", query)
    for _ in range(rounds + 1):
        for way in query.ways:
            there.requests = 0
            taken, answers[way] = await run(gateways[way], FIELDS, query)
            seconds[way].append(taken)
            requests[way] = there.requests
    return [
        Measured(
            calls_a_day,
            query,
            way,
            requests[way],
            min(seconds[way][1:]),
            whole(answers[way]),
            answers[way].get("data"),
            alone,
        )
        for way in query.ways
    ]


@asynccontextmanager
async def gateways(there: Upstream) -> AsyncIterator[dict[str, Gateway]]:
    """A gateway for each way, all over one upstream."""
    sandbox = SandboxConfig()
    credential = Account(sandbox.account_sid, sandbox.account_sid, Secret(sandbox.auth_token))
    # Without the cache: a run that is repeated would be answered from it.
    upstream = UpstreamSettings(max_in_flight=AT_A_TIME, read_timeout=60, cache_size=0)
    stores = AccountStores(lambda _: MemoryStore())
    async with AsyncExitStack() as stack:
        made = {}
        for way, settings in WAYS.items():
            own = Own(UpstreamClient(credential, upstream, there), stores, SubscriberSlots(100))
            stack.push_async_callback(own.aclose)
            own.costs = NoMadeTokens() if way == LINKS_ONLY else own.costs
            made[way] = Gateway(settings, own, now=lambda: NOW)
        yield made


async def measure_account(calls_a_day: int, days: int, rounds: int) -> list[Measured]:
    """Every query of one account; prints the table's rows as they come."""
    began = time.perf_counter()
    rows = await asyncio.to_thread(account, calls_a_day, days, NOW)
    found = []
    async with upstream(rows, NOW) as there, gateways(there) as made:
        print(
            f"\n{calls_a_day:,} calls a day for {days} days: {len(rows):,} rows, "
            f"loaded in {time.perf_counter() - began:.0f} s"
        )
        for query in queries(rows):
            if query.place == "window" and calls_a_day * query.first > DEEPEST_WINDOW:
                print(f"window {query.first}: left out, its list alone takes seconds in every way")
                continue
            measured = await measure(calls_a_day, query, made, there, rounds)
            show(measured)
            found += measured
        if there.refused:
            print(f"  refused with 429: {there.refused}")
    return found


HEADER = (
    f"{'query':14}{'way':28}{'requests':>9}{'wall ms':>9}{'list ms':>9}{'whole':>7}"
    f"{'fewer':>8}{'faster':>8}  answer"
)


def show(measured: Sequence[Measured]) -> None:
    """Rows of the table: each way beside per key."""
    plain = measured[0]
    for row in measured:
        name = f"{row.query.place} {row.query.first}"
        alone = row.list_seconds * 1000
        same = "equal" if row.data == plain.data else "DIFFERS"
        print(
            f"{name:14}{row.way:28}{row.requests:9}{row.seconds * 1000:9.0f}{alone:9.0f}"
            f"{row.whole:7.0%}{plain.requests / row.requests:7.1f}×"
            f"{plain.seconds / row.seconds:7.1f}×  {same}",
            flush=True,
        )


def verdict(found: Sequence[Measured]) -> Iterator[tuple[bool, str]]:
    """The bars, each passed or not."""
    plain = {(m.calls_a_day, m.query): m for m in found if m.way == PER_KEY}
    planned = [(m, plain[m.calls_a_day, m.query]) for m in found if m.way in (ADAPTIVE, SCANNING)]
    slowest = max(m.seconds / p.seconds for m, p in planned)
    yield slowest <= 1.1, f"nowhere more than 10 % slower than per key: at most {slowest:.2f}×"
    yield all(m.whole == 1 for m in found), "every answer whole"
    yield all(m.data == p.data for m, p in planned if m.way == ADAPTIVE), "answers equal"
    for place, way in [
        ("newest", ADAPTIVE), ("scrolled", ADAPTIVE), ("scrolled", SCANNING),
        ("window", ADAPTIVE), ("window", SCANNING),
    ]:  # fmt: skip
        pairs = [
            (m, p)
            for m, p in planned
            if m.calls_a_day <= 2000 and (m.query.place, m.way) == (place, way)
        ]
        fewer = min(p.requests / m.requests for m, p in pairs)
        faster = min(p.edge_seconds / m.edge_seconds for m, p in pairs)
        for value, bar, what in ((fewer, 5, "fewer requests"), (faster, 3, "less time")):
            yield value >= bar, f"200 and 2,000 a day, {place}, {way}: {bar}× {what}: {value:.1f}×"


def judge(bars: Iterable[tuple[bool, str]]) -> int:
    """Prints the bars; the exit code, 1 where one is not met."""
    code = 0
    for is_met, bar in bars:
        print("pass" if is_met else "FAIL", bar)
        code |= not is_met
    return code


async def main(*, quick: bool) -> int:
    """The table and the bars; the exit code."""
    print(
        f"upstream: {LATENCY * 1000:.0f} ms and {PER_ROW * 1000} ms a row, {AT_A_TIME} at once; "
        f"a warm-up run, then the best of {1 if quick else 3}"
    )
    print(HEADER)
    found = []
    for calls_a_day, days in ACCOUNTS.items():
        if not (quick and calls_a_day > QUICK):
            found += await measure_account(calls_a_day, days, 1 if quick else 3)
    print()
    return judge(verdict(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run each, no largest account")
    sys.exit(asyncio.run(main(quick=parser.parse_args().quick)))
