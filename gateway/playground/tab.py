"""The tabs that GraphiQL opens with on a first visit: the queries that introduce a newcomer.

The queries are files under tabs/, so that the README and the tests can use the very same text.
"""

from dataclasses import dataclass
from pathlib import Path

_DIRECTORY = Path(__file__).with_name("tabs")


@dataclass(frozen=True)
class Tab:
    """One query with its variables (a JSON text, empty for none)."""

    name: str
    query: str
    variables: str

    @classmethod
    def read(cls, name: str) -> "Tab":
        query = _DIRECTORY / f"{name}.graphql"
        variables = query.with_suffix(".json")
        return cls(
            name,
            query.read_text(encoding="utf-8"),
            variables.read_text(encoding="utf-8") if variables.exists() else "",
        )


NAMES = ("calls", "call-tree", "filter", "make-call", "watch-calls")
TABS = tuple(Tab.read(name) for name in NAMES)
"""In the order in which GraphiQL shows them; the first is the README's query."""
