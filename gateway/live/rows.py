"""The row that belongs to a notice: read from upstream once for all who watch here.

This module must not know who watches, nor when a call is polled.

Note [Fresh rows]. A notice knows a call's status and little else, and watchers are told whole calls.
Upstream may lag behind its own webhook, fail, or be ahead of it. A row that lags or cannot be read
takes over what the notice says (status and facts), so what a watcher is told is never older than
the news. A row that is ahead is news itself, and is published for all.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import msgspec

from gateway.errors import UpstreamError, UpstreamInvalid
from gateway.live.events import FINAL, PLACE, CallNotice, Source
from gateway.live.store import Store
from gateway.upstream.client import UpstreamClient
from gateway.upstream.pages import Budget, PageWalk
from gateway.upstream.requests import FetchCall, ListCalls
from gateway.upstream.resources import CallResource, CallStatus

__all__ = ["LIVE", "PAGE_SIZE", "Rows", "notice_of", "status_of"]

LIVE = tuple(status for status in PLACE if status not in FINAL)
"""In the order in which a call goes through them. See Note [Forward] in `polling`."""
PAGE_SIZE = 1000
MAX_PAGES = 5
MAX_ROWS = 1000


def status_of(row: CallResource) -> CallStatus:
    """The row's status; UNKNOWN where it cannot be read."""
    try:
        return row.status or CallStatus.UNKNOWN
    except UpstreamInvalid:
        return CallStatus.UNKNOWN


def notice_of(row: CallResource, at: datetime, source: Source = Source.POLL) -> CallNotice:
    """What a row that was just read says of its call."""
    return CallNotice(call_sid=row.sid, status=status_of(row), at=at, source=source)


class Rows:
    """The newest rows of the calls that are watched here. `now` is the time in UTC."""

    def __init__(
        self, client: UpstreamClient, store: Store, now: Callable[[], datetime]
    ) -> None:
        self._client = client
        self._store = store
        self._now = now
        self._rows: OrderedDict[str, tuple[CallNotice | None, CallResource]] = OrderedDict()

    async def current(self, sid: str) -> CallResource | None:
        """The call as it is now, None when there is none. Raises UpstreamError."""
        row = await self._client.fetch(FetchCall(sid=sid))
        return None if row is None else await self.note(row)

    async def fresh(self, notice: CallNotice) -> CallResource:
        """The call as it is after this notice. See Note [Fresh rows]."""
        answers, row = self._rows.get(notice.call_sid, (None, None))
        if row is not None and answers == notice:
            return row
        try:
            newer = await self._client.fetch(FetchCall(sid=notice.call_sid))
        except UpstreamError:
            newer = None
        row = _caught_up(newer or row or self._unread(notice), notice)
        self._keep(notice, row)
        if newer is not None:
            await self._publish(newer)
        return row

    async def note(self, row: CallResource) -> CallResource:
        """Takes a row that was read: it is news where it is ahead, and catches up where it lags."""
        await self._publish(row)
        state = self._store.state(row.sid)
        if state is not None:
            row = _caught_up(row, state)
        self._keep(state, row)
        return row

    async def live(self, lists: ListCalls) -> AsyncIterator[CallResource]:
        """The calls of a list of every status that are live now, each once."""
        seen: set[str] = set()
        for status in LIVE:
            walk = PageWalk(
                self._client.page,
                lists.with_status(status).at(lists.page, PAGE_SIZE),
                Budget(MAX_PAGES, MAX_PAGES * PAGE_SIZE),
                page_size=PAGE_SIZE,
            )
            while (page := await walk.turn()) is not None:
                for row in page.rows:
                    if row.sid not in seen:
                        seen.add(row.sid)
                        yield await self.note(row)

    async def _publish(self, row: CallResource) -> None:
        await self._store.publish(notice_of(row, self._now()))

    def _keep(self, answers: CallNotice | None, row: CallResource) -> None:
        self._rows[row.sid] = (answers, row)
        self._rows.move_to_end(row.sid)
        if len(self._rows) > MAX_ROWS:
            self._rows.popitem(last=False)

    def _unread(self, notice: CallNotice) -> CallResource:
        """A call of which nothing is known but what notices say."""
        given = {"sid": notice.call_sid, "account_sid": self._client.account_sid}
        return msgspec.convert(given, CallResource)


def _caught_up(row: CallResource, notice: CallNotice) -> CallResource:
    """The row, with what the notice knows where the row lags behind it."""
    if PLACE.get(status_of(row), -1) >= PLACE[notice.status]:
        return row
    known: dict[str, Any] = msgspec.to_builtins(row)
    return msgspec.convert(
        {**known, **dict(notice.facts), "status": notice.status.value}, CallResource
    )
