"""Relay connections over Twilio pages.

One upstream list, or several merged newest first (one for each status), read from a cursor onwards
or backwards until the wanted rows are there. This module must not know what the rows are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

import strawberry
from strawberry.federation.schema_directives import Shareable

from gateway.access import Scope
from gateway.errors import BadUserInput
from gateway.schema.arguments import page_size
from gateway.schema.context import Context, Info, field_path
from gateway.schema.cursors import Cursor, read_cursor, write_cursor
from gateway.schema.streams import NEWEST, Cut, Place, Stream, created
from gateway.upstream.requests import ListRequest, Page
from gateway.upstream.resources import Resource

__all__ = ["Connection", "Edge", "PageInfo", "Slice", "Window", "read_slice", "require_lists"]

R = TypeVar("R", bound=Resource)
T = TypeVar("T")


@dataclass(frozen=True)
class Window:
    """Which rows of a connection are wanted: `size` of them after, or before, a cursor."""

    size: int
    cursor: str | None = None
    backwards: bool = False

    @classmethod
    def of(
        cls,
        info: Info,
        first: int | None,
        after: str | None,
        last: int | None = None,
        before: str | None = None,
    ) -> "Window":
        """Relay's four arguments. Raises BadUserInput where they do not go together."""
        size = page_size(first, last, info.context.limits.first)
        if last is None and before is None:
            return cls(size, after)
        if first is not None or after is not None:
            raise BadUserInput("Use first with after, or last with before, not both")
        if last is None or before is None:
            raise BadUserInput("last and before go together: lists are read from the newest row")
        return cls(size, before, backwards=True)


class SliceEdge(Generic[R]):
    """A row and its cursor, which is written when somebody asks for it."""

    __slots__ = ("_cursor", "_slice", "node")

    def __init__(self, node: R, cursor: Cursor, owner: "Slice[R]") -> None:
        self.node = node
        self._cursor = cursor
        self._slice = owner

    @property
    def cursor(self) -> str:
        """Opaque text; see cursors."""
        return self._slice.write(self._cursor)


class Slice(Generic[R]):
    """The rows of one window of a connection: what the fields of Connection and PageInfo read."""

    def __init__(
        self, context: Context, lists: Sequence[ListRequest[R]], window: Window, field: str
    ) -> None:
        self._context = context
        self._field = field
        self._lists = lists
        self._window = window
        self._streams: list[Stream[R]] = []
        self.edges: list[SliceEdge[R]] = []

    @property
    def nodes(self) -> list[R]:
        """The rows without their edges."""
        return [edge.node for edge in self.edges]

    @property
    def page_info(self) -> "Slice[R]":
        """PageInfo's fields are read from the slice, too."""
        return self

    @property
    def start_cursor(self) -> str | None:
        """The first row's cursor."""
        return self.edges[0].cursor if self.edges else None

    @property
    def end_cursor(self) -> str | None:
        """The last row's cursor."""
        return self.edges[-1].cursor if self.edges else None

    async def has_next_page(self) -> bool:
        """True when older rows follow. May read on where upstream's filter is wider than ours."""
        return True if self._window.backwards else await self._has_more()

    async def has_previous_page(self) -> bool:
        """True when newer rows come before."""
        return await self._has_more() if self._window.backwards else self._window.cursor is not None

    def write(self, cursor: Cursor) -> str:
        """A cursor of this connection as text."""
        return write_cursor(cursor, self._context.cursor_key, self._lists)

    async def read(self) -> None:
        """Reads the window. Raises InvalidCursor, BudgetExceeded, or what reading raises."""
        await self._open()
        while len(self.edges) < self._window.size:
            number = await self._next_stream()
            if number is None:
                break
            self.edges.append(self._edge(number, self._streams[number].pop()))
        if self._window.backwards:
            self.edges.reverse()

    async def _open(self) -> None:
        budget = self._context.budget()
        if self._window.cursor is None:
            self._streams = [
                Stream(self._read_page, request, budget, request.page_size)
                for request in self._lists
            ]
            return
        cursor = read_cursor(self._window.cursor, self._context.cursor_key, self._lists)
        for number, request in enumerate(self._lists):
            start, cut = cursor.start(number, request), Cut(cursor, number)
            stream = Stream(self._read_page, start, budget, request.page_size, cut)
            if self._window.backwards:
                await stream.turn_round(cursor)
            self._streams.append(stream)

    async def _read_page(self, request: ListRequest[R]) -> Page[R]:
        return await self._context.loaders.page(request, self._field)

    async def _next_stream(self) -> int | None:
        """The list whose next row comes first: newest first, of equals the first list's."""
        if len(self._streams) == 1:
            return 0 if await self._streams[0].head() else None
        best: tuple[datetime, int] | None = None
        for number, stream in enumerate(self._streams):
            row = await stream.head()
            if row is not None and (best is None or self._comes_before(created(row), best[0])):
                best = (created(row), number)
        return best[1] if best else None

    def _comes_before(self, date: datetime, best: datetime) -> bool:
        return date <= best if self._window.backwards else date > best

    async def _has_more(self) -> bool:
        for stream in self._streams:
            if await stream.has_more():
                return True
        return False

    def _edge(self, number: int, place: Place[R]) -> SliceEdge[R]:
        pages = [stream.page for stream in self._streams]
        pages[number] = place.follower
        date = created(place.row)
        cursor = Cursor(
            sid=place.row.sid,
            created=None if date == NEWEST else date,
            stream=number,
            inside=place.is_inside,
            pages=tuple((page.page.index, page.page.token, page.page_size) for page in pages),
        )
        return SliceEdge(place.row, cursor, self)


