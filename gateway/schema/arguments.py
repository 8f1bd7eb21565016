"""The arguments that every connection shares, and how large the first upstream page is."""

from typing import Annotated

import strawberry

__all__ = ["After", "Before", "First", "Last", "edge_page_size", "list_page_size"]

# Twilio's largest page.
MAX_PAGE_SIZE = 1000
# An edge's page has at least the rows that the default of `first` needs, so that aliases of other
# sizes share one request.
EDGE_PAGE_SIZE = 51

First = Annotated[
    int | None, strawberry.argument(description="How many rows, 0 to 1000; 50 if not given.")
]
After = Annotated[
    str | None, strawberry.argument(description="Rows after (older than) this cursor's.")
]
Last = Annotated[int | None, strawberry.argument(description="How many rows before a cursor.")]
Before = Annotated[
    str | None, strawberry.argument(description="Rows before (newer than) this cursor's.")
]


def list_page_size(size: int) -> int:
    """The upstream page for `size` rows: one row more, which tells whether others follow."""
    return min(size + 1, MAX_PAGE_SIZE)


def edge_page_size(size: int) -> int:
    """As `list_page_size`, and at least EDGE_PAGE_SIZE."""
    return max(EDGE_PAGE_SIZE, list_page_size(size))
