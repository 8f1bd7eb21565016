"""The table of promises: each row names a test that exists, and the README repeats its rows."""

import importlib
import inspect

import pytest

from tests.promises.table import HOUSE, Promise, promises

DOCUMENT = (HOUSE / "docs" / "promises.md").read_text()
ROWS = promises(DOCUMENT)


def test_every_row_is_read() -> None:
    """A row in another form would be skipped in silence."""
    lines = [line for line in DOCUMENT.splitlines() if line.startswith("|")]
    heads = [line for line in lines if line.startswith(("| promise |", "|---"))]

    assert len(ROWS) == len(lines) - len(heads) > 0


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.test)
def test_the_test_of_a_row_exists(row: Promise) -> None:
    path, name = row.test.split("::")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))

    assert name.startswith("test_")
    assert inspect.isfunction(getattr(module, name, None))


def test_no_promise_is_made_twice() -> None:
    assert len({row.test for row in ROWS}) == len(ROWS)


def test_the_readme_promises_nothing_else() -> None:
    """Its rows are rows of the table, word for word."""
    headlines = promises((HOUSE / "README.md").read_text())

    assert headlines
    assert set(headlines) <= set(ROWS)
