"""Requests to Twilio's Calls API as values, frozen and hashable.

Two equal requests are one request; they can be planned, counted, merged and printed without HTTP. A
list request has an exact filter. Its `query` is the narrowest filter of upstream's that covers it,
and `matches` checks every row against the exact one. This module must not know how a request is
sent.
"""

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, partial
from operator import eq, itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import msgspec

from gateway.errors import BadUserInput, UpstreamInvalid
from gateway.upstream.date_ranges import DateTimeRange, Query
from gateway.upstream.descriptors import ResourceDescriptor
from gateway.upstream.resources import LazyField, Resource

__all__ = [
    "API_ROOT",
    "FIRST_PAGE",
    "FetchRequest",
    "ListRequest",
    "Page",
    "PageRef",
    "check_sid",
    "conditions",
    "lazily",
    "of_call",
]

R = TypeVar("R", bound=Resource)
Conditions = Sequence[tuple[str, Callable[[Any], bool]]]
"""Properties, and what the value of each has to be."""
NO_RANGES: Mapping[str, DateTimeRange] = MappingProxyType({})
API_ROOT = "/2010-04-01/Accounts/"


def check_sid(prefix: str, value: str) -> str:
    """The SID itself. Raises BadUserInput unless it is `prefix` and 32 hexadecimal digits."""
    if not re.fullmatch(prefix + "[0-9a-fA-F]{32}", value):
        raise BadUserInput(f"A SID here is {prefix} and 32 hexadecimal digits")
    return value


@dataclass(frozen=True, slots=True)
class PageRef:
    """A page of a list: upstream's opaque PageToken, and the page's index for upstream's use."""

    index: int = 0
    token: str | None = None

    @classmethod
    def after(cls, sid: str) -> Self:
        """The page that follows a row, as upstream's links name it (docs/twilio.md#5-lists)."""
        return cls(1, f"PA{sid}")

    @classmethod
    def before(cls, sid: str) -> Self:
        """The page that precedes a row, as upstream's links name it (docs/twilio.md#5-lists)."""
        return cls(1, f"PB{sid}")

    @property
    def key(self) -> str | int:
        """Identifies the page within its list: the token if there is one, else the index."""
        return self.index if self.token is None else self.token

    def query(self) -> Query:
        """Page and PageToken; nothing for the first page."""
        if self.token is None:
            return (("Page", str(self.index)),) if self.index else ()
        return (("Page", str(self.index)), ("PageToken", self.token))


FIRST_PAGE = PageRef()


if TYPE_CHECKING:
    from functools import cached_property as lazily
else:

    class lazily:  # noqa: N801 (as cached_property)
        """cached_property without the lock of Python 3.11, which costs more than these values."""

        def __init__(self, compute: Callable[[Any], Any]) -> None:
            self._compute, self._name = compute, compute.__name__
            self.__doc__ = compute.__doc__

        def __get__(self, owner: Any, kind: type) -> Any:
            value = vars(owner)[self._name] = self._compute(owner)
            return value


class RequestValue:
    """A request that is equal to another of its class with equal fields.

    Requests are keys of many dictionaries, so each computes its hash once.
    """

    _hash: int

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            vars(self)["_hash"] = hash((type(self), self._values_of()(vars(self))))
            return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, RequestValue) or type(other) is not type(self):
            return False
        values_of = self._values_of()
        return bool(values_of(vars(self)) == values_of(vars(other)))

    def _with(self, **changes: Any) -> Self:
        """As dataclasses.replace, for changes that need no check: it takes a tenth of the time."""
        other = object.__new__(type(self))
        vars(other).update(zip(self._names(), self._values_of()(vars(self)), strict=True))
        vars(other).update(changes)
        return other

    @classmethod
    @cache
    def _names(cls) -> tuple[str, ...]:
        own_class: Any = cls
        return tuple(each.name for each in fields(own_class))

    @classmethod
    @cache
    def _values_of(cls) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
        """Reads the values of the fields, of which there are several."""
        return itemgetter(*cls._names())


@dataclass(frozen=True, kw_only=True, eq=False)
class FetchRequest(RequestValue, Generic[R]):
    """GET of one resource by SID. The result is its row, or None when Twilio answers 404."""

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
        """Empty: a single resource takes no parameters."""
        return ()


def of_call(call_sid: str | None) -> str:
    """The beginning of a path below a call; empty for the account. Raises BadUserInput."""
    return "" if call_sid is None else f"Calls/{check_sid('CA', call_sid)}/"


