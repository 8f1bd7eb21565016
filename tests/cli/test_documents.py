"""`gateway documents check`: prices in rows, and a document that got dearer ends with 1."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main

CALLS = "query Q { calls(first: %d) { nodes { sid } } }"


class Checked:
    """The command over a manifest in a folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.prices = folder / "prices.json"
        self._manifest = folder / "manifest.json"
        self._capsys = capsys

    def __call__(self, manifest: Any, *options: str) -> tuple[int, list[str]]:
        """Exit code, and the lines below the heading."""
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        self._manifest.write_text(text)
        code = main(["documents", "check", str(self._manifest), *options])
        return code, self._capsys.readouterr().out.splitlines()[1:]

    def recording(self, manifest: Any) -> tuple[int, list[str]]:
        return self(manifest, "--record", str(self.prices))


@pytest.fixture
def checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Checked:
    return Checked(tmp_path, capsys)


@pytest.mark.parametrize(
    ("document", "rows", "most"),
    [
        (CALLS % 20, 20, 20),
        ("query Q { calls { nodes { childCalls { nodes { sid } } } } }", 150, 150),
        ("query Q($n: Int) { calls(first: $n) { nodes { sid } } }", 50, 2000),
        ("query Q($n: Int = 7) { calls(first: $n) { nodes { sid } } }", 7, 2000),
        ("query Q($n: Int!) { calls(first: $n) { nodes { sid } } }", 50, 2000),
        ("query Q($f: CallFilter!) { calls(filter: $f) { nodes { sid } } }", 50, 2000),
        ("query Q($i: [ID!]!) { nodes(ids: $i) { __typename } }", 1, 2000),
        ("query Q($s: ID!) { call(sid: $s) { status } }", 1, 1),
        ("mutation Q($i: EndCallInput!) { endCall(input: $i) { call { sid } } }", 1, 1),
        (CALLS % 20 + CALLS.replace("Q", "R") % 30, 30, 30),
    ],
)
def test_a_document_is_priced_in_rows(
    checked: Checked, document: str, rows: int, most: int
) -> None:
    assert checked({"id": document}) == (0, [f"{rows:>6} {most:>8}  Q"])


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("query Q { nothing }", "Cannot query field 'nothing'"),
        (CALLS % 1000 + CALLS.replace("Q", "R") % 1001, "must be from 0 to 1000"),
        ("query Q { calls(first: 1000) { nodes { childCalls { nodes { sid } } } } }", "of cost is"),
        ("query Q { " + " ".join(f"a{n}: __typename" for n in range(31)) + " }", "of aliases is"),
        ("fragment Q on Call { sid }", "The document has no operation"),
    ],
)
def test_a_document_that_would_be_refused_ends_with_1(
    checked: Checked, document: str, reason: str
) -> None:
    code, (line,) = checked.recording({"Q": document})

    assert code == 1
    assert line.startswith("     -        -  Q: refused: ")
    assert reason in line
    assert not checked.prices.exists()


def test_a_manifest_that_cannot_be_used_ends_with_1(checked: Checked) -> None:
    assert checked("[") == (1, [])


def test_the_limits_are_those_of_the_environment(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_MAX_COST", "10")

    assert checked({"1": CALLS % 10})[0] == 0
    assert checked({"1": CALLS % 11})[0] == 1


def test_a_document_that_got_dearer_ends_with_1_and_leaves_the_record(checked: Checked) -> None:
    sized = "query Q($n: Int = 9) { calls(first: $n) { nodes { sid } } }"
    assert checked.recording({"1": CALLS % 20})[0] == 0
    first = checked.prices.read_text()
    dearer = checked.recording({"2": CALLS % 21})
    varies = checked.recording({"3": sized})
    assert checked.prices.read_text() == first
    cheaper = checked.recording({"4": CALLS % 19, "5": CALLS.replace("Q", "New") % 1})
    again = checked.recording({"1": CALLS % 20})

    assert json.loads(first) == {"Q": {"rows": 20, "varies": False}}
    assert dearer == (1, ["    21       21  Q: dearer, was 20"])
    assert varies == (1, ["     9     2000  Q: dearer, variables can raise it now"])
    assert cheaper[0] == 0
    assert again == (1, ["    20       20  Q: dearer, was 19"])
    assert json.loads(checked.prices.read_text()) == {
        "New": {"rows": 1, "varies": False},
        "Q": {"rows": 19, "varies": False},
    }


@pytest.mark.parametrize("content", ["[", "[]", '{"Q": 1}', '{"Q": {}}'])
def test_a_record_that_is_none_is_an_error(checked: Checked, content: str) -> None:
    checked.prices.write_text(content)

    assert checked.recording({"1": CALLS % 20}) == (2, [])
    assert checked.prices.read_text() == content
