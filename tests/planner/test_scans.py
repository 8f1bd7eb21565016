"""Scans against requests per key: planned answers are equal, row for row and in order.

Random accounts with everything that can go wrong (docs/design/planner.md): late and early rows,
rows of no call, orphans, live calls, clock edges at midnight GMT, empty and dense days, repeated
rows, a broken order, rows added while a scan reads. An edge never takes more requests than per key
and one probe.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, cast

from hypothesis import given, note, settings
from hypothesis import strategies as st

from gateway.loaders.plan_executor import PlanExecutor
from gateway.planner import Costs, OperationCache, Policy, Request
from gateway.planner.windows import edge_of
from gateway.telemetry.upstream_trace import UpstreamTrace
from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.client import UpstreamClient
from gateway.upstream.date_ranges import DateTimeRange
from gateway.upstream.notifications import ListNotifications
from gateway.upstream.recordings import ListRecordings
from gateway.upstream.requests import FIRST_PAGE, ListRequest, Page, PageRef
from tests.listed_account import NOW, Account, call, call_sid, notification, recording

MIDNIGHT = datetime(2026, 3, 9, tzinfo=UTC)
# Rows are dated within the slack of Note [Slack], less the DISORDER of a broken order.
EARLY = timedelta(seconds=20)
DISORDER = 20
SLACK = 9 * 60
LATE = {"recordings": timedelta(minutes=59), "notifications": timedelta(hours=23)}


moments = st.one_of(
    st.integers(-3 * 86400, 39 * 3600),
    st.integers(-120, 120),
    st.integers(86400 - 120, 86400 + 120),
).map(lambda seconds: MIDNIGHT + timedelta(seconds=seconds))


ODDITIES: list[dict[str, Any]] = [
    *[{}] * 8,
    {"end_time": None},
    {"date_created": None},
    {"date_created": "yesterday"},
]


@st.composite
def accounts(draw: st.DrawFn) -> Account:
    """A random account."""
    calls = []
    for number, created in enumerate(draw(st.lists(moments, min_size=2, max_size=14))):
        status = draw(st.sampled_from(["completed"] * 6 + ["busy", "canceled", "in-progress"]))
        odd = draw(st.sampled_from(ODDITIES))
        calls.append(call(number, created, draw(st.integers(0, 4000)), status, **odd))
    recordings = _newest_first(draw, _rows(draw, calls, "recordings"))
    notifications = _newest_first(draw, _rows(draw, calls, "notifications"))
    account = Account(
        calls,
        [recording(*row) for row in _reordered(draw, recordings)],
        [notification(*row) for row in _reordered(draw, notifications)],
        cap=draw(st.sampled_from([2, 3, 5, 20, 1000])),
        arriving=draw(st.integers(0, 2)),
        repeats=draw(st.booleans()),
    )
    return account


DrawnRow = tuple[int, int | None, datetime]


def _rows(draw: st.DrawFn, calls: list[CallResource], kind: str) -> list[DrawnRow]:
    drawn: list[tuple[int | None, datetime]] = []
    for number, row in enumerate(calls):
        begin, end = _times(row)
        span = int((end + LATE[kind] - begin + EARLY).total_seconds())
        for _ in range(draw(st.integers(0, 3))):
            late = draw(st.one_of(st.integers(0, span), st.sampled_from([0, span])))
            drawn.append((number, begin - EARLY + timedelta(seconds=late)))
    orphans = st.tuples(st.none() | st.integers(500, 510), moments)
    drawn.extend(draw(st.lists(orphans, max_size=25)))
    return [(number, owner, at) for number, (owner, at) in enumerate(drawn)]


def _newest_first(draw: st.DrawFn, rows: list[DrawnRow]) -> list[DrawnRow]:
    """By date; rows of one second in any order."""
    keys = [(row[2], draw(st.integers(0, 9))) for row in rows]
    pairs = sorted(zip(keys, rows, strict=True), key=lambda pair: pair[0], reverse=True)
    return [row for _, row in pairs]


def _times(row: CallResource) -> tuple[datetime, datetime]:
    try:
        begin = row.date_created or MIDNIGHT
    except Exception:
        begin = MIDNIGHT
    return begin, max(row.end_time or row.date_updated or begin, begin)


def _reordered(draw: st.DrawFn, rows: list[DrawnRow]) -> list[DrawnRow]:
    """Mostly newest first; else out of order by some seconds, or upside down."""
    kind = draw(st.sampled_from(["kept"] * 4 + ["disorder", "upside down"]))
    if kind == "disorder":
        shift = draw(st.lists(st.integers(0, DISORDER), min_size=len(rows), max_size=len(rows)))
        moved = [(row[2] + timedelta(seconds=s), row) for row, s in zip(rows, shift, strict=True)]
        return [row for _, row in sorted(moved, key=lambda pair: pair[0], reverse=True)]
    return rows[::-1] if kind == "upside down" else rows


costs = st.builds(
    Costs,
    latency=st.sampled_from([0.01, 0.15, 2.0]),
    per_row=st.sampled_from([0.0, 0.0002]),
    rows_per_day=st.sampled_from([1.0, 2000.0, 500_000.0]).map(lambda calls: {"calls": calls}),
)


async def answers(
    account: Account,
    keys: Iterable[Request],
    learned: Costs,
    policy: Policy,
    read: Sequence[Any] | None = None,
) -> dict[Request, list[str]]:
    """The executor's answers for the keys of one operation.

    The operation has read `read` before: rows and pages; by default each call by itself.
    """
    known = OperationCache(NOW)
    for answer in account.calls if read is None else read:
        known.record(answer)
    loop = asyncio.get_running_loop()
    executor = PlanExecutor(
        cast(UpstreamClient, account),
        known,
        learned,
        policy,
        UpstreamTrace(loop.time),
        loop.time() + 60,
        10_000,
    )
    found: dict[Request, list[str]] = {}

    def resolve(request: Request, answer: Any) -> None:
        assert isinstance(answer, Page), answer
        assert request not in found
        found[request] = list(dict.fromkeys(row.sid for row in answer.rows))

    await executor.execute(keys, resolve)
    return found


def edges(account: Account) -> list[ListRequest[Any]]:
    """The recordings and notifications of every call."""
    sids = [row.sid for row in account.calls]
    return [
        *(ListRecordings(call_sid=sid, page_size=1000) for sid in sids),
        *(ListNotifications(call_sid=sid, page_size=1000) for sid in sids),
    ]


def expected(account: Account, keys: Iterable[ListRequest[Any]]) -> dict[Any, list[str]]:
    """The rows of the account's lists that each key matches, in their order."""
    return {
        key: [row.sid for row in getattr(account, key.kind) if key.matches(row)] for key in keys
    }


