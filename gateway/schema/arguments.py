"""The arguments that fields share, and how large a page they ask for."""

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
# An edge's page has at least the rows that the default of `first` needs, so that aliases of other
# sizes share one request.
EDGE_PAGE_SIZE = DEFAULT_FIRST + 1
# They take a few milliseconds; a request that they spare takes as long as hundreds of them. Fewer
# calls than these take few requests anyway.
SPARE_ROWS = 25

First = Annotated[
    int | None,
    strawberry.argument(
        description="How many rows: 1 to 1,000, fewer where the gateway allows fewer; 50 if not "
        "given. 0 gives an empty page."
    ),
]
After = Annotated[
    str | None, strawberry.argument(description="Rows after (older than) this cursor's.")
]
Last = Annotated[
    int | None,
    strawberry.argument(description="How many rows before a cursor; as many as `first` may have."),
]
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


def graphql_name(attribute: str) -> str:
    """The name by which clients know an attribute or an argument of ours: camelCase."""
    return re.sub("_([a-z])", lambda letter: letter[1].upper(), attribute.rstrip("_"))


def page_size(first: int | None, last: int | None, most: int) -> int:
    """How many rows a page may have: `first`, `last`, or the default.

    `most` limits all three: a default is never refused. Raises BadUserInput beyond it, or below 0.
    """
    given = [size for size in (first, last) if size is not None]
    if not all(0 <= size <= most for size in given):
        raise BadUserInput(f"first and last must be from 0 to {most}")
    return max(given, default=min(DEFAULT_FIRST, most))


def list_page_size(size: int) -> int:
    """The upstream page for `size` rows: one row more, which tells whether others follow."""
    return min(size + 1, MAX_PAGE_SIZE)


def spare_page_size(size: int) -> int:
    """As `list_page_size`, for the list of all calls where childCalls are selected, too.

    Rows of one second prove nothing about one another (Note [Newest first] in evidence): the spare
    rows are there to lead out of the second in which the page would have ended.
    """
    spare = SPARE_ROWS if size >= SPARE_ROWS else 0
    return min(list_page_size(size) + spare, MAX_PAGE_SIZE)


def edge_page_size(size: int) -> int:
    """As `list_page_size`, and at least EDGE_PAGE_SIZE."""
    return max(EDGE_PAGE_SIZE, list_page_size(size))
