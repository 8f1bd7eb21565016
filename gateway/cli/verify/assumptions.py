"""What the planner takes for granted about an account's lists, tested on the account's own rows.

The closed list of docs/design/planner.md, one test for each line. Most need no request: they look
at the rows that the comparison has read one by one. This module must not know how a request is
sent, nor GraphQL.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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

__all__ = ["Assumption", "Seen", "trusts"]

MAX_PAGE, LARGE, SMALL = 1000, 50, 20
Rows = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Assumption:
    """One trust, how it was tested and on how many rows; the SIDs of those that speak against it.

    Where it `costs_only` requests, an answer is right without it.
    """

    name: str
    how: str
    rows: int = 0
    broken: tuple[str, ...] = ()
    costs_only: bool = False

    @property
    def holds(self) -> bool:
        """True when no row speaks against it."""
        return not self.broken


@dataclass
class Seen:
    """What the comparison has read: the newest calls in the list's order, and each one's edges."""

    calls: list[CallResource] = field(default_factory=list)
    edges: dict[tuple[str, ResourceDescriptor[Any]], Rows] = field(default_factory=dict)

    def record(self, call: str, answer: Any) -> None:
        """An edge's rows, as one request gave them."""
        if isinstance(answer, Page):
            self.edges[call, answer.request.resource] = answer.rows

    def of(self, resource: ResourceDescriptor[Any]) -> Iterator[tuple[CallResource, Rows]]:
        """Each call with the rows of one of its edges."""
        for call in self.calls:
            yield call, self.edges.get((call.sid, resource), ())


async def trusts(client: UpstreamClient, seen: Seen, now: datetime) -> Sequence[Assumption]:
    """Every trust, tested. The comparison began at `now`. Raises UpstreamError where it fails."""
    newest = {
        each: await client.page(each.list_of(None).within(None, MAX_PAGE)) for each in RESOURCES
    }
    found = [
        *_orders(seen),
        _never_dialed(seen),
        _children_come_later(seen),
        _never_answered(seen),
        *(_inside(seen, resource, now) for resource in RESOURCES),
        _owners(seen),
        _final_states(seen, newest[CALLS], now),
        _shown_in_time(seen, newest, now),
    ]
    for resource in RESOURCES:
        found.append(await _whole_days(client, resource, newest[resource], now))
        found.append(await _links(client, resource))
    found.append(await _made_token(client, seen))
    return found


def _read(row: Any, name: str) -> Any:
    """A property; None where it cannot be read."""
    try:
        return getattr(row, name)
    except UpstreamInvalid:
        return None


def _orders(seen: Seen) -> Iterator[Assumption]:
    """Each list that was read, held against the orders that it may have."""
    for resource in RESOURCES:
        lists = [seen.calls] if resource is CALLS else [rows for _, rows in seen.of(resource)]
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


def _never_dialed(seen: Seen) -> Assumption:
    rows = [row for row in seen.calls if _read(row, "date_created")]
    undialed = [
        (above, row, below)
        for above, row, below in zip(rows, rows[1:], rows[2:], strict=False)
        if _read(row, "start_time") is None
    ]
    broken = [row.sid for above, row, below in undialed if not _is_between(above, row, below)]
    return Assumption(
        "A call that was never dialed stands in the list where it was created",
        "calls without start_time, beside their neighbours",
        len(undialed),
        tuple(broken),
    )


def _is_between(above: CallResource, row: CallResource, below: CallResource) -> bool:
    """True where a call was created between its neighbours, or before the upper one started."""
    created = _read(row, "date_created")
    newest = max(_read(above, "date_created"), _read(above, "start_time") or created)
    return bool(newest >= created >= _read(below, "date_created"))


def _children_come_later(seen: Seen) -> Assumption:
    pairs = [(parent, child) for parent, rows in seen.of(CALLS) for child in rows]
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


def _inside(seen: Seen, resource: ResourceDescriptor[Any], now: datetime) -> Assumption:
    """Rows of calls that are over, held against the window in which they are looked for."""
    count, broken = 0, []
    for call, rows in seen.of(resource):
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


def _never_answered(seen: Seen) -> Assumption:
    calls = [(call, rows) for call, rows in seen.of(CALLS) if ran_no_twiml(call)]
    return Assumption(
        "An outbound call that was never answered has no children",
        "children of such calls of the sample, each read by its parent's SID",
        len(calls),
        tuple(call.sid for call, rows in calls if rows),
    )


def _owners(seen: Seen) -> Assumption:
    resources = [each for each in RESOURCES if each is not CALLS]
    rows = [(call, row) for each in resources for call, found in seen.of(each) for row in found]
    return Assumption(
        "A call's own list holds the rows that name the call, and no others",
        "call_sid of the recordings and notifications of the sample",
        len(rows),
        tuple(row.sid for call, row in rows if _read(row, "call_sid") != call.sid),
    )


def _final_states(seen: Seen, newest: Page[Any], now: datetime) -> Assumption:
    """Of the sample, the calls that were final when it began, read again at the end."""
    again = {row.sid: row for row in newest.rows}
    settled = [row for row in seen.calls if _is_settled(row, now)][:SMALL]
    compared = [(row, again[row.sid]) for row in settled if row.sid in again]
    names = ("status", "end_time", "duration")
    return Assumption(
        "A call in a final status changes no more",
        "finished calls of the sample, read again at the end",
        len(compared),
        tuple(a.sid for a, b in compared if any(_read(a, n) != _read(b, n) for n in names)),
    )


def _shown_in_time(
    seen: Seen, newest: Mapping[ResourceDescriptor[Any], Page[Any]], now: datetime
) -> Assumption:
    """The newest rows, read at the end, of which each call's own list must have had its own."""
    settled = {row.sid for row in seen.calls if _is_settled(row, now)}
    count, broken = 0, []
    for resource, page in newest.items():
        for row in page.rows:
            owner, created = _read(row, resource.owner), _read(row, "date_created")
            shown = seen.edges.get((owner, resource), ())
            is_old = created is not None and created + SETTLED_AFTER <= now
            if owner in settled and is_old and len(shown) < MAX_PAGE:
                count += 1
                broken += [row.sid] if row.sid not in {one.sid for one in shown} else []
    return Assumption(
        "The rows of a finished call are shown 30 seconds after its end, or after they are created",
        "the newest rows of each list, read at the end, held against the calls' own lists",
        count,
        tuple(broken),
    )


def _is_settled(row: CallResource, now: datetime) -> bool:
    ended = _read(row, "end_time")
    return _read(row, "status") in FINAL and ended is not None and ended + SETTLED_AFTER <= now


async def _whole_days(
    client: UpstreamClient, resource: ResourceDescriptor[Any], page: Page[Any], now: datetime
) -> Assumption:
    """The newest day that lies whole in the list's first page, also read as that day's list."""
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
        "the newest day that is over, held against the whole list's first page",
        count,
        tuple(sorted(broken)),
    )


async def _links(client: UpstreamClient, resource: ResourceDescriptor[Any]) -> Assumption:
    """One page, also read as two smaller ones, the second by upstream's link."""
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
        "and where none is, it ends",
        f"a page of {LARGE} rows, also read as two",
        compared,
        tuple(broken),
    )


async def _made_token(client: UpstreamClient, seen: Seen) -> Assumption:
    """The rows right above a call of the sample, by a token that is made of its SID."""
    above = [row.sid for row in seen.calls[:SMALL]]
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
