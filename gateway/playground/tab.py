"""The example queries that GraphiQL opens in tabs on a first visit.

They are files under tabs/, so that the README and the tests use the same text. Files under
tabs/account/ replace those of the same name over a real account, where a call costs money.
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
    def read(cls, name: str, *directories: Path) -> "Tab":
        """From the first of the directories that has the file, for each of the two files."""
        return cls(name, _text(f"{name}.graphql", directories), _text(f"{name}.json", directories))


def _text(name: str, directories: tuple[Path, ...]) -> str:
    paths = (directory / name for directory in directories)
    found = next((path for path in paths if path.exists()), None)
    return found.read_text(encoding="utf-8") if found else ""


NAMES = ("calls", "call-tree", "filter", "make-call", "watch-calls")
TABS = tuple(Tab.read(name, _DIRECTORY) for name in NAMES)
"""Over the sandbox, in the order in which GraphiQL shows them; the first is the README's query."""
ACCOUNT_TABS = tuple(Tab.read(name, _DIRECTORY / "account", _DIRECTORY) for name in NAMES)
"""Over a real account: the same operations."""