@settings(max_examples=max(100, settings().max_examples))
@given(accounts(), costs, st.integers(1, 16))
async def test_planned_answers_equal_per_key_answers_with_at_most_a_probe_for_each_edge(
    account: Account, learned: Costs, concurrency: int
) -> None:
    account.cap = max(account.cap, 2)
    keys = edges(account)
    per_key = expected(account, keys)
    cap = account.cap
    found = await answers(account, keys, learned, Policy(concurrency=concurrency))

    for key in keys:
        # a page that upstream cuts short is requested per key, as without a planner
        assert found[key][:cap] == per_key[key][:cap]
    for kind in ("recordings", "notifications"):
        sent = [request for request in account.requests if request.kind == kind]
        note(f"{kind}: {len(sent)} requests for {len(account.calls)} calls")
        assert len(sent) <= len(account.calls) + 1


@st.composite
def call_trees(draw: st.DrawFn, *, dialed: bool) -> Account:
    """Calls and their legs, made while their parent lived or soon after; newest first.

    The list runs by creation or by start, with rows of one second in any order. A call starts some
    seconds after its creation, a parent perhaps after its legs. A leg that is not `dialed` may have
    been canceled without a start time: it stands where it was created.
    """
    drawn: list[CallResource] = []
    for number, created in enumerate(draw(st.lists(moments, min_size=2, max_size=8))):
        seconds, lag = draw(st.integers(0, 4000)), draw(lags)
        status = draw(st.sampled_from(["completed"] * 6 + ["in-progress"]))
        started = format_datetime(created + timedelta(seconds=min(lag, seconds)))
        drawn.append(call(number, created, seconds, status, start_time=started))
        for leg in range(draw(st.integers(0, 3))):
            late = draw(st.sampled_from([0, seconds, None]))
            after = draw(st.integers(0, seconds + SLACK)) if late is None else late
            begun = created + timedelta(seconds=after)
            properties: dict[str, Any] = {"parent_call_sid": call_sid(number)}
            properties["start_time"] = format_datetime(begun + timedelta(seconds=draw(lags)))
            if not dialed and draw(st.booleans()):
                properties |= {"start_time": None, "end_time": None}
            status = "canceled" if properties["start_time"] is None else "completed"
            drawn.append(call(100 + 10 * number + leg, begun, 60, status, **properties))
    by_start = draw(st.booleans())
    keys = [((row.start_time if by_start else None) or row.date_created, row) for row in drawn]
    ties = [(key, draw(st.integers(0, 9)), row.sid) for key, row in keys]
    places = {sid: place for place, (_, _, sid) in enumerate(sorted(ties, reverse=True))}
    newest_first = sorted(drawn, key=lambda row: places[row.sid])
    return Account(newest_first, [], [], cap=draw(st.sampled_from([2, 3, 5, 20, 1000])))


