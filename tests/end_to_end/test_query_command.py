"""`gateway query`: where its document and variables come from, and all pages as one response."""

import json
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.cli.query_command import take_upstream
from tests.end_to_end.program import ONE, run

pytestmark = pytest.mark.usefixtures("no_settings")


PAGES = """query($n: Int!, $after: String) {
  calls(first: $n, after: $after) { nodes { sid } pageInfo { hasNextPage endCursor } }
}"""


def test_query_reads_its_document_from_a_file_or_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "one.graphql"
    file.write_text(ONE)

    for done in (run("query", str(file), "-v", "n=2"), run("query", "-v", "n=2", stdin=ONE)):
        assert (done.returncode, done.stderr) == (0, "")
        assert len(json.loads(done.stdout)["data"]["calls"]["nodes"]) == 2


def test_query_reads_all_pages_as_one_response(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "--all", PAGES, "-v", "n=25"]) == 0
    paged = json.loads(capsys.readouterr().out)["data"]["calls"]
    assert main(["query", PAGES, "-v", "n=1000"]) == 0
    at_once = json.loads(capsys.readouterr().out)["data"]["calls"]

    assert len(paged["nodes"]) == len({row["sid"] for row in paged["nodes"]}) == 60
    assert len(at_once["nodes"]) == 60
    assert paged["pageInfo"]["hasNextPage"] is False


def test_a_table_has_the_rows_and_errors_go_to_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = "{ calls(first: 2) { nodes { sid } } call(sid: 5) { sid } }"
    assert main(["query", "--format", "table", document]) == 1

    out, err = capsys.readouterr()
    calls, name, *rows = out.splitlines()
    assert (calls, name, rows[2:]) == ("calls:", "sid", ["", "call:", "no rows"])
    assert all(row.startswith("CA") and len(row) == 34 for row in rows[:2])
    assert "error: call: A SID here is CA and 32 hexadecimal digits" in err.splitlines()


def test_what_a_response_lacks_is_printed_with_it() -> None:
    """Only the upstream requests, which are drawn, are taken out of it."""
    warnings = {"warnings": [{"code": "LIST_CUT_SHORT", "path": ["calls"], "count": 1}]}
    response = {"data": {}, "extensions": {**warnings, "upstream": {"requests": 1}}}

    assert take_upstream(response) == {"requests": 1}
    assert response == {"data": {}, "extensions": warnings}
    explained = {"data": {}, "extensions": {"upstream": {"requests": 1}}}
    assert take_upstream(explained) == {"requests": 1}
    assert take_upstream(explained) is None
    assert explained == {"data": {}}


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (["/nowhere"], "document: the file cannot be read: No such file or directory"),
        (["/"], "document: the file cannot be read: Is a directory"),
        ([ONE, "-v", "n=many"], "-v n: must be JSON of the type Int!"),
        ([ONE, "-v", "m=2"], "-v m: the operation declares no such variable"),
        (
            [ONE, "-v", "n=2", "--all"],
            "--all: the operation must be a query that declares $after: String",
        ),
        (
            ["query($after: String) { calls(after: $after) { nodes { sid } } }", "--all"],
            "--all: ask one root connection for pageInfo { hasNextPage endCursor }",
        ),
    ],
)
def test_a_query_that_cannot_be_asked_so_is_one_line_and_2(
    arguments: list[str], refusal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", *arguments]) == 2

    assert capsys.readouterr() == ("", f"gateway: {refusal}\n")
