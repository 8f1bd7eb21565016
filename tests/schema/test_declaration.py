"""Texts as variables: each is read as the type that the operation declares."""

from typing import Any

import pytest

from gateway.schema.declaration import Declaration
from gateway.settings import DocumentSettings

DECLARED = """query Q($sid: ID!, $first: Int, $after: String, $filter: CallFilter, $on: Boolean!) {
  call(sid: $sid) { sid @skip(if: $on) }
  calls(first: $first, after: $after, filter: $filter) { nodes { sid } }
}"""
LIMITS = DocumentSettings()


def declaration(text: str, name: str | None = None) -> Declaration:
    found = Declaration.of(text, name, LIMITS)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("sid", "007", "007"),
        ("after", "null", "null"),
        ("after", "", ""),
        ("first", "3", 3),
        ("first", "null", None),
        ("on", "true", True),
        ("filter", '{"to": "+1=2"}', {"to": "+1=2"}),
    ],
)
def test_a_text_is_read_as_the_declared_type(variable: str, text: str, value: Any) -> None:
    assert declaration(DECLARED).read(variable, text) == value


@pytest.mark.parametrize(
    ("variable", "kind"), [("first", "Int"), ("on", "Boolean!"), ("filter", "CallFilter")]
)
@pytest.mark.parametrize("text", ["", "hunter2", "[" * 100_000, "\udcff"])
def test_a_text_that_is_not_of_the_type_is_not_repeated(
    variable: str, kind: str, text: str
) -> None:
    with pytest.raises(ValueError, match=rf"^must be JSON of the type {kind}$"):
        declaration(DECLARED).read(variable, text)


def test_it_knows_its_variables_and_whether_it_only_reads() -> None:
    two = "query A($x: Int) { calls(first: $x) { nodes { sid } } } query B { __typename }"
    change = 'mutation { endCall(input: {sid: "CA"}) { userErrors { message } } }'

    assert declaration(two, "A").declares("x")
    assert not declaration(two, "B").declares("x")
    assert declaration(two, "A").is_query
    assert not declaration(change).is_query


@pytest.mark.parametrize(
    "text", ["{", "", "{ nothing }", "query A { a: __typename } query B { a }"]
)
def test_what_cannot_be_run_has_none(text: str) -> None:
    assert Declaration.of(text, "C", LIMITS) is None
