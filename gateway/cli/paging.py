"""All pages of a root connection as one response.

The operation asks for one root field, gives it `after: $after`, and reads `pageInfo` with
`hasNextPage` and `endCursor`. This module must not know how an operation is run.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

__all__ = ["PagingError", "all_pages"]

Response = dict[str, Any]


class PagingError(Exception):
    """The pages of this operation cannot be read one after another."""


async def all_pages(
    run: Callable[[Mapping[str, Any]], Awaitable[Response]], variables: Mapping[str, Any]
) -> Response:
    """The response with the rows of all pages. A page that fails ends it and adds its errors.

    Its `pageInfo` then leads on from the last page that was read. Raises PagingError.
    """
    whole = await run(variables)
    if not whole.get("data") or None in whole["data"].values():
        return whole
    name = _connection_of(whole["data"])
    lengths = _lengths(whole["data"][name])
    while _has_next(whole["data"][name]):
        cursor = whole["data"][name]["pageInfo"]["endCursor"]
        page = await run({**variables, "after": cursor})
        connection: dict[str, Any] = (page.get("data") or {}).get(name) or {}
        is_stuck = bool(connection) and connection["pageInfo"]["endCursor"] == cursor
        if is_stuck and _lengths(connection).total():
            raise PagingError("the next page is the same: give the root field `after: $after`")
        _add_problems(whole, page, name, lengths)
        if is_stuck or not connection:
            break
        whole["data"][name] = _joined(whole["data"][name], connection)
        lengths += _lengths(connection)
    return whole


def _connection_of(data: Mapping[str, Any]) -> str:
    """The name of the one root field. Raises PagingError if it cannot be paged through."""
    name, connection = next(iter(data.items()))
    page_info = connection.get("pageInfo") if isinstance(connection, dict) else None
    if len(data) > 1 or not page_info or not {"hasNextPage", "endCursor"} <= page_info.keys():
        raise PagingError("ask one root connection for pageInfo { hasNextPage endCursor }")
    return name


def _has_next(connection: Mapping[str, Any]) -> bool:
    page_info = connection["pageInfo"]
    return bool(page_info["hasNextPage"] and page_info["endCursor"])


def _lengths(connection: Mapping[str, Any]) -> Counter[str]:
    """How many rows each list has: `nodes`, `edges` or an alias."""
    return Counter({key: len(rows) for key, rows in connection.items() if isinstance(rows, list)})


def _joined(whole: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, Any]:
    """Lists are joined; `isComplete` is true if it is for both; `pageInfo` spans both."""
    joined = dict(whole)
    for key, value in page.items():
        if isinstance(value, list):
            joined[key] = whole[key] + value
        elif isinstance(value, bool):
            joined[key] = whole[key] and value
    ends = {key: page["pageInfo"][key] for key in ("hasNextPage", "endCursor")}
    return joined | {"pageInfo": {**whole["pageInfo"], **ends}}


def _add_problems(whole: Response, page: Response, name: str, lengths: Mapping[str, int]) -> None:
    """Adds the page's errors and warnings, whose paths then count the rows from the first."""
    if errors := page.get("errors"):
        whole.setdefault("errors", []).extend(_shifted(one, name, lengths) for one in errors)
    if warnings := page.get("extensions", {}).get("warnings"):
        extensions = whole.setdefault("extensions", {})
        found = [_shifted(one, name, lengths) for one in warnings]
        extensions["warnings"] = [*extensions.get("warnings", ()), *found]


def _shifted(problem: Mapping[str, Any], name: str, lengths: Mapping[str, int]) -> dict[str, Any]:
    path = list(problem.get("path") or ())
    if len(path) > 2 and path[0] == name and isinstance(path[2], int):
        path[2] += lengths[path[1]]
    return {**problem, **({"path": path} if path else {})}
