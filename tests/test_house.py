"""The architecture and the documents are tests: contracts, schema.graphql, settings, README."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema, parse, validate

from gateway import playground
from gateway.schema import schema
from tests.house import (
    broken_references,
    class_names_with_two_meanings,
    module_names_with_two_meanings,
    recipes,
)
from tests.settings_page import PAGE, page_of

HOUSE = Path(__file__).parent.parent


def contracts() -> list[dict[str, Any]]:
    """The import contracts of pyproject.toml."""
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())
    found: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return found


def test_import_contracts_hold() -> None:
    """Every contract in pyproject.toml is kept; a module placed in no layer fails."""
    script = Path(sys.executable).parent / "lint-imports"
    check = subprocess.run([script, "--no-cache"], cwd=HOUSE, capture_output=True, text=True)  # noqa: S603

    assert check.returncode == 0, check.stdout


def test_the_contracts_are_there() -> None:
    """Nobody loosens the architecture by deleting a contract."""
    names = {contract["name"].partition(":")[0] for contract in contracts()}

    assert names == {
        "A query flows one way",
        "The sandbox meets the gateway only on the wire",
        "Only upstream sends HTTP to Twilio (server picks the transport)",
        "Nothing below the schema knows GraphQL",
    }


def test_every_module_is_in_a_layer() -> None:
    """The layers are exhaustive, so that a new module must be given its place."""
    (layers,) = [contract for contract in contracts() if contract["type"] == "layers"]

    assert layers["exhaustive"] is True
    assert layers["layers"][0] == "__main__"


def test_every_name_has_one_meaning_and_every_reference_leads_somewhere() -> None:
    """`python -m tests.house` says which do not."""
    assert class_names_with_two_meanings() == {}
    assert module_names_with_two_meanings() == {}
    assert broken_references() == []


def test_the_recipes_of_contributing_touch_few_files() -> None:
    """What is described once is changed in one place."""
    touched = {title: len(paths) for title, paths in recipes().items()}

    assert touched == {
        "a property of Call": 3,
        "an edge of Call": 8,
        "a mutation": 5,
        "a setting": 3,
        "an error code": 2,
    }


def test_schema_graphql_is_the_schema() -> None:
    """`gateway schema > schema.graphql` after a change."""
    assert (HOUSE / "schema.graphql").read_text() == schema.as_str() + "\n"


def test_the_settings_page_holds_the_tables_of_the_settings() -> None:
    """`python -m tests.settings_page` after a change."""
    assert PAGE.read_text() == page_of(PAGE.read_text())


def test_the_readme_prints_the_query_of_the_first_tab() -> None:
    """What a newcomer reads is what GraphiQL shows, but for the tab's comments."""
    query = "".join(
        line
        for line in playground.TABS[0].query.splitlines(keepends=True)
        if not line.startswith("#")
    )

    assert f"```graphql\n{query.strip()}\n```" in (HOUSE / "README.md").read_text()


def test_the_documents_in_the_pages_fit_the_schema() -> None:
    """What is copied from the README or docs runs."""
    known = build_schema(schema.as_str(), assume_valid_sdl=True)
    pages = [HOUSE / "README.md", *(HOUSE / "docs").rglob("*.md")]
    texts = "\n".join(page.read_text() for page in pages)
    documents = re.findall(r"```graphql\n(.*?)```", texts, re.DOTALL)

    assert len(documents) > 25
    assert [validate(known, parse(document)) for document in documents] == [[] for _ in documents]


def test_ci_runs_exactly_the_readmes_test_command() -> None:
    """One command tests everything, for people and for CI."""
    (command,) = re.findall(r"^(\S.*pytest.*)$", (HOUSE / "README.md").read_text(), re.MULTILINE)

    assert command in (HOUSE / ".ci" / "run").read_text()


@pytest.mark.xdist_group("house")
def test_a_group_of_tests_stays_together(request: pytest.FixtureRequest) -> None:
    """pytest-xdist marks the group in the name; with a pytest that it does not fit, it does not."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("all tests are together: there is one process")
    assert request.node.nodeid.endswith("@house")


def test_no_package_index_is_named() -> None:
    """No lock file with hosts; the versions alone are pinned."""
    assert not (HOUSE / "uv.lock").exists()
    pins = (HOUSE / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+|#.*|", pin) for pin in pins)
