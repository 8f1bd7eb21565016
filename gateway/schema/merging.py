"""Several upstream lists as one, newest first: one list for each status of the filter.

Each row is returned once, even if rows move between the lists while they are read. This module must
not know what the rows are, nor how a list is read.

Note [Moved rows]. A call that changes its status leaves one list and enters another. Within one
page of the connection, a row that was returned already is dropped. Across pages the cursor decides:
a row below its position with a newer key than the cursor's was not there when the cursor was made.
So it has moved from another list, or is a new call. It is dropped, too.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, TypeVar

from gateway.schema.cursors import Cursor, PositionKind
from gateway.schema.streams import (
    Downward,
    ListSource,
    Mark,
    Stream,
    StreamRow,
    position_at,
    position_of,
)
from gateway.schema.upward_streams import Upward
from gateway.upstream.requests import FIRST_PAGE
from gateway.upstream.resources import Resource

__all__ = ["Merge", "MergedRow"]

R = TypeVar("R", bound=Resource)


@dataclass(frozen=True, slots=True)
class MergedRow(Generic[R]):
    """A row, the list that it came from, and where all lists stood then."""

    entry: StreamRow[R]
    stream: int
    marks: tuple[Mark[R], ...]

    @property
    def cursor(self) -> Cursor:
        """The row's own cursor."""
        positions = tuple(position_of(mark) for mark in self.marks)
        return Cursor(stream=self.stream, is_row=True, key=self.entry.key, positions=positions)


class Merge(Generic[R]):
    """The rows after a cursor, or before it if `upward`, nearest first; else from the top."""

    def __init__(
        self,
        sources: Sequence[ListSource[R]],
        cursor: Cursor | None = None,
        *,
        upward: bool = False,
    ) -> None:
        top = [
            position_at(PositionKind.BEGINS, FIRST_PAGE, source.request.page_size)
            for source in sources
        ]
        self._after = cursor or Cursor(stream=0, is_row=False, key=None, positions=tuple(top))
        self._is_upward = upward
        self._streams: list[Stream[R]] = []
        for number, (source, position) in enumerate(
            zip(sources, self._after.positions, strict=True)
        ):
            is_own = self._after.is_row and number == self._after.stream
            is_keyed = len(sources) > 1
            self._streams.append(
                Upward(source, position, skips_row=is_own, is_keyed=is_keyed)
                if upward
                else Downward(source, position, is_keyed=is_keyed)
            )
        self._seen = self._excluded_rows()
        self._last: tuple[int, StreamRow[R]] | None = None

    def _excluded_rows(self) -> set[str]:
        """The rows not to return again: downward the last row of each list, upward the own row."""
        if not self._is_upward:
            return {
                position.after for position in self._after.positions if position.after is not None
            }
        own = self._after.positions[self._after.stream].after
        return {own} if self._after.is_row and own is not None else set()

    @property
    def has_begun(self) -> bool:
        """True if every list has had a page read, or has ended."""
        return all(stream.pages or stream.is_ended for stream in self._streams)

    @property
    def frontier(self) -> Cursor:
        """How far the lists were read.

        The cursor names no row, except upward while the start cursor's own row is not found yet.
        """
        positions = tuple(stream.frontier for stream in self._streams)
        if self._last is not None:
            number, last = self._last
            return Cursor(stream=number, is_row=False, key=last.key, positions=positions)
        own = self._after.stream
        is_same = positions[own].after == self._after.positions[own].after
        is_row = self._after.is_row and self._is_upward and is_same
        return Cursor(stream=own, is_row=is_row, key=self._after.key, positions=positions)

    async def next(self) -> MergedRow[R] | None:
        """Removes and returns the next row; None at the end. Raises as reading a page does."""
        number = await self._next_list()
        if number is None:
            return None
        stream = self._streams[number]
        if self._is_upward:
            marks = tuple(stream.mark for stream in self._streams)
            entry = stream.pop()
        else:
            entry = stream.pop()
            marks = tuple(stream.mark for stream in self._streams)
        self._last = number, entry
        self._seen.add(entry.row.sid)
        return MergedRow(entry, number, marks)

    async def has_more(self) -> bool:
        """True if there is a further row. May read on, in smaller pages."""
        self._drop_unwanted()
        if any(stream.next is not None for stream in self._streams):
            return True
        for stream in self._streams:
            stream.probe()
        return await self._next_list() is not None

    async def _next_list(self) -> int | None:
        """The number of the list with the next row; None at the end.

        Downward the newest row is next, of equal keys the first list's. Upward it is the oldest, of
        equal keys the last list's.
        """
        self._drop_unwanted()
        while waiting := [stream for stream in self._streams if not stream.is_loaded]:
            await _load(waiting)
            self._drop_unwanted()
        keys = [
            (number, stream.next.key)
            for number, stream in enumerate(self._streams)
            if stream.next is not None
        ]
        if len(keys) < 2:
            return keys[0][0] if keys else None
        if self._is_upward:
            return min(reversed(keys), key=itemgetter(1))[0]
        return max(keys, key=itemgetter(1))[0]

    def _drop_unwanted(self) -> None:
        """Drops next rows that were returned already or have moved."""
        for number, stream in enumerate(self._streams):
            while stream.next is not None and self._is_dropped(number, stream.next):
                stream.pop()

    def _is_dropped(self, number: int, entry: StreamRow[R]) -> bool:
        """See Note [Moved rows]."""
        if entry.row.sid in self._seen:
            return True
        if self._is_upward or entry.key is None or self._after.key is None:
            return False
        comes_first = entry.key == self._after.key and number < self._after.stream
        return entry.key > self._after.key or comes_first


async def _load(streams: Sequence[Stream[R]]) -> None:
    """Reads the next row of each stream concurrently. If one fails, the others finish first."""
    if len(streams) == 1:
        await streams[0].load()
        return
    results = await asyncio.gather(*(stream.load() for stream in streams), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
