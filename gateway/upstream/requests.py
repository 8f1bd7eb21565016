"""Requests as values: what can be asked of Twilio's Calls API, frozen and hashable.

Two requests that are equal are one request; they can be planned, counted, merged and printed with
no HTTP at all. A list request states exactly which rows are wanted; its `query` is the widest
filter that upstream can answer, and `matches` holds every row against the exact one again.
This module must not know how a request is sent.

Note [Whole days]. Upstream filters dates by whole GMT days, silently ignores a parameter that it
does not know, and `StartTime<=D` stops at midnight at the start of D (FACTS 1.2-1.4). So upstream
is asked for whole days, from the day of `gte` to the day after the last wanted instant, and the
rows are checked to the second here: right under every reading of Twilio's bounds.
"""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar, Generic, Self, TypeVar

from gateway.errors import BadUserInput, UpstreamInvalid
from gateway.upstream.resources import (
    CallResource,
    CallStatus,
    LazyField,
    NotificationLevel,
    NotificationResource,
    RecordingResource,
    Resource,
)

__all__ = [
    "API_ROOT",
    "ONE_DAY",
    "TOP",
    "DateTimeRange",
    "FetchCall",
    "FetchNotification",
    "FetchRecording",
    "FetchRequest",
    "ListCalls",
    "ListNotifications",
    "ListRecordings",
    "ListRequest",
    "Page",
    "PageRef",
    "check_sid",
    "midnight",
]

R = TypeVar("R", bound=Resource)
Query = tuple[tuple[str, str], ...]
ONE_DAY = timedelta(days=1)
API_ROOT = "/2010-04-01/Accounts/"


def midnight(day: date) -> datetime:
    """The moment at which a GMT day begins."""
    return datetime.combine(day, time(), UTC)


def check_sid(prefix: str, value: str) -> str:
    """The SID itself. Raises BadUserInput unless it is `prefix` and 32 hexadecimal digits."""
    if not re.fullmatch(prefix + "[0-9a-fA-F]{32}", value):
        raise BadUserInput(f"A SID here is {prefix} and 32 hexadecimal digits")
    return value


@dataclass(frozen=True, slots=True)
class DateTimeRange:
    """Instants from `gte` on and before `lt`, both UTC; None is open."""

    gte: datetime | None = None
    lt: datetime | None = None

    @classmethod
    def day(cls, day: date) -> Self:
        """The whole GMT day."""
        return cls(midnight(day), midnight(day) + ONE_DAY)

    def holds(self, moment: datetime | None) -> bool:
        """True when the moment is inside; no moment is never inside."""
        if moment is None:
            return False
        return (self.gte is None or self.gte <= moment) and (self.lt is None or moment < self.lt)

    def is_whole_days(self) -> bool:
        """True when upstream's whole days are exactly this range."""
        return all(edge is None or edge.time() == time() for edge in (self.gte, self.lt))

    def query(self, name: str) -> Query:
        """The widest day filter that holds this range, under parameter `name`, `name>`, `name<`."""
        since = self.gte.date() if self.gte else None
        until = _first_day_past(self.lt) if self.lt else None
        if since and until and until - since == ONE_DAY:
            return ((name, since.isoformat()),)
        edges = ((f"{name}<", until), (f"{name}>", since))
        return tuple((edge, day.isoformat()) for edge, day in edges if day)


def _first_day_past(lt: datetime) -> date | None:
    """None where that day is beyond the range of dates: then no day has to be held off."""
    if lt.time() == time():
        return lt.date()
    return lt.date() + ONE_DAY if lt.date() < date.max else None


@dataclass(frozen=True, slots=True)
class PageRef:
    """Which page of a list: upstream's opaque PageToken, and its index for upstream's own use."""

    index: int = 0
    token: str | None = None

    @classmethod
    def after(cls, sid: str) -> Self:
        """The page that follows a row, as upstream's links name it (FACTS section 5)."""
        return cls(1, f"PA{sid}")

    @classmethod
    def before(cls, sid: str) -> Self:
        """The page that precedes a row, as upstream's links name it (FACTS section 5)."""
        return cls(1, f"PB{sid}")

    @property
    def place(self) -> str | int:
        """What tells one page of a list from another: the token decides where there is one."""
        return self.index if self.token is None else self.token

    def query(self) -> Query:
        """Page and PageToken; nothing for the first page."""
        if self.token is None:
            return (("Page", str(self.index)),) if self.index else ()
        return (("Page", str(self.index)), ("PageToken", self.token))


