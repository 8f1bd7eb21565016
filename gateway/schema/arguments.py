"""The arguments that fields share, and the page sizes that they request upstream."""

import re
from typing import Annotated

import strawberry

from gateway.errors import BadUserInput

__all__ = [
    "DEFAULT_FIRST",
    "After",
    "Before",
    "CallSid",
    "First",
    "Last",
    "NodeSid",
    "edge_page_size",
    "graphql_name",
    "list_page_size",
    "page_size",
    "spare_page_size",
]

DEFAULT_FIRST = 50
# Twilio's largest page.
MAX_PAGE_SIZE = 1000
# An edge's page has at least the rows that the default of `first` needs, so that aliases with other
# sizes share one request.
EDGE_PAGE_SIZE = DEFAULT_FIRST + 1
# Reading these rows takes a few milliseconds; a request that they save takes as long as hundreds of
# rows. A page of fewer calls than these needs few requests anyway.
SPARE_ROWS = 25

First = Annotated[
    int | None,
    strawberry.argument(
        description="How many rows to return: 1 to 1,000, or the gateway's own lower limit; 50 if "
        "omitted. 0 returns an empty page."
    ),
]
After = Annotated[
    str | None, strawberry.argument(description="Returns rows after (older than) this cursor.")
]
Last = Annotated[
    int | None,
    strawberry.argument(
        description="How many rows to return before the cursor `before`; same limit as `first`."
    ),
]
Before = Annotated[
    str | None, strawberry.argument(description="Returns rows before (newer than) this cursor.")
]
CallSid = Annotated[strawberry.ID, strawberry.argument(description="The call's SID: CA….")]
NodeSid = Annotated[
    strawberry.ID,
    strawberry.argument(
        description="The SID of a call (CA…), a recording (RE…) or a notification (NO…)."
    ),
]


def graphql_name(attribute: str) -> str:
    """The GraphQL name (camelCase) of a Python attribute or argument."""
    return re.sub("_([a-z])", lambda letter: letter[1].upper(), attribute.rstrip("_"))


def page_size(first: int | None, last: int | None, most: int) -> int:
    """The rows of a page: `first`, `last`, or the default.

    `most` limits all three: the default is lowered to it. Raises BadUserInput if `first` or `last`
    is above `most` or below 0.
    """
    sizes = [size for size in (first, last) if size is not None]
    if not all(0 <= size <= most for size in sizes):
        raise BadUserInput(f"first and last must be from 0 to {most}")
    return max(sizes, default=min(DEFAULT_FIRST, most))


def list_page_size(size: int) -> int:
    """The upstream page size for `size` rows: one row more, which shows whether others follow."""
    return min(size + 1, MAX_PAGE_SIZE)


def spare_page_size(size: int) -> int:
    """As `list_page_size`, for the list of all calls if childCalls are selected, too.

    Rows of the same second prove nothing about one another (Note [Newest first] in evidence). The
    spare rows reach beyond the second in which the page would have ended.
    """
    spare = SPARE_ROWS if size >= SPARE_ROWS else 0
    return min(list_page_size(size) + spare, MAX_PAGE_SIZE)


def edge_page_size(size: int) -> int:
    """As `list_page_size`, and at least EDGE_PAGE_SIZE."""
    return max(EDGE_PAGE_SIZE, list_page_size(size))
