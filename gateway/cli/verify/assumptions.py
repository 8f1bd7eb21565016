"""The planner's assumptions about an account's lists, tested on the account's own rows.

One test for each line of the closed list in docs/design/planner.md. Most need no request: they use
the rows that the comparison has read per key. This module must not know how a request is sent, nor
GraphQL.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from gateway.errors import UpstreamError, UpstreamInvalid
from gateway.planner.evidence import Orders
from gateway.planner.operation_cache import ran_no_twiml
from gateway.planner.windows import SETTLED_AFTER, window_of
from gateway.upstream.calls import CALLS, FINAL, CallResource, ListCalls
from gateway.upstream.catalog import RESOURCES
from gateway.upstream.client import UpstreamClient
from gateway.upstream.date_ranges import DateTimeRange
from gateway.upstream.descriptors import ResourceDescriptor
from gateway.upstream.requests import Page, PageRef

__all__ = ["Assumption", "Sample", "check_assumptions"]

MAX_PAGE, LARGE, SMALL = 1000, 50, 20
Rows = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Assumption:
    """One assumption, how it was tested, on how many rows, and the SIDs of rows that contradict it.

    With `costs_only`, answers are right without it; a broken one only costs requests. With
    `planner_only`, only planned edges depend on it, not lists, filters or cached calls.
    """

    name: str
    how: str
    rows: int = 0
    broken: tuple[str, ...] = ()
    costs_only: bool = False
    planner_only: bool = False

    @property
    def holds(self) -> bool:
        """True when no row contradicts it."""
        return not self.broken


@dataclass
class Sample:
    """The rows that the comparison has read: the newest calls in list order, and their edges."""

    calls: list[CallResource] = field(default_factory=list)
    edges: dict[tuple[str, ResourceDescriptor[Any]], Rows] = field(default_factory=dict)

    def record(self, call: str, answer: Any) -> None:
        """Adds the rows of one edge of a call, as its own request returned them."""
        if isinstance(answer, Page):
            self.edges[call, answer.request.resource] = answer.rows

    def of(self, resource: ResourceDescriptor[Any]) -> Iterator[tuple[CallResource, Rows]]:
        """Each call with the rows of one of its edges."""
        for call in self.calls:
            yield call, self.edges.get((call.sid, resource), ())


async def check_assumptions(
    client: UpstreamClient, sample: Sample, now: datetime
) -> Sequence[Assumption]:
    """Tests every assumption. The comparison began at `now`. Raises UpstreamError."""
    newest = {
        each: await client.page(each.list_of(None).within(None, MAX_PAGE)) for each in RESOURCES
    }
    of_edges = [
        _never_dialed(sample),
        _children_come_later(sample),
        _never_answered(sample),
        *(_inside(sample, resource, now) for resource in RESOURCES),
        _owners(sample),
        _shown_in_time(sample, newest, now),
    ]
    found = [
        *_orders(sample),
        *(replace(each, planner_only=True) for each in of_edges),
        _final_states(sample, newest[CALLS], now),
    ]
    for resource in RESOURCES:
        found.append(await _whole_days(client, resource, newest[resource], now))
        found.append(await _links(client, resource))
    found.append(await _made_token(client, sample))
    return found


def _read(row: Any, name: str) -> Any:
    """A property of a row; None if it cannot be decoded."""
    try:
        return getattr(row, name)
    except UpstreamInvalid:
        return None


def _orders(sample: Sample) -> Iterator[Assumption]:
    """Compares each list that was read with the orders that it may have."""
    for resource in RESOURCES:
        lists = [sample.calls] if resource is CALLS else [rows for _, rows in sample.of(resource)]
        yield _ordered(resource, lists)


def _ordered(resource: ResourceDescriptor[Any], lists: Iterable[Rows]) -> Assumption:
    dates = " or ".join(order[0] for order in resource.orders)
    pairs = [rows for rows in lists if len(rows) > 1]
    broken = [rows[0].sid for rows in pairs if not Orders(resource.orders, rows).possible]
    return Assumption(
        f"Lists of {resource.name} run newest first, by {dates}",
        "each list that was read, row by row",
        sum(map(len, pairs)),
        tuple(broken),
    )


def _never_dialed(sample: Sample) -> Assumption:
    rows = [row for row in sample.calls if _read(row, "date_created")]
    undialed = [
        (above, row, below)
        for above, row, below in zip(rows, rows[1:], rows[2:], strict=False)
        if _read(row, "start_time") is None
    ]
    broken = [row.sid for above, row, below in undialed if not _is_between(above, row, below)]
    return Assumption(
        "A call that was never dialed is in the list at its place by creation",
        "calls without start_time, compared with their neighbours",
        len(undialed),
        tuple(broken),
    )


def _is_between(above: CallResource, row: CallResource, below: CallResource) -> bool:
    """True if a call was created between its neighbours, or before the upper one started."""
    created = _read(row, "date_created")
    newest = max(_read(above, "date_created"), _read(above, "start_time") or created)
    return bool(newest >= created >= _read(below, "date_created"))


def _children_come_later(sample: Sample) -> Assumption:
    pairs = [(parent, child) for parent, rows in sample.of(CALLS) for child in rows]
    broken = []
    for parent, child in pairs:
        begun, created = _read(parent, "date_created"), _read(child, "date_created")
        started = _read(child, "start_time")
        is_late = begun is None or created is None or begun <= created
        if not is_late or (created and started and started < created):
            broken.append(child.sid)
    return Assumption(
        "A child is created no earlier than its parent and starts no earlier than it is created",
        "children of the sample, each read by its parent's SID",
        len(pairs),
        tuple(broken),
    )


def _inside(sample: Sample, resource: ResourceDescriptor[Any], now: datetime) -> Assumption:
    """Compares the rows of finished calls with the window in which the planner looks for them."""
    count, broken = 0, []
    for call, rows in sample.of(resource):
        window = window_of(call, resource, now)
        for row in rows if window and not window.is_open else ():
            date = _read(row, resource.day_filter)
            if window and date is not None:
                count += 1
                broken += [row.sid] if not window.since <= date <= window.until else []
    how = f"{resource.name} of finished calls of the sample, each read by its call's SID"
    max_lag = resource.max_lag // timedelta(minutes=1)
    name = f"{resource.name} are dated at most {max_lag} minutes after the end of their call"
    return Assumption(name.capitalize(), how, count, tuple(broken))


def _never_answered(sample: Sample) -> Assumption:
    calls = [(call, rows) for call, rows in sample.of(CALLS) if ran_no_twiml(call)]
    return Assumption(
        "An outbound call that was never answered has no children",
        "children of such calls of the sample, each read by its parent's SID",
        len(calls),
        tuple(call.sid for call, rows in calls if rows),
    )


def _owners(sample: Sample) -> Assumption:
    resources = [each for each in RESOURCES if each is not CALLS]
    rows = [(call, row) for each in resources for call, found in sample.of(each) for row in found]
    return Assumption(
        "A call's own list holds the rows that name the call, and no others",
        "call_sid of the recordings and notifications of the sample",
        len(rows),
        tuple(row.sid for call, row in rows if _read(row, "call_sid") != call.sid),
    )


def _final_states(sample: Sample, newest: Page[Any], now: datetime) -> Assumption:
    """Compares calls of the sample that were final at the start with a read at the end."""
    again = {row.sid: row for row in newest.rows}
    settled = [row for row in sample.calls if _is_settled(row, now)][:SMALL]
    compared = [(row, again[row.sid]) for row in settled if row.sid in again]
    names = ("status", "end_time", "duration")
    return Assumption(
        "A call in a final status does not change any more",
        "finished calls of the sample, read again at the end",
        len(compared),
        tuple(a.sid for a, b in compared if any(_read(a, n) != _read(b, n) for n in names)),
    )


def _shown_in_time(
    sample: Sample, newest: Mapping[ResourceDescriptor[Any], Page[Any]], now: datetime
) -> Assumption:
    """Looks for the newest rows, read at the end, in the lists of their own calls."""
    settled = {row.sid for row in sample.calls if _is_settled(row, now)}
    count, broken = 0, []
    for resource, page in newest.items():
        for row in page.rows:
            owner, created = _read(row, resource.owner), _read(row, "date_created")
            shown = sample.edges.get((owner, resource), ())
            is_old = created is not None and created + SETTLED_AFTER <= now
            if owner in settled and is_old and len(shown) < MAX_PAGE:
                count += 1
                broken += [row.sid] if row.sid not in {one.sid for one in shown} else []
    return Assumption(
        "The lists show a finished call's rows 30 seconds after its end, or after their creation",
        "the newest rows of each list, read at the end, compared with the calls' own lists",
        count,
        tuple(broken),
    )


def _is_settled(row: CallResource, now: datetime) -> bool:
    ended = _read(row, "end_time")
    return _read(row, "status") in FINAL and ended is not None and ended + SETTLED_AFTER <= now


async def _whole_days(
    client: UpstreamClient, resource: ResourceDescriptor[Any], page: Page[Any], now: datetime
) -> Assumption:
    """Reads the newest day that the list's first page contains whole, also as a list by days."""
    read = {row.sid: _read(row, resource.day_filter) for row in page.rows}
    dates = {sid: date for sid, date in read.items() if date is not None}
    oldest = min((date.date() for date in dates.values()), default=now.date())
    whole = [
        date.date()
        for date in dates.values()
        if date.date() < now.date() and (page.next is None or date.date() > oldest)
    ]
    count, broken = 0, set()
    for last in (max(whole), None) if whole else ():
        first = max(whole)
        days = DateTimeRange.days(first, last)
        wanted = {sid for sid, date in dates.items() if days.contains(date)}
        listed = await client.page(resource.list_of(None).within(days, MAX_PAGE))
        found = {row.sid: _read(row, resource.day_filter) for row in listed.rows}
        count += len(wanted)
        broken |= {sid for sid, date in found.items() if not days.contains(date)}
        broken |= wanted - set(found) if listed.next is None else set()
    return Assumption(
        f"A list of {resource.name} by days has the rows of these days (GMT), all of them",
        "the newest day that is over, compared with the first page of the whole list",
        count,
        tuple(sorted(broken)),
    )


