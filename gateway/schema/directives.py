"""Federation's directives on fields: what routers read of personal data, lists and costs.

Pass one as `strawberry.field(directives=...)`. This module must not know which fields have them.
"""

from collections.abc import Sequence

from strawberry.federation.schema_directives import Cost, ListSize, Tag

from gateway.schema.arguments import DEFAULT_FIRST

__all__ = ["COSTS_REQUEST", "EDGE_LIST", "PII", "ROOT_LIST"]


def _list(*slicing_arguments: str) -> Sequence[object]:
    size = ListSize(
        assumed_size=DEFAULT_FIRST,
        slicing_arguments=list(slicing_arguments),
        sized_fields=["nodes", "edges"],
        require_one_slicing_argument=False,
    )
    return (size,)


# Personal data: a contract may leave the fields out that have this tag.
PII: Sequence[object] = (Tag(name="pii"),)
# A connection holds DEFAULT_FIRST rows unless an argument says otherwise.
EDGE_LIST = _list("first")
ROOT_LIST = _list("first", "last")
# A property that costs a request for each row.
COSTS_REQUEST: Sequence[object] = (Cost(weight=1),)