TOP = PageRef()


@dataclass(frozen=True, kw_only=True)
class FetchRequest(Generic[R]):
    """GET of one resource by SID. The answer is its row, or None when Twilio answers 404."""

    kind: ClassVar[str]
    row: ClassVar[type[Any]]
    sid: str

    @property
    @abstractmethod
    def path(self) -> str:
        """Relative to the account, without suffix."""

    @property
    def query(self) -> Query:
        """None: an instance takes no parameters."""
        return ()


@dataclass(frozen=True, kw_only=True)
class FetchCall(FetchRequest[CallResource]):
    """GET Calls/{sid} (seed: "Returns the single Call resource")."""

    kind = "calls"
    row = CallResource

    def __post_init__(self) -> None:
        check_sid("CA", self.sid)

    @property
    def path(self) -> str:
        return f"Calls/{self.sid}"


@dataclass(frozen=True, kw_only=True)
class FetchRecording(FetchRequest[RecordingResource]):
    """GET Recordings/{sid}, or Calls/{call_sid}/Recordings/{sid}: only the latter has `track`."""

    kind = "recordings"
    row = RecordingResource
    call_sid: str | None = None

    def __post_init__(self) -> None:
        check_sid("RE", self.sid)

    @property
    def path(self) -> str:
        return f"{_of_call(self.call_sid)}Recordings/{self.sid}"


@dataclass(frozen=True, kw_only=True)
class FetchNotification(FetchRequest[NotificationResource]):
    """GET Notifications/{sid}: the form that has the request's variables and the response."""

    kind = "notifications"
    row = NotificationResource

    def __post_init__(self) -> None:
        check_sid("NO", self.sid)

    @property
    def path(self) -> str:
        return f"Notifications/{self.sid}"


def _of_call(call_sid: str | None) -> str:
    return "" if call_sid is None else f"Calls/{check_sid('CA', call_sid)}/"


@dataclass(frozen=True, kw_only=True)
class ListRequest(Generic[R]):
    """GET of one page of a list. `page_size` is rows a page, 1 to 1000 (Twilio's maximum)."""

    kind: ClassVar[str]
    row: ClassVar[type[Any]]
    page_size: int = 50
    page: PageRef = TOP

    @property
    @abstractmethod
    def path(self) -> str:
        """Relative to the account, without suffix."""

    @abstractmethod
    def filters(self) -> Query:
        """The widest filter that upstream can answer."""

    @abstractmethod
    def verdict(self, row: R) -> bool | None:
        """Whether the row is exactly one that is wanted; None where it does not say."""

    def matches(self, row: R) -> bool:
        """True for a row of upstream's answer that is wanted.

        One that does not say is: upstream found it for this filter.
        """
        return self.verdict(row) is not False

    def is_exact(self) -> bool:
        """True when upstream's answer to `filters` needs no row taken out."""
        return True

    @property
    def is_personal(self) -> bool:
        """True when a filter names somebody: its answer tells whether they are there."""
        return False

    @property
    def query(self) -> Query:
        """Filters, PageSize and, past the first page, Page and PageToken."""
        return (*self.filters(), ("PageSize", str(self.page_size)), *self.page.query())

    def at(self, page: PageRef, page_size: int | None = None) -> Self:
        """The same list at another page, of another size where the page is not a mere number."""
        is_number = page.token is None and page != TOP
        size = None if is_number else page_size
        return replace(self, page=page, page_size=size or self.page_size)

    @property
    def list(self) -> Self:
        """The list as such: equal for every page and page size of it."""
        return replace(self, page=TOP, page_size=0)


def _equals(wanted: Any) -> Callable[[Any], bool]:
    return lambda value: bool(value == wanted)


def _verdict(row: Resource, conditions: Iterable[tuple[str, Callable[[Any], bool]]]) -> bool | None:
    """False where one condition fails, else None where the row does not tell of one, else True."""
    verdict: bool | None = True
    for attribute, holds in conditions:
        wire: LazyField[Any] = getattr(type(row), attribute)
        try:
            if not holds(wire.told(row)):
                return False
        except UpstreamInvalid:
            verdict = None
    return verdict


