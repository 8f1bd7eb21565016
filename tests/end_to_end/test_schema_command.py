"""`gateway schema`: its two forms, and what breaks clients."""

from pathlib import Path

import pytest
from graphql import build_schema

from gateway.cli import main
from gateway.schema import schema

OLD = """
type Query { call(sid: ID!): Call }
type Call { sid: ID! pages: Int }
enum CallStatus { BUSY }
"""

pytestmark = pytest.mark.usefixtures("no_settings")


def old_file(folder: Path, text: str) -> str:
    """A file with an old schema."""
    path = folder / "old.graphql"
    path.write_text(text)
    return str(path)


def test_federation_is_the_form_without_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--federation"]) == 0

    assert capsys.readouterr().out == schema.as_str() + "\n"


def test_api_is_the_schema_without_federation(capsys: pytest.CaptureFixture[str]) -> None:
    """What code generators and Relay's compiler read: a valid schema with nothing of routers."""
    assert main(["schema", "--api"]) == 0

    text = capsys.readouterr().out
    known = build_schema(text)
    assert known.query_type
    assert [name for name in known.query_type.fields if name.startswith("_")] == []
    assert [name for name in known.type_map if name.startswith("_") and name[1] != "_"] == []
    for name in ("@key", "@link", "@tag", "@cost", "@listSize", "@shareable"):
        assert name not in text
    assert "input CallInstructions @oneOf" in text


def test_diff_tells_what_breaks_clients_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", "--diff", old_file(tmp_path, OLD)]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert "BREAKING: Field Call.pages was removed." in lines
    assert "DANGEROUS: Enum value CallStatus.RINGING was added." in lines


@pytest.mark.parametrize("form", ["--api", "--federation"])
def test_no_difference_ends_with_0(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The old file may be in either form."""
    main(["schema", form])
    old = old_file(tmp_path, capsys.readouterr().out)

    assert main(["schema", "--diff", old]) == 0
    assert capsys.readouterr().out == ""


def test_what_may_surprise_clients_ends_with_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shorter = schema.as_str().replace("  DO_NOT_TRIM\n", "")
    old = old_file(tmp_path, shorter.replace('  """Leaves the recording as it is."""\n', ""))

    assert main(["schema", "--diff", old]) == 0
    assert capsys.readouterr().out == ("DANGEROUS: Enum value CallTrim.DO_NOT_TRIM was added.\n")


@pytest.mark.parametrize("text", [None, "no schema", "type Query { a: Missing }"])
def test_a_file_that_is_no_schema_ends_with_2(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = str(tmp_path / "missing") if text is None else old_file(tmp_path, text)

    assert main(["schema", "--diff", old]) == 2
    assert capsys.readouterr().err.startswith(f"gateway: --diff {old}: ")
