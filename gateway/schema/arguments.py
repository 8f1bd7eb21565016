"""The arguments that fields share, and how large the first upstream page is."""

from typing import Annotated

import strawberry

__all__ = ["After", "Before", "CallSid", "First", "Last", "NodeSid", "edge_page_size"]

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
CallSid = Annotated[strawberry.ID, strawberry.argument(description="The call's SID: CA….")]
NodeSid = Annotated[
    strawberry.ID,
    strawberry.argument(
        description="The SID of a call (CA…), a recording (RE…) or a notification (NO…)."
    ),
]


def edge_page_size(size: int) -> int:
    """An edge's page is at least Twilio's usual 50, so that aliases of other sizes share it."""
    return max(50, size)
