"""docs/promises.md as rows, for its tests and for `python -m tests.promises`."""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HOUSE", "Promise", "promises"]

HOUSE = Path(__file__).parents[2]
ROW = re.compile(r"^\| (?P<text>.+) \| (?P<figure>.+) \| `(?P<test>[^`]+)` \|$", re.M)


@dataclass(frozen=True)
class Promise:
    """One row: what is promised, by which figure, and the test that keeps it, `path::name`."""

    text: str
    figure: str
    test: str


def promises(document: str) -> list[Promise]:
    """The rows of the tables in a Markdown document."""
    return [Promise(**row.groupdict()) for row in ROW.finditer(document)]
