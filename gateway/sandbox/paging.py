"""Page numbers, sizes and tokens of a list, and the links between its pages (FACTS section 5).

A token is ``PA`` and the SID of the last row of a page (older rows follow), or ``PB`` and the SID
of its first row (newer rows precede). It names the place of that row, which stays where it is when
calls are added and when the row no longer matches the filter. Knows neither SQL nor HTTP.
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
    """Which rows of a list are asked for."""

    page: int
    size: int
    after: str | None = None
    """The SID of the row that the wanted rows follow (they are older)."""
    before: str | None = None
    """The SID of the row that the wanted rows precede (they are newer)."""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """Reads Page, PageSize and PageToken; sizes out of range are clamped."""
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
        """Rows to skip: the old form of paging, by a page number without a token."""
        return 0 if self.after or self.before else self.page * self.size


def _integer(text: str | None, default: int) -> int:
    return int(text) if text and re.fullmatch(r"-?[0-9]{1,9}", text) else default


def envelope(
    path: str, filters: Mapping[str, str], window: PageRange, sids: Sequence[str], *, more: bool
) -> dict[str, object]:
    """The list's properties around its rows: exactly those the official client allows."""

    def link(page: int, token: str | None = None) -> str:
        paging = {"PageSize": str(window.size), "Page": str(page)}
        if token:
            paging["PageToken"] = token
        return f"{path}?{urlencode({**filters, **paging})}"

    start = window.page * window.size if sids else 0
    previous = link(window.page - 1, f"PB{sids[0]}") if sids and window.page else None
    return {
        "page": window.page,
        "page_size": window.size,
        "start": start,
        "end": start + max(len(sids) - 1, 0),
        "uri": link(window.page, _token(window)),
        "first_page_uri": link(0),
        "previous_page_uri": previous,
        "next_page_uri": link(window.page + 1, f"PA{sids[-1]}") if sids and more else None,
    }


def _token(window: PageRange) -> str | None:
    if window.after:
        return f"PA{window.after}"
    return f"PB{window.before}" if window.before else None
