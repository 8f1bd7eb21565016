"""Switches for what Twilio's documentation leaves open and what people have reported.

The enums list behaviours that were observed or are possible; `Switches` describes one upstream.
"""

from dataclasses import dataclass
from datetime import date
from enum import Enum

__all__ = [
    "BackNumber",
    "Order",
    "Switches",
    "Tail",
    "Ties",
    "Tokens",
    "Undated",
    "Until",
]


class Order(Enum):
    """The order of a list of calls (docs/twilio.md#5-lists: observed, never promised)."""

    CREATED = "newest date_created first"
    STARTED = "newest start_time first"
    OLDEST_FIRST = "oldest date_created first"


class Ties(Enum):
    """The order of rows of one second."""

    SID_UP = "sid, ascending"
    SID_DOWN = "sid, descending"
    PARENT_ABOVE = "a parent above its children"
    PARENT_BELOW = "a parent below its children"


class Undated(Enum):
    """The position of a call that never started in a list ordered by start_time."""

    BY_CREATION = "by its date_created"
    FIRST_PAGE = "at the top"
    BOTTOM = "at the end"


class Tokens(Enum):
    """How links name a page."""

    SIDS = "PA or PB and a SID"
    OPAQUE = "a text without a SID in it"
    NUMBERS = "Page=N, without a token"


class Tail(Enum):
    """The next page of the last page with rows."""

    NONE = "none"
    EMPTY = "an empty page, the last"
    SAME = "an empty page that names itself"
    AGAIN = "itself"
    FIRST = "the first page"
    ENDLESS = "an empty page that names another one, for ever"


class BackNumber(Enum):
    """The Page number of a previous link."""

    COUNTED = "one less"
    ZERO = "0"
    ONE = "1"


class Until(Enum):
    """What `StartTime<=D` includes (docs/twilio.md#5-lists, date semantics)."""

    MIDNIGHT_TOO = "moments up to the midnight at which D begins"
    BEFORE_MIDNIGHT = "moments before the midnight at which D begins"
    WHOLE_DAY = "days up to D"


@dataclass(frozen=True)
class Switches:
    """How an upstream behaves where the documentation leaves it open. The defaults follow FACTS."""

    order: Order = Order.CREATED
    ties: Ties = Ties.SID_DOWN
    undated: Undated = Undated.BY_CREATION
    tokens: Tokens = Tokens.SIDS
    tail: Tail = Tail.NONE
    previous_by_number: bool = True
    back_number: BackNumber = BackNumber.COUNTED
    largest_page: int = 1000
    ragged: bool = False
    empties: int = 0
    repeats: bool = False
    until: Until = Until.MIDNIGHT_TOO
    undated_in_ranges: bool = False
    ignored: frozenset[str] = frozenset()
    refused_before: date | None = None

    def __repr__(self) -> str:
        plain = Switches()
        given = {k: v for k, v in vars(self).items() if v != getattr(plain, k)}
        return f"Switches({', '.join(f'{name}={value}' for name, value in given.items())})"
