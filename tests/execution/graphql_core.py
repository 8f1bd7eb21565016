"""graphql-core's own tests of execution, run by the compiled executor.

    python -m tests.execution.graphql_core

The tests are in its source distribution, which is fetched each time and never kept. The module is
also the pytest plugin that replaces the executor of graphql-core. Some tests are about operations
that are left to graphql-core (incremental delivery, abort signals). The module prints the share of
tests that ran compiled, and fails if it is too small.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from gateway.execution import CompilingExecutor

HOUSE = Path(__file__).parents[2]
MIN_SHARE = 0.7
TESTS = ("execution", "test_graphql.py", "test_star_wars_query.py", "test_user_registry.py")
ROOM = "tests/execution"
# Incremental delivery is left to graphql-core.
INCREMENTAL = f"{ROOM}/incremental/"
NON_NULL = f"{ROOM}/test_nonnull.py::describe_execute_handles_non_nullable_types"
LONG_CHAIN = "describe_nulls_first_nullable_after_long_chain_of_non_null_fields"
SEVERAL = "describe_handles_multiple_errors_for_a_single_response_position"
ORDER = "the same errors in another order: level by level"
BELOW = "an error of a sibling below the same null is not reported: the null came first"
KNOWN_DIFFERENCES = {
    f"{ROOM}/test_cancellation.py::describe_execute_cancellation::"
    "suppresses_sibling_errors_after_a_non_null_error_bubbles": "a sibling is cancelled sooner",
    f"{ROOM}/test_too_deeply_nested_selections.py::"
    "describe_too_deeply_nested_selections_at_the_root::"
    "reports_a_too_deep_chain_inside_a_field_as_a_field_error": "levels need no recursion",
    f"{NON_NULL}::describe_nulls_a_complex_tree_of_nullable_fields_each::throws": ORDER,
    f"{NON_NULL}::{LONG_CHAIN}::returns_null": ORDER,
    f"{NON_NULL}::{LONG_CHAIN}::throws": ORDER,
    f"{NON_NULL}::{SEVERAL}::nullable_and_non_nullable_root_fields_throw_nested_errors": BELOW,
    f"{NON_NULL}::{SEVERAL}::slower_nullable_after_non_nullable_root_field": BELOW,
    f"{NON_NULL}::{SEVERAL}::nullable_and_non_nullable_nested_fields_throw_nested_errors": BELOW,
    f"{NON_NULL}::{SEVERAL}::slower_nullable_after_non_nullable_nested_field": BELOW,
}


class Plugin:
    """Counts which tests executed something, which did so by a plan, and which failed."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failed: set[str] = set()
        self._executed = self._compiled = 0
        module: Any = sys.modules["graphql.execution.execute"]
        plugin = self

        class Plugged(CompilingExecutor, module.IncrementalExecutor):  # type: ignore[misc]
            def execute_operation(self, serially: bool | None = None) -> Any:
                plugin._executed += 1
                plugin._compiled += self.plan() is not None
                return super().execute_operation(serially)

        module.IncrementalExecutor = Plugged

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Counts each test that executes an operation."""
        self._executed = self._compiled = 0
        try:
            yield
        finally:
            if self._executed and not item.nodeid.startswith(INCREMENTAL):
                self.counts["executing"] += 1
                self.counts["compiled"] += bool(self._compiled)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Counts the outcome of each test."""
        if report.when == "call" or report.failed:
            self.counts[report.outcome] += 1
        if report.failed:
            self.failed.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fails on unknown differences, or if too few tests ran compiled."""
        share = self.counts["compiled"] / max(1, self.counts["executing"])
        unexplained = self.failed - KNOWN_DIFFERENCES.keys()
        gone = KNOWN_DIFFERENCES.keys() - self.failed
        print(f"\n{dict(self.counts)}; ran compiled: {share:.0%} (incremental delivery left out)")
        for name in sorted(self.failed & KNOWN_DIFFERENCES.keys()):
            print(f"differs: {name}: {KNOWN_DIFFERENCES[name]}")
        for name in sorted(unexplained):
            print(f"UNEXPLAINED: {name}")
        for name in sorted(gone):
            print(f"no longer differs: {name}")
        session.exitstatus = int(bool(unexplained or gone) or share < MIN_SHARE)


def pytest_configure(config: pytest.Config) -> None:
    """Registers the plugin."""
    config.pluginmanager.register(Plugin())


def main() -> int:
    """Fetches the tests and runs them."""
    name = f"graphql-core=={version('graphql-core')}"
    pip = [sys.executable, "-m", "pip"]
    with tempfile.TemporaryDirectory() as room:
        tools = Path(room, "tools")
        environment = {**os.environ, "PATH": f"{tools}/bin:{os.environ['PATH']}"}
        environment["PYTHONPATH"] = str(tools)
        install = [*pip, "install", "-q", "--target", f"{tools}", "uv_build", "pytest-describe"]
        download = [*pip, "download", "-q", "--no-deps", "--no-build-isolation", "-d", room]
        for command in (install, [*download, "--no-binary", "graphql-core", name]):
            subprocess.run(command, check=True, env=environment)  # noqa: S603
        (archive,) = Path(room).glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(room, filter="data")
        directory = Path(room, archive.name.removesuffix(".tar.gz"))
        command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", "."]
        command += ["-q", "--no-header", "--tb=no", "-p", Path(__file__).stem]
        command += ["-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist"]
        command += [f"tests/{part}" for part in TESTS]
        paths = directory, HOUSE, Path(__file__).parent, tools  # both have a package `tests`
        environment["PYTHONPATH"] = ":".join(map(str, paths))
        return subprocess.run(command, cwd=directory, env=environment).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