def require_lists(info: Info, lists: Sequence[ListRequest[R]]) -> None:
    """Raises Forbidden where the caller may not ask for one of these lists.

    A list filtered by number tells whether somebody is there, so it is for those who may know.
    """
    if any(request.is_personal for request in lists):
        info.context.caller.require(Scope.PII, "A filter by number or address")


async def read_slice(info: Info, lists: Sequence[ListRequest[R]], window: Window) -> Slice[R]:
    """The window of the connection over these lists. Raises Forbidden, and as Slice.read."""
    require_lists(info, lists)
    result = Slice(info.context, lists, window, field_path(info))
    await result.read()
    return result


@strawberry.type(
    description="Where a page of a connection stands (Relay).", directives=[Shareable()]
)
class PageInfo:
    """Relay's PageInfo; shareable, because every Relay subgraph has one."""

    start_cursor: str | None = strawberry.field(description="The cursor of the first edge.")
    end_cursor: str | None = strawberry.field(description="The cursor of the last edge.")

    @strawberry.field(description="Whether older rows follow.")
    @staticmethod
    async def has_next_page(page: strawberry.Parent[Slice[Resource]]) -> bool:
        """See Slice."""
        return await page.has_next_page()

    @strawberry.field(description="Whether newer rows come before.")
    @staticmethod
    async def has_previous_page(page: strawberry.Parent[Slice[Resource]]) -> bool:
        """See Slice."""
        return await page.has_previous_page()


@strawberry.type(description="One row of a connection, with its cursor (Relay).")
class Edge(Generic[T]):
    """Relay's edge; at run time a SliceEdge."""

    cursor: str = strawberry.field(description="The row's place, for `after` and `before`.")
    node: T = strawberry.field(description="The row.")


@strawberry.type(description="A page of a list, newest first (Relay).")
class Connection(Generic[T]):
    """Relay's connection, with `nodes` beside `edges`; at run time a Slice."""

    edges: list[Edge[T]] = strawberry.field(description="The rows with their cursors.")
    nodes: list[T] = strawberry.field(description="The rows without cursors.")
    page_info: PageInfo = strawberry.field(description="What lies beyond this page.")
