"""A response as tables: a row for each node, a column for each field, safe for a terminal."""

from typing import Any

import pytest

from gateway.cli.table import tables

HOSTILE = "\x1b]0;evil\x07\r\n\u202e"


def test_a_list_is_a_table_of_its_rows() -> None:
    """Objects have dots, lists their number of rows; columns stand in the order of the fields."""
    rows = [
        {"sid": "CA1", "parentCall": None, "isOn": True, "recordings": {"nodes": [{}, {}]}},
        {"sid": "CA22", "parentCall": {"sid": "CA1"}, "isOn": None, "recordings": {"edges": []}},
        None,
    ]

    assert tables({"calls": {"nodes": rows, "pageInfo": {"hasNextPage": True}}}).splitlines() == [
        "sid   parentCall.sid  isOn  recordings",
        "CA1                   true  2",
        "CA22  CA1                   0",
    ]


def test_edges_are_rows_with_their_cursors() -> None:
    edges = [{"cursor": "c", "node": {"a": {"b": None}}}, {"cursor": "d", "node": {"a": None}}]

    assert tables({"calls": {"edges": edges}}).splitlines() == ["cursor  node.a.b", "c", "d"]


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ({"sid": "CA1", "duration": 0}, ["sid  duration", "CA1  0"]),
        ("Query", ["value", "Query"]),
        ([1, 2.5], ["value", "1", "2.5"]),
        (None, ["no rows"]),
        ({"nodes": []}, ["no rows"]),
    ],
)
def test_what_is_no_list_is_one_row(value: Any, lines: list[str]) -> None:
    assert tables({"field": value}).splitlines() == lines


def test_several_root_fields_are_tables_under_their_names() -> None:
    assert tables({"a": {"x": 1}, "b": None}) == "a:\nx\n1\n\nb:\nno rows"


def test_a_text_sends_no_control_characters_to_the_terminal() -> None:
    lines = tables({"call": {"callerName": f"Zoë{HOSTILE}"}}).split("\n")

    assert lines == ["callerName", "Zoë�]0;evil����"]
