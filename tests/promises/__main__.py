"""Runs the tests that keep the promises and prints docs/promises.md's table with their figures.

    python -m tests.promises [-k EXPRESSION] [any other option of pytest]

Exit code 0 when every promise was kept.
"""

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from tests.promises.table import HOUSE, promises

# Figures are properties of a test, which pytest's usual family of JUnit reports does not know.
RUN = ("-m", "pytest", "-q", "-o", "junit_family=legacy")


@dataclass
class Outcome:
    """The results of the cases of one test."""

    cases: int = 0
    kept: int = 0
    figures: list[str] = field(default_factory=list)

    @property
    def measured(self) -> str:
        """Their figures; without any, how many of them passed."""
        return "; ".join(self.figures) or f"{self.kept} of {self.cases} cases"


def main(options: Sequence[str]) -> int:
    """Runs the tests and prints the table; 0 when every promise was kept."""
    rows = promises((HOUSE / "docs" / "promises.md").read_text())
    outcomes = run([row.test for row in rows], options)
    print("| promise | promised | measured | kept |\n|---|---|---|---|")
    for row in rows:
        outcome = outcomes.get(row.test)
        if outcome is not None:
            kept = "yes" if outcome.kept == outcome.cases else "**no**"
            print(f"| {row.text} | {row.figure} | {outcome.measured} | {kept} |")
    return int(any(outcome.kept < outcome.cases for outcome in outcomes.values()))


def run(tests: Sequence[str], options: Sequence[str]) -> dict[str, Outcome]:
    """The outcomes by test, `path::name`; what pytest prints goes to standard error."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, *RUN, f"--junitxml={report}", *tests, *options]
        subprocess.run(command, cwd=HOUSE, stdout=sys.stderr, check=False)  # noqa: S603
        return outcomes_of(ElementTree.parse(report).getroot())  # noqa: S314 (our own)


def outcomes_of(report: ElementTree.Element) -> dict[str, Outcome]:
    """The outcomes in a JUnit report."""
    outcomes: dict[str, Outcome] = defaultdict(Outcome)
    for case in report.iter("testcase"):
        path = case.get("classname", "").replace(".", "/") + ".py"
        name = re.split(r"[\[@]", case.get("name", ""), maxsplit=1)[0]
        outcome = outcomes[f"{path}::{name}"]
        outcome.cases += 1
        outcome.kept += all(case.find(bad) is None for bad in ("failure", "error", "skipped"))
        outcome.figures += [found.get("value", "") for found in case.iter("property")]
    return dict(outcomes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