@dataclass(frozen=True, kw_only=True)
class ListCalls(ListRequest[CallResource]):
    """GET Calls, with the filters of the seed document and EndTime (FACTS section 5)."""

    kind = "calls"
    row = CallResource
    to: str | None = None
    from_: str | None = None
    status: CallStatus | None = None
    start_time: DateTimeRange | None = None
    end_time: DateTimeRange | None = None
    parent_call_sid: str | None = None

    def __post_init__(self) -> None:
        if self.parent_call_sid is not None:
            check_sid("CA", self.parent_call_sid)

    @property
    def path(self) -> str:
        return "Calls"

    def filters(self) -> Query:
        plain = (
            ("To", self.to),
            ("From", self.from_),
            ("Status", self.status.value if self.status else None),
            ("ParentCallSid", self.parent_call_sid),
        )
        return (
            *((name, value) for name, value in plain if value is not None),
            *(self.start_time.query("StartTime") if self.start_time else ()),
            *(self.end_time.query("EndTime") if self.end_time else ()),
        )

    def verdict(self, row: CallResource) -> bool | None:
        plain = (
            ("to", self.to),
            ("from_", self.from_),
            ("status", self.status),
            ("parent_call_sid", self.parent_call_sid),
        )
        ranges = (("start_time", self.start_time), ("end_time", self.end_time))
        return _verdict(
            row,
            (
                *((name, _equals(value)) for name, value in plain if value is not None),
                *((name, range_.holds) for name, range_ in ranges if range_),
            ),
        )

    def with_status(self, status: CallStatus) -> Self:
        """The same list, of calls in this state only."""
        return replace(self, status=status)

    @property
    def is_personal(self) -> bool:
        return self.to is not None or self.from_ is not None

    def is_exact(self) -> bool:
        return all(range_.is_whole_days() for range_ in (self.start_time, self.end_time) if range_)


@dataclass(frozen=True, kw_only=True)
class ListRecordings(ListRequest[RecordingResource]):
    """GET Calls/{call_sid}/Recordings (seed: "a list of recordings generated during the call").

    Without `call_sid` the account's, narrowed to the whole days of `date_created`. `with_track`
    asks for rows that have a `track`, which only a call's own list gives (FACTS 1.8).
    """

    kind = "recordings"
    row = RecordingResource
    call_sid: str | None = None
    date_created: DateTimeRange | None = None
    with_track: bool = False

    @property
    def path(self) -> str:
        return f"{_of_call(self.call_sid)}Recordings"

    def filters(self) -> Query:
        return self.date_created.query("DateCreated") if self.date_created else ()

    def verdict(self, row: RecordingResource) -> bool | None:
        of_call = (("call_sid", _equals(self.call_sid)),) if self.call_sid is not None else ()
        return _verdict(row, of_call)


@dataclass(frozen=True, kw_only=True)
class ListNotifications(ListRequest[NotificationResource]):
    """GET Calls/{call_sid}/Notifications (seed: "notifications generated during the call").

    Without `call_sid` the account's, narrowed to the whole days of `message_date`.
    """

    kind = "notifications"
    row = NotificationResource
    call_sid: str | None = None
    message_date: DateTimeRange | None = None
    log: NotificationLevel | None = None

    @property
    def path(self) -> str:
        return f"{_of_call(self.call_sid)}Notifications"

    def filters(self) -> Query:
        level = (("Log", self.log.value),) if self.log else ()
        return level + (self.message_date.query("MessageDate") if self.message_date else ())

    def verdict(self, row: NotificationResource) -> bool | None:
        plain = (("call_sid", self.call_sid), ("log", self.log))
        return _verdict(row, ((name, _equals(value)) for name, value in plain if value is not None))


@dataclass(frozen=True)
class Page(Generic[R]):
    """One page as read: the rows that match, and the pages beside it.

    `request` is what was asked, `rows_read` how many rows upstream sent, `left_out` how many of
    these had no readable SID (such a page proves nothing), `sids` the SIDs of all others in their
    order, wanted or not; `seconds` is what it took from sending to the last byte.
    """

    request: ListRequest[R]
    rows: tuple[R, ...]
    next: PageRef | None = None
    previous: PageRef | None = None
    rows_read: int = 0
    left_out: int = 0
    seconds: float = 0.0
    sids: tuple[str, ...] = ()

    @property
    def is_exact(self) -> bool:
        """True when upstream's own filter was the wanted one and upstream kept to it."""
        return self.request.is_exact() and self.rows_read == len(self.rows)
