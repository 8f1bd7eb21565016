"""The architecture is a test: the import contracts of pyproject.toml hold."""

from importlinter.application.use_cases import read_user_options
from importlinter.cli import lint_imports


def test_import_contracts_hold() -> None:
    """Every contract in pyproject.toml is kept; a module placed in no layer fails."""
    assert lint_imports() == 0


def test_the_four_contracts_are_there() -> None:
    """Nobody loosens the architecture by deleting a contract."""
    names = " / ".join(c["name"] for c in read_user_options().contracts_options)

    assert "A query flows one way" in names
    assert "The sandbox meets the gateway only on the wire" in names
    assert "Only the upstream client speaks HTTP" in names
    assert "Nothing below the schema knows GraphQL" in names