lags = st.sampled_from([0, 0, 0, 1, 4, 30])


@settings(max_examples=max(100, settings().max_examples))
@given(call_trees(dialed=True), costs, st.integers(1, 16), st.booleans())
async def test_child_calls_by_scan_are_those_per_key_where_every_leg_was_dialed(
    account: Account, learned: Costs, concurrency: int, scans: bool
) -> None:
    policy = Policy(scan_child_calls=scans, concurrency=concurrency)
    await children_are_those_per_key(account, learned, policy)
    assert scans or not [r for r in account.requests if isinstance(r, ListCalls) and r.start_time]


@settings(max_examples=max(100, settings().max_examples))
@given(
    call_trees(dialed=False),
    costs,
    st.integers(1, 16),
    st.sampled_from([0, 0, 0, 1, 5, None]),
    st.booleans(),
)
async def test_children_read_upward_are_those_per_key_with_the_legs_that_were_never_dialed(
    account: Account, learned: Costs, concurrency: int, astray: int | None, upside_down: bool
) -> None:
    """Wherever a made token leads, and in whatever order the list is."""
    learned.learn(Page(ListCalls(), tuple(account.calls), PageRef.after(account.calls[-1].sid)))
    account.astray = astray
    if upside_down:
        account.calls.reverse()
    await children_are_those_per_key(account, learned, Policy(concurrency=concurrency))


@settings(max_examples=max(100, settings().max_examples))
@given(call_trees(dialed=False), costs, st.integers(1, 16), st.data())
async def test_children_of_a_page_from_the_middle_of_the_list_are_read_by_its_own_link(
    account: Account, learned: Costs, concurrency: int, data: st.DataObject
) -> None:
    """Or from the list's top, where that may be near."""
    place = data.draw(st.integers(0, len(account.calls) - 1))
    request = ListCalls(page=PageRef.after(account.calls[place].sid), page_size=4)
    page = await account.page(request)
    account.requests.clear()
    await children_are_those_per_key(account, learned, Policy(concurrency=concurrency), [page])
    read = [request.page for request in account.requests if edge_of(request) is None]
    assert not read or read[0] in {FIRST_PAGE, page.previous}


@settings(max_examples=max(100, settings().max_examples))
@given(call_trees(dialed=False), costs, st.integers(1, 16), st.integers(2, 9))
async def test_children_of_the_lists_first_pages_are_those_per_key(
    account: Account, learned: Costs, concurrency: int, size: int
) -> None:
    """What the last second lacks is read below, with at most one probe in vain."""
    page = await account.page(ListCalls(page_size=size))
    account.requests.clear()
    await children_are_those_per_key(account, learned, Policy(concurrency=concurrency), [page])
    read = [request.page for request in account.requests if edge_of(request) is None]
    assert not read or read[0] == page.next


async def children_are_those_per_key(
    account: Account, learned: Costs, policy: Policy, read: Sequence[Any] | None = None
) -> None:
    """The promise of childCalls: the same rows in the same order, with at most one probe."""
    rows = read[0].rows if read else account.calls
    keys = [ListCalls(parent_call_sid=row.sid, page_size=1000) for row in rows]
    found = await answers(account, keys, learned, policy, read)

    for key, children in expected(account, keys).items():
        assert found[key][: account.cap] == children[: account.cap]
    assert len(account.requests) <= len(keys) + 1


def test_a_list_read_down_to_the_windows_very_second_is_not_past_it() -> None:
    """Another row of that second may be on the next page."""
    mine = call(1, MIDNIGHT + timedelta(hours=9), 60, "completed")
    key = ListRecordings(call_sid=mine.sid)
    known = OperationCache(NOW)
    known.record(mine)
    scannable = known.list_and_window(key)
    assert scannable is not None
    account_list, window = scannable
    request = account_list.within(DateTimeRange.days(window.first, window.last), 50)
    known.begin_covering(request)

    def read_down_to(last: datetime) -> None:
        rows = (recording(1, 7, last + timedelta(seconds=1)), recording(2, 8, last))
        known.record(Page(request, rows, next=PageRef(1, "PA2"), rows_read=2))

    read_down_to(window.since)
    assert known.answer(key) is None
    known.begin_covering(request)
    read_down_to(window.since - timedelta(seconds=1))
    assert known.answer(key) is not None
