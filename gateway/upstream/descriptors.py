"""What the gateway knows of one of Twilio's resources, said once for every room that asks.

Planner, costs, cache, breakers, `node`, `_entities`, the cost of a document and `gateway verify`
read it here. This module must not know which resources there are.

Note [Slack]. In the facts (FACTS section 10) every recording lies inside its call, every
notification inside it or at its end; but warnings about failed callbacks come later still,
conference recordings may, and clocks of two services differ. So rows are looked for from a minute
before the call was created to `late` after it ended (an hour for recordings, a day for
notifications), and upstream rounds that up to whole days. A row outside belongs to no answer of a
scan: `gateway verify` shows whether an account has any.

Note [Cannot change]. A call in a final status stays in it (FACTS section 3); its price comes later,
and sometimes never. So a call is kept when it is final and priced, or ended OLD ago. A recording
likewise, when it is completed or absent. A call's list of recordings is kept when the call ended
OLD ago (a recording comes at most an hour after, Note [Slack]), the list was whole and each of its
rows could be kept. Whatever is in doubt (an unreadable date, an unknown status) is not kept.
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
]

R = TypeVar("R", bound=Resource)
OLD = timedelta(days=1)
DateOrder = tuple[str, ...]
"""The date by which a list may be ordered: the first of these properties that a row has."""

BY_CREATION_OR_START: Sequence[DateOrder] = (("date_created",), ("start_time", "date_created"))
BY_MESSAGE_OR_CREATION: Sequence[DateOrder] = (("message_date",), ("date_created",))


@dataclass(frozen=True, kw_only=True, eq=False)
class ResourceDescriptor(Generic[R]):
    """One resource.

    `name` is that of its list in Twilio's answers, `type_name` that of its GraphQL type, whose key
    is the SID. `list_of` is the list of a call's rows; without a SID, of the account's.

    `owner` is the property, and the filter, that names the call; `day_filter` the date that lists
    are narrowed by, and `days_show_live` tells that this leaves out no row that is not yet final.
    `orders` are the dates by which lists may be ordered, `late` is how long after the end of its
    call a row may be dated (Note [Slack]).

    `rows_per_call` is the number to expect until the account's own was seen. `cannot_change` says
    whether a row is final at a moment (Note [Cannot change]); with `lists_end_with_calls` so is the
    list of a call that ended long ago. `costly_properties` cost a request for each row.
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
    late: timedelta
    rows_per_call: float
    cannot_change: Callable[[Any, datetime], bool]
    days_show_live: bool = True
    lists_end_with_calls: bool = False
    costly_properties: Sequence[str] = ()


def is_old(moment: datetime | None, now: datetime) -> bool:
    """True for a moment OLD ago; False for none."""
    return moment is not None and moment + OLD <= now
