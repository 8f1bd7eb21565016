"""Relay's Node: an object that can be fetched again by its id, which is its SID.

See docs/design/schema.md#2-the-sid-is-the-global-id.
"""

import strawberry

__all__ = ["Node"]


@strawberry.interface(description="An object with a global id (Relay).")
class Node:
    """The SID's two letters give the type, so the id needs no encoding."""

    id: strawberry.ID = strawberry.field(description="The SID.")
