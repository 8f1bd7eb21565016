"""The description of one of Twilio's resources, in one place for every room.

Planner, costs, cache, breakers, `node`, `_entities`, the cost of a document and `gateway verify`
read it. This module must not know which resources there are.

Note [Slack]. In the facts (docs/twilio.md#10-facts-for-the-planner) every recording lies inside its
call, every notification inside it or at its end. But warnings about failed callbacks come later,
conference recordings may, and clocks of two services differ. So a scan reads rows from a minute
before the call was created to `max_lag` after it ended (an hour for recordings, a day for
notifications), and upstream's filter rounds that up to whole days. A scan misses rows outside:
`gateway verify` shows whether an account has any.

Note [Immutable rows]. A call in a final status stays in it (docs/twilio.md#3-call); its price comes
later, and sometimes never. So a call is cached when it is final and priced, or ended OLD ago. A
recording likewise, when it is completed or absent. A call's list of recordings is cached when the
call ended OLD ago (a recording comes at most an hour after, Note [Slack]), the list was whole and
each of its rows is immutable. A row in doubt (an unreadable date, an unknown status) is not cached.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gateway.upstream.resources import Resource

if TYPE_CHECKING:
    from gateway.upstream.requests import FetchRequest, ListRequest

__all__ = [
    "BY_CREATION_OR_START",
    "BY_MESSAGE_OR_CREATION",
    "DateOrder",
    "ResourceDescriptor",
    "is_old",
    "never",
]

R = TypeVar("R", bound=Resource)
OLD = timedelta(days=1)
DateOrder = tuple[str, ...]
"""A date by which a list may be ordered: the first of these properties that a row has."""

BY_CREATION_OR_START: Sequence[DateOrder] = (("date_created",), ("start_time", "date_created"))
BY_MESSAGE_OR_CREATION: Sequence[DateOrder] = (("message_date",), ("date_created",))


@dataclass(frozen=True, kw_only=True, eq=False)
class ResourceDescriptor(Generic[R]):
    """One resource.

    `name` is that of its list in Twilio's responses, `type_name` that of its GraphQL type, whose
    key is the SID. `list_of` is the list of a call's rows; without a SID, of the account's.

    `owner` is the property, and the filter, that names the call. `day_filter` is the date that
    lists are filtered by; with `days_show_live` that filter keeps rows that are not yet final.
    `orders` are the dates by which lists may be ordered, `max_lag` is how long after the end of its
    call a row may be dated (Note [Slack]).

    `rows_per_call` is the prior estimate, used until the account's own rows are seen.
    `is_immutable` says whether a row is final at a moment (Note [Immutable rows]); with
    `lists_end_with_calls` so is the list of a call that ended long ago. Each of the
    `costly_properties` costs a request for each row.
    """

    name: str
    type_name: str
    sid_prefix: str
    row: type[R]
    fetch: Callable[[str], "FetchRequest[R]"]
    list_of: Callable[[str | None], "ListRequest[R]"]
    owner: str
    day_filter: str
    orders: Sequence[DateOrder]
    max_lag: timedelta
    rows_per_call: float
    is_immutable: Callable[[Any, datetime], bool]
    day_filter_keeps_live: bool = True
    lists_end_with_calls: bool = False
    costly_properties: Sequence[str] = ()


def never(_row: Any, _now: datetime) -> bool:
    """The `is_immutable` of a resource whose rows may always change."""
    return False


def is_old(moment: datetime | None, now: datetime) -> bool:
    """True for a moment at least OLD ago; False for None."""
    return moment is not None and moment + OLD <= now
