"""All pages as one response: each page is asked for once, and nothing of any is lost."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.cli.paging import PagingError, all_pages


class Pages:
    """Runs an operation whose responses are given, and records the cursors that it is given."""

    def __init__(self, *responses: dict[str, Any]) -> None:
        self._responses = iter(responses)
        self.cursors: list[Any] = []

    async def __call__(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        assert variables["n"] == 2
        self.cursors.append(variables.get("after"))
        return next(self._responses)


def page(*rows: Any, end: str | None, more: bool = True, **others: Any) -> dict[str, Any]:
    page_info = {"hasNextPage": more, "endCursor": end}
    return {"data": {"calls": {"nodes": [*rows], "pageInfo": page_info, **others}}}


async def test_rows_are_joined_and_the_page_info_spans_all_pages() -> None:
    first, second, third = (
        page(1, 2, end="b", edges=["x"], isComplete=True),
        page(3, 4, end="d", edges=["y"], isComplete=False),
        page(5, end="e", edges=["z"], isComplete=True, more=False),
    )
    for number, response in enumerate((first, second, third)):
        response["data"]["calls"]["pageInfo"]["startCursor"] = "ace"[number]
    pages = Pages(first, second, third)

    response = await all_pages(pages, {"n": 2})

    assert pages.cursors == [None, "b", "d"]
    assert response == {
        "data": {
            "calls": {
                "nodes": [1, 2, 3, 4, 5],
                "edges": ["x", "y", "z"],
                "isComplete": False,
                "pageInfo": {"hasNextPage": False, "endCursor": "e", "startCursor": "a"},
            }
        }
    }


async def test_the_pages_begin_at_a_given_cursor() -> None:
    pages = Pages(page(3, end="c"), page(4, end="d", more=False))

    await all_pages(pages, {"n": 2, "after": "b"})

    assert pages.cursors == ["b", "c"]


async def test_problems_of_later_pages_count_rows_from_the_first() -> None:
    """Errors and warnings of a row, and those of the whole list, whose path has no row."""
    row, whole = ["calls", "nodes", 1, "recordings"], ["calls"]
    pages = [page(1, 2, end="b"), page(3, 4, end="d"), page(5, 6, end="f", more=False)]
    for response in pages:
        response["errors"] = [{"message": "m", "path": [*row]}, {"message": "m", "path": whole}]
        response["extensions"] = {"warnings": [{"code": "C", "path": [*row]}]}

    response = await all_pages(Pages(*pages), {"n": 2})

    at = [["calls", "nodes", number, "recordings"] for number in (1, 3, 5)]
    assert [error["path"] for error in response["errors"]] == [
        path for row in at for path in (row, whole)
    ]
    warnings = response["extensions"]["warnings"]
    assert warnings == [{"code": "C", "path": path} for path in at]


@pytest.mark.parametrize("data", [None, {"calls": None}])
async def test_a_page_that_fails_keeps_the_rows_before_it(data: Any) -> None:
    """The cursor leads on from them."""
    failed = {"data": data, "errors": [{"message": "m", "path": ["calls"]}]}
    pages = Pages(page(1, 2, end="b"), failed)

    response = await all_pages(pages, {"n": 2})

    assert pages.cursors == [None, "b"]
    assert response == {**page(1, 2, end="b"), "errors": failed["errors"]}


@pytest.mark.parametrize(
    "response", [{"errors": [{"message": "m"}]}, {"data": {"calls": None}, "errors": []}]
)
async def test_a_first_page_that_fails_is_the_response(response: dict[str, Any]) -> None:
    assert await all_pages(Pages(response), {"n": 2}) == response


async def test_a_list_that_does_not_go_on_ends() -> None:
    """No row and the same cursor, or no cursor: it still says that rows are missing."""
    stuck = Pages(page(1, end="a"), page(end="a"))
    assert (await all_pages(stuck, {"n": 2}))["data"] == page(1, end="a")["data"]
    assert stuck.cursors == [None, "a"]

    no_cursor = Pages(page(1, end=None))
    assert (await all_pages(no_cursor, {"n": 2}))["data"] == page(1, end=None)["data"]


@pytest.mark.parametrize(
    "data",
    [
        {"calls": {"nodes": []}},
        {"calls": {"pageInfo": {"hasNextPage": True}}},
        {"call": {"sid": "CA"}},
        {"__typename": "Query"},
        {**page(1, end="a")["data"], "__typename": "Query"},
    ],
)
async def test_what_has_no_pages_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(PagingError, match="ask one root connection for pageInfo"):
        await all_pages(Pages({"data": data}), {"n": 2})


async def test_an_operation_that_does_not_use_its_cursor_is_refused() -> None:
    """It would read the same page for ever."""
    pages = Pages(page(1, end="a"), page(1, end="a"))
    with pytest.raises(PagingError, match="give the root field `after: \\$after`"):
        await all_pages(pages, {"n": 2})
