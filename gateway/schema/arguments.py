"""The arguments that every connection shares, and how large the first upstream page is."""

from typing import Annotated

import strawberry

__all__ = ["After", "Before", "First", "Last", "edge_page_size"]

First = Annotated[
    int | None, strawberry.argument(description="How many rows, 1 to 1000; 50 if not given.")
]
After = Annotated[
    str | None, strawberry.argument(description="Rows after (older than) this cursor's.")
]
Last = Annotated[int | None, strawberry.argument(description="How many rows before a cursor.")]
Before = Annotated[
    str | None, strawberry.argument(description="Rows before (newer than) this cursor's.")
]


def edge_page_size(size: int) -> int:
    """An edge's page is at least Twilio's usual 50, so that aliases of other sizes share it."""
    return max(50, size)
