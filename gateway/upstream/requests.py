"""Requests as values: what can be asked of Twilio's Calls API, frozen and hashable.

Two requests that are equal are one request; they can be planned, counted, merged and printed with
no HTTP at all. A list request states exactly which rows are wanted; its `query` is the widest
filter that upstream can answer, and `matches` holds every row against the exact one again.
This module must not know how a request is sent.
"""

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from operator import eq
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Self, TypeVar

from gateway.errors import BadUserInput, UpstreamInvalid
from gateway.upstream.date_ranges import DateTimeRange, Query
from gateway.upstream.descriptors import ResourceDescriptor
from gateway.upstream.resources import LazyField, Resource

__all__ = [
    "API_ROOT",
    "TOP",
    "FetchRequest",
    "ListRequest",
    "Page",
    "PageRef",
    "check_sid",
    "of_call",
    "verdict_of",
]

R = TypeVar("R", bound=Resource)
NO_RANGES: Mapping[str, DateTimeRange] = MappingProxyType({})
API_ROOT = "/2010-04-01/Accounts/"


def check_sid(prefix: str, value: str) -> str:
    """The SID itself. Raises BadUserInput unless it is `prefix` and 32 hexadecimal digits."""
    if not re.fullmatch(prefix + "[0-9a-fA-F]{32}", value):
        raise BadUserInput(f"A SID here is {prefix} and 32 hexadecimal digits")
    return value


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

    resource: ClassVar[ResourceDescriptor[Any]]
    sid: str

    @property
    def kind(self) -> str:
        """The resource's name."""
        return self.resource.name

    def __post_init__(self) -> None:
        check_sid(self.resource.sid_prefix, self.sid)

    @property
    @abstractmethod
    def path(self) -> str:
        """Relative to the account, without suffix."""

    @property
    def query(self) -> Query:
        """None: an instance takes no parameters."""
        return ()


def of_call(call_sid: str | None) -> str:
    """The beginning of a path below a call; nothing at the account. Raises BadUserInput."""
    return "" if call_sid is None else f"Calls/{check_sid('CA', call_sid)}/"


@dataclass(frozen=True, kw_only=True)
class ListRequest(Generic[R]):
    """GET of one page of a list. `page_size` is rows a page, 1 to 1000 (Twilio's maximum)."""

    resource: ClassVar[ResourceDescriptor[Any]]
    page_size: int = 50
    page: PageRef = TOP

    @property
    def kind(self) -> str:
        """The resource's name."""
        return self.resource.name

    @property
    def owner(self) -> str | None:
        """The SID of the call whose rows are wanted; None for those of the account."""
        sid: str | None = getattr(self, self.resource.owner)
        return sid

    @property
    def days(self) -> DateTimeRange | None:
        """The time that the list is narrowed to."""
        days: DateTimeRange | None = getattr(self, self.resource.day_filter)
        return days

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

    @property
    def account_list(self) -> Self | None:
        """The account's list, of all days, that also holds every row of this one.

        None where only the call's own list has what is wanted.
        """
        return self.of_owner(None).within(None, 0).list

    def of_owner(self, call_sid: str | None) -> Self:
        """The same list, of the rows of this call only; None: of the account's."""
        owner: dict[str, Any] = {self.resource.owner: call_sid}
        return replace(self, **owner)

    def within(self, days: DateTimeRange | None, page_size: int) -> Self:
        """The same list, narrowed to this time; None: of all days."""
        narrowed: dict[str, Any] = {self.resource.day_filter: days, "page_size": page_size}
        return replace(self, **narrowed)


def verdict_of(
    row: Resource,
    values: Mapping[str, Any],
    ranges: Mapping[str, DateTimeRange | None] = NO_RANGES,
) -> bool | None:
    """Whether the row has these values, and its dates are in these ranges; None wants nothing.

    False where one condition fails, else None where the row does not tell of one, else True.
    """
    conditions: dict[str, Callable[[Any], bool]] = {
        **{name: partial(eq, value) for name, value in values.items() if value is not None},
        **{name: range_.holds for name, range_ in ranges.items() if range_ is not None},
    }
    verdict: bool | None = True
    for attribute, holds in conditions.items():
        field: LazyField[Any] = getattr(type(row), attribute)
        try:
            if not holds(field.told(row)):
                return False
        except UpstreamInvalid:
            verdict = None
    return verdict


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
