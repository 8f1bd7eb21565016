"""Page numbers, sizes and tokens of a list, and the links between its pages
(docs/twilio.md#5-lists).

A token is ``PA`` and the SID of a page's last row (older rows follow), or ``PB`` and the SID of its
first row (newer rows precede). It means the position of that row, which stays valid when calls are
added and when the row no longer matches the filter. Knows neither SQL nor HTTP.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from gateway.sandbox.errors import invalid

DEFAULT_SIZE = 50
LARGEST_SIZE = 1000
_TOKEN = re.compile(r"(PA|PB)((?:CA|RE|NO)[0-9a-f]{32})")


@dataclass(frozen=True)
class PageRange:
    """The requested rows of a list."""

    page: int
    size: int
    after: str | None = None
    """The page has the rows that follow (are older than) the row of this SID."""
    before: str | None = None
    """The page has the rows that precede (are newer than) the row of this SID."""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """Parses Page, PageSize and PageToken; clamps the size to its range."""
        page = max(_integer(query.get("Page"), 0), 0)
        size = min(max(_integer(query.get("PageSize"), DEFAULT_SIZE), 1), LARGEST_SIZE)
        token = query.get("PageToken")
        if not token:
            return cls(page, size)
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise invalid("PageToken")
        if match[1] == "PA":
            return cls(page, size, after=match[2])
        return cls(page, size, before=match[2])

    @property
    def offset(self) -> int:
        """Rows to skip in the old form of paging, which has a page number and no token."""
        return 0 if self.after or self.before else self.page * self.size


def _integer(text: str | None, default: int) -> int:
    return int(text) if text and re.fullmatch(r"-?[0-9]{1,9}", text) else default


def envelope(
    path: str, filters: Mapping[str, str], page_range: PageRange, sids: Sequence[str], *, more: bool
) -> dict[str, object]:
    """The list's properties besides its rows: exactly those that the official client allows."""

    def link(page: int, token: str | None = None) -> str:
        paging = {"PageSize": str(page_range.size), "Page": str(page)}
        if token:
            paging["PageToken"] = token
        return f"{path}?{urlencode({**filters, **paging})}"

    start = page_range.page * page_range.size if sids else 0
    previous = link(page_range.page - 1, f"PB{sids[0]}") if sids and page_range.page else None
    return {
        "page": page_range.page,
        "page_size": page_range.size,
        "start": start,
        "end": start + max(len(sids) - 1, 0),
        "uri": link(page_range.page, _token(page_range)),
        "first_page_uri": link(0),
        "previous_page_uri": previous,
        "next_page_uri": link(page_range.page + 1, f"PA{sids[-1]}") if sids and more else None,
    }


def _token(page_range: PageRange) -> str | None:
    if page_range.after:
        return f"PA{page_range.after}"
    return f"PB{page_range.before}" if page_range.before else None