@dataclass(frozen=True, kw_only=True, eq=False)
class ListRequest(RequestValue, Generic[R]):
    """GET of one page of a list. `page_size` is in rows, 1 to 1000 (Twilio's maximum)."""

    resource: ClassVar[ResourceDescriptor[Any]]
    page_size: int = 50
    page: PageRef = FIRST_PAGE

    @property
    def kind(self) -> str:
        """The resource's name."""
        return self.resource.name

    @lazily
    def owner(self) -> str | None:
        """The SID of the call whose rows the list has; None for those of the account."""
        sid: str | None = getattr(self, self.resource.owner)
        return sid

    @property
    def days(self) -> DateTimeRange | None:
        """The range of time that the list is filtered by; None for all days."""
        days: DateTimeRange | None = getattr(self, self.resource.day_filter)
        return days

    @property
    @abstractmethod
    def path(self) -> str:
        """Relative to the account, without suffix."""

    @abstractmethod
    def filters(self) -> Query:
        """The narrowest filter of upstream's that covers the exact one."""

    @abstractmethod
    def exact_filter(self) -> Conditions:
        """What a row must be to match, besides being one of the owner's."""

    @lazily
    def _filter(self) -> Conditions:
        return self.exact_filter()

    def refining_conditions(self) -> Conditions:
        """What a match must show besides, which upstream cannot filter by."""
        return ()

    @lazily
    def _refining(self) -> Conditions:
        return self.refining_conditions()

    @property
    def has_filter(self) -> bool:
        """False where every row of the owner matches."""
        return bool(self._filter or self._refining)

    @lazily
    def _conditions(self) -> Conditions:
        return [*conditions({self.resource.owner: self.owner}), *self._filter]

    def is_match(self, row: R) -> bool | None:
        """Whether the row matches the exact filter.

        False where one condition fails, else None where a property is unreadable, else True. A row
        that does not show what refines the list fails, too: upstream did not select it by that.
        """
        if self._refining and not self._is_refined(row):
            return False
        is_match: bool | None = True
        for attribute, holds in self._conditions:
            field: LazyField[Any] = getattr(self.resource.row, attribute)
            try:
                if not holds(field.strict_value(row)):
                    return False
            except UpstreamInvalid:
                is_match = None
        return is_match

    def _is_refined(self, row: R) -> bool:
        try:
            return all(holds(getattr(row, attribute)) for attribute, holds in self._refining)
        except UpstreamInvalid:
            return False

    def matches(self, row: R) -> bool:
        """True unless the row fails the exact filter.

        A row in doubt matches, because upstream's own filter selected it.
        """
        return self.is_match(row) is not False

    def is_exact(self) -> bool:
        """True when upstream's `filters` are the exact filter, so that no row has to be removed."""
        return True

    def is_past(self, _rows: Sequence[R]) -> bool:
        """True where these rows, read from one page, show that no row below them matches."""
        return False

    @property
    def names_person(self) -> bool:
        """True when a filter names a person (To, From): the result reveals whether they call."""
        return False

    @property
    def query(self) -> Query:
        """Filters, PageSize and, past the first page, Page and PageToken."""
        return (*self.filters(), ("PageSize", str(self.page_size)), *self.page.query())

    def at(self, page: PageRef, page_size: int | None = None) -> Self:
        """The same list at another page; a page by number keeps its size."""
        is_number = page.token is None and page != FIRST_PAGE
        size = None if is_number else page_size
        return self._with(page=page, page_size=size or self.page_size)

    @lazily
    def list(self) -> Self:
        """The identity of the list: equal for all of its pages and page sizes."""
        return self._with(page=FIRST_PAGE, page_size=0)

    @lazily
    def account_list(self) -> Self | None:
        """The account's list of all days, which holds every row of this one, too.

        None where only the call's own list has the properties.
        """
        whole: dict[str, Any] = {self.resource.owner: None, self.resource.day_filter: None}
        return self._with(**whole, page=FIRST_PAGE, page_size=0)

    @lazily
    def edge(self) -> tuple[str, Self] | None:
        """The SID of the call whose edge this is, and the account list that also holds its rows.

        None where it is not an edge's first page, or only the call's own list has the rows.
        """
        if self.owner is None or not self.is_first_page or self.account_list is None:
            return None
        return self.owner, self.account_list

    @lazily
    def is_first_page(self) -> bool:
        """True for the page at the list's top."""
        return self.page == FIRST_PAGE

    def of(self, call: Resource) -> Self:
        """The same list of another call's rows."""
        other = object.__new__(type(self))
        vars(other).update(self._shared)
        vars(other)[self.resource.owner] = vars(other)["owner"] = call.sid
        return other

    @lazily
    def _shared(self) -> dict[str, Any]:
        """What this list and the lists `of` other calls have in common."""
        values = zip(self._names(), self._values_of()(vars(self)), strict=True)
        derived = ("account_list", "is_first_page", "_filter", "_refining")
        return dict(values) | {name: getattr(self, name) for name in derived}

    def within(self, days: DateTimeRange | None, page_size: int) -> Self:
        """The same list, filtered by this range of time; None is all days."""
        narrowed: dict[str, Any] = {self.resource.day_filter: days, "page_size": page_size}
        return self._with(**narrowed)


def conditions(
    values: Mapping[str, Any], ranges: Mapping[str, DateTimeRange | None] = NO_RANGES
) -> Conditions:
    """A row has these values, and its dates are in these ranges; None is no condition."""
    return [
        *((name, partial(eq, value)) for name, value in values.items() if value is not None),
        *((name, range_.contains) for name, range_ in ranges.items() if range_ is not None),
    ]


class Page(msgspec.Struct, Generic[R], frozen=True):
    """One page as read: the rows that match, and the next and previous page.

    `rows_read` is how many rows upstream sent, and `left_out` how many of these had no readable SID
    (such a page proves nothing). `sids` are the SIDs of all others in order, whether they match or
    not. `seconds` is the time from sending `request` to the last byte.
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
        """True when upstream's own filter was the exact one and upstream kept to it."""
        return self.request.is_exact() and self.rows_read == len(self.rows)
