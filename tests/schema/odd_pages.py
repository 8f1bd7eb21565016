"""A plain account with pages as odd as Twilio's may be: each switch changes how they are linked.

It answers what FACTS leaves open about paging in each way, and what people have reported. Rows,
filters and requests are the plain account's.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

import httpx

from tests.plain_twilio import PlainTwilio, Row, _error, _linker, _matches, sid

Tokens = Literal["name rows", "opaque", "numbers"]
LastLink = Literal["null", "to an empty page", "to itself", "to ever new pages"]


@dataclass
class OddPages(PlainTwilio):
    """The account. Each switch says how its pages are linked.

    `tokens`: what a link names its page by. `previous_by_number`: a previous link is there except
    on a page numbered 0, whether rows precede or not; else exactly where rows precede. `last_link`:
    what the last page names as its next. `forgets`: a token of a deleted row is refused; else its
    page is empty. `shows_never_dialed`: a range of start times holds calls without one, too.
    `after_list` is called after each page of a list.
    """

    tokens: Tokens = "name rows"
    previous_by_number: bool = False
    last_link: LastLink = "null"
    forgets: bool = True
    shows_never_dialed: bool = False
    after_list: Callable[[], None] = lambda: None

    def _list(self, request: httpx.Request, name: str, rows: list[Row]) -> httpx.Response:
        query = dict(parse_qsl(request.url.query.decode()))
        size = min(int(query.pop("PageSize", "50")), self.largest_page)
        token = _decoded(query.pop("PageToken", ""))
        number = int(query.pop("Page", "0"))
        place = {row["sid"]: index for index, row in enumerate(rows)}
        kept = [row for row in rows if self._is_kept(row, query)]
        named = token[2:]
        if named and named not in place and not named.startswith("nothing"):
            if self.forgets:
                return _error(400, 20001)
            named = "nothing"
        shown = kept[:size]
        if named.startswith("nothing"):
            shown = []
        elif token.startswith("PB"):
            shown = [row for row in kept if place[row["sid"]] < place[named]][-size:]
        elif token.startswith("PA"):
            shown = [row for row in kept if place[row["sid"]] > place[named]][:size]
        elif number:
            shown = kept[number * size :][:size]
        link = _linker(request.url.path, query, size)
        newer = shown and shown[0] is not kept[0]
        has_previous = number > 0 if self.previous_by_number else bool(newer)
        top = "PB" + (shown[0]["sid"] if shown else named or "nothing")
        body = {
            name: shown,
            "page": number,
            "page_size": size,
            "uri": request.url.path,
            "next_page_uri": self._next(link, number, token, shown, kept),
            "previous_page_uri": link(number - 1, self._encoded(top)) if has_previous else None,
        }
        response = httpx.Response(200, content=json.dumps(body).encode())
        self.after_list()
        return response

    def _is_kept(self, row: Row, query: dict[str, str]) -> bool:
        if self.shows_never_dialed and row.get("start_time", "") is None:
            query = {key: value for key, value in query.items() if "StartTime" not in key}
        return _matches(row, query)

    def _next(
        self, link: Any, number: int, token: str, shown: list[Row], kept: list[Row]
    ) -> str | None:
        bottom = "PA" + (shown[-1]["sid"] if shown else f"nothing{number}")
        if shown and shown[-1] is not kept[-1]:
            return str(link(number + 1, self._encoded(bottom)))
        match self.last_link:
            case "to an empty page" if shown:
                return str(link(number + 1, self._encoded(bottom)))
            case "to itself":
                return str(link(number, self._encoded(token) if token else ""))
            case "to ever new pages":
                return str(link(number + 1, self._encoded(bottom)))
        return None

    def _encoded(self, token: str) -> str:
        if self.tokens == "numbers":
            return ""
        return token if self.tokens == "name rows" else urlsafe_b64encode(token.encode()).decode()


def moved(rows: list[Row], number: int, status: str) -> list[Row]:
    """The account after a call has changed its status."""
    return [row | {"status": status} if row["sid"] == sid("CA", number) else row for row in rows]


def _decoded(token: str) -> str:
    if token.startswith(("PA", "PB")):
        return token
    return urlsafe_b64decode(token).decode()
