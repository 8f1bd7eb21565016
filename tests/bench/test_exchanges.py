"""The benchmark of upstream requests runs as the README says; no test holds its figures."""

import subprocess
import sys

from tests.bench.exchanges import CASES
from tests.transports import TRANSPORTS


def test_the_benchmark_prints_a_line_for_each_case() -> None:
    command = [sys.executable, "-m", "tests.bench.exchanges", "--rounds", "1"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    heading, *lines = printed.splitlines()

    assert all(via in heading for via in TRANSPORTS)
    assert [line[:28].strip() for line in lines] == list(CASES)
