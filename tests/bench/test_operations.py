"""The benchmark of operations runs as the README says; its figures are not held by any test."""

import subprocess
import sys

from tests.bench.budget import PARTS
from tests.bench.operations import OPERATIONS


def test_the_benchmark_prints_a_line_for_each_operation() -> None:
    command = [sys.executable, "-m", "tests.bench.operations", "--rounds", "1"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603

    assert all(printed.count(name) == 2 for name in OPERATIONS), printed
    assert all(part in printed for part in PARTS), printed
