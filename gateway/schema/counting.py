"""Counts the rows of a list, as far as the caller pays for it.

Twilio has no totals, so a count reads the rows. This module must not know what the rows are.

Note [Counts]. A count is of the whole list, whatever page of it is selected. It reads
`upTo` rows, and looks whether there is one more. A count is exact if there is none, and all rows
were readable; else the list has at least so many rows.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Generic, TypeVar

import strawberry

from gateway.errors import BadUserInput
from gateway.schema.merging import Merge
from gateway.schema.scalars import described_enum
from gateway.schema.streams import ListSource
from gateway.upstream.pages import Budget, ReadPage
from gateway.upstream.requests import ListRequest, Page
from gateway.upstream.resources import Resource

__all__ = ["DEFAULT_UP_TO", "Counter", "RowCount", "UpTo", "checked_up_to"]

R = TypeVar("R", bound=Resource)
DEFAULT_UP_TO = 1000

UpTo = Annotated[
    int | None,
    strawberry.argument(
        description="How many rows to count at most, from 1: counting costs the rows that it may "
        "read."
    ),
]


class RowCountPrecision(Enum):
    """What is known of the number."""

    EXACT = "exact"
    AT_LEAST = "at-least"


described_enum(
    RowCountPrecision,
    "Whether a count is the number of rows, or a lower bound.",
    {
        RowCountPrecision.EXACT: "The list has exactly so many rows.",
        RowCountPrecision.AT_LEAST: "The list has at least so many rows: it was counted up to "
        "`upTo`, it was cut short, or some rows could not be read.",
    },
)


@strawberry.type(description="The number of rows of a list, as far as it was counted.")
class RowCount:
    """See Note [Counts]."""

    value: int = strawberry.field(description="The number of rows.")
    precision: RowCountPrecision = strawberry.field(
        description="Whether there are exactly so many, or at least."
    )

    @classmethod
    def of(cls, rows: int, up_to: int, *, is_whole: bool) -> "RowCount":
        """The count of these rows; `is_whole` if the list has no others."""
        is_exact = is_whole and rows <= up_to
        precision = RowCountPrecision.EXACT if is_exact else RowCountPrecision.AT_LEAST
        return cls(value=min(rows, up_to), precision=precision)


class Counter(Generic[R]):
    """Counts the rows of these lists from the top. `rows` is right also if counting raises."""

    def __init__(self, read: ReadPage[R], lists: Iterable[ListRequest[R]], budget: Budget) -> None:
        self.rows = 0
        self._read = read
        self._left_out = 0
        self.merge = Merge([ListSource(self._read_page, each, budget) for each in lists])

    async def is_all_within(self, up_to: int) -> bool:
        """True if the lists have `up_to` rows or fewer, and no row that is unreadable.

        Raises as reading a page does.
        """
        while self.rows < up_to:
            if await self.merge.next() is None:
                return not self._left_out
            self.rows += 1
        return not await self.merge.has_more() and not self._left_out

    async def _read_page(self, request: ListRequest[R]) -> Page[R]:
        page = await self._read(request)
        self._left_out += page.left_out
        return page


def checked_up_to(up_to: int | None) -> int:
    """The number of rows to count at most. Raises BadUserInput if it is below 1."""
    if up_to is not None and up_to < 1:
        raise BadUserInput("upTo must be 1 or more")
    return DEFAULT_UP_TO if up_to is None else up_to
