"""Rows without a readable SID: the page reports them, and is no evidence."""

from types import SimpleNamespace
from typing import Any, cast

from gateway.loaders.dataloaders import settled
from gateway.schema.connection import ConnectionPage, PageArgs
from gateway.schema.context import Context
from gateway.schema.cursors import Cursor, PositionKind, RowPosition, cursor_key, write_cursor
from gateway.telemetry.upstream_trace import UpstreamTrace
from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.pages import Budget
from gateway.upstream.requests import ListRequest, Page, PageRef
from tests.plain_twilio import ACCOUNT, TOKEN, sid
from tests.upstream.stage import row

KEY = cursor_key(TOKEN, "https://api.twilio.com", ACCOUNT)
LISTS = [ListCalls(page_size=3)]


class Pages:
    """Loaders that return these pages by their token ('' for the top)."""

    def __init__(self, pages: dict[str, Page[CallResource]]) -> None:
        self.trace = UpstreamTrace(lambda: 0.0)
        self.asked: list[str] = []
        self._pages = pages

    async def page(self, request: ListRequest[CallResource], _field: str) -> Page[CallResource]:
        """One page."""
        self.asked.append(request.page.token or "")
        found = self._pages[request.page.token or ""]
        return Page(
            request,
            found.rows,
            next=found.next,
            previous=found.previous,
            rows_read=found.rows_read,
            left_out=found.left_out,
        )


def holding(*numbers: int, left_out: int = 0, **links: Any) -> Page[CallResource]:
    """A page of these calls, and of rows that were left out."""
    rows = tuple(row(CallResource, sid=sid("CA", number)) for number in numbers)
    return Page(LISTS[0], rows, rows_read=len(rows) + left_out, left_out=left_out, **links)


def slice_of(pages: Pages, window: PageArgs) -> ConnectionPage[CallResource]:
    """The connection over these pages."""
    context = SimpleNamespace(loaders=pages, cursor_key=KEY, budget=lambda: Budget(9, 99))
    return ConnectionPage(cast(Context, context), LISTS, window, "calls")


def before(token: str, number: int) -> str:
    """The cursor of a row that begins an opaque page."""
    place = RowPosition(
        kind=PositionKind.INSIDE, index=1, token=token, page_size=3, after=sid("CA", number)
    )
    return write_cursor(Cursor(stream=0, is_row=True, key=None, positions=(place,)), KEY, LISTS)


async def test_rows_that_were_left_out_are_counted_and_the_page_is_not_complete() -> None:
    pages = Pages(
        {
            "": holding(1, left_out=2, next=PageRef(1, "b")),
            "b": holding(2, 3, left_out=1),
        }
    )
    window = slice_of(pages, PageArgs(5))
    await settled(window.read())

    assert [node.sid for node in window.nodes] == [sid("CA", n) for n in (1, 2, 3)]
    assert not window.is_complete
    assert not await window.has_next_page()
    (warning,) = pages.trace.warnings()
    assert (warning["code"], warning["path"], warning["count"]) == ("ROWS_LEFT_OUT", ["calls"], 3)


async def test_a_page_of_rows_that_were_left_out_is_not_taken_for_empty() -> None:
    """Three empty pages in a row would end the walk."""
    onward = {
        token: holding(left_out=1, next=PageRef(1, token + "x")) for token in ("b", "bx", "bxx")
    }
    pages = Pages({"": holding(1, next=PageRef(1, "b")), **onward, "bxxx": holding(2)})
    window = slice_of(pages, PageArgs(5))
    await settled(window.read())

    assert [node.sid for node in window.nodes] == [sid("CA", 1), sid("CA", 2)]


async def test_above_a_page_of_rows_that_were_left_out_the_top_is_looked_for() -> None:
    pages = Pages(
        {
            "": holding(1, 2, 3),
            "a": holding(left_out=1),
            "b": holding(3, previous=PageRef(0, "a")),
        }
    )
    window = slice_of(pages, PageArgs(5, before("b", 3), backwards=True))
    await settled(window.read())

    assert [node.sid for node in window.nodes] == [sid("CA", 1), sid("CA", 2)]
    assert not window.is_complete
    assert not await window.has_previous_page()
    assert pages.asked == ["b", "a", ""]
