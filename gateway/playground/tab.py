"""The example queries that GraphiQL opens in tabs on a first visit.

They are files under tabs/, so that the README and the tests use the same text.
"""

from dataclasses import dataclass
from pathlib import Path

_DIRECTORY = Path(__file__).with_name("tabs")


@dataclass(frozen=True)
class Tab:
    """One query with its variables as JSON; empty without variables."""

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