async def _links(client: UpstreamClient, resource: ResourceDescriptor[Any]) -> Assumption:
    """Reads one page also as two smaller ones, the second by upstream's link."""
    whole = await client.page(resource.list_of(None).within(None, LARGE))
    first = await client.page(resource.list_of(None).within(None, SMALL))
    rows, compared = list(first.rows), 0
    broken: Sequence[str] = ()
    if first.next is not None:
        size = LARGE - SMALL if first.next.token is not None else None
        second = await client.page(first.request.at(first.next, size))
        rows += second.rows
        found = {row.sid for row in rows}
        sids = [row.sid for row in whole.rows]
        there = [place for place, sid in enumerate(sids) if sid in found]
        compared = len(sids) if second.next is None else max(there, default=-1) + 1
        broken = [sid for sid in sids[:compared] if sid not in found]
    return Assumption(
        f"A link in the list of {resource.name} leads to the rows right below, "
        "and a list without a link has ended",
        f"a page of {LARGE} rows, also read as two",
        compared,
        tuple(broken),
    )


async def _made_token(client: UpstreamClient, sample: Sample) -> Assumption:
    """Reads the rows right above a call of the sample, by a token made of its SID."""
    above = [row.sid for row in sample.calls[:SMALL]]
    broken: tuple[str, ...] = ()
    place = len(above) - 1
    if place > 0:
        made = ListCalls(page=PageRef.before(above[place]), page_size=place)
        try:
            found = [row.sid for row in (await client.page(made)).rows]
        except UpstreamError:
            found = []
        broken = tuple(sid for sid in above[:place] if sid not in found)
    return Assumption(
        "A page token may be made of a call's SID",
        "the calls above one of the sample",
        max(place, 0),
        broken,
        costs_only=True,
    )
