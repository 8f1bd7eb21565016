"""The client: Twilio's Calls API for one account and one credential.

A read is answered from what cannot change any more, by an equal read in flight, or by upstream; all
that it learns and keeps lives in the one client. This module must not know why something is read.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx

from gateway.access import Account
from gateway.errors import UpstreamNotFound
from gateway.settings import UpstreamSettings
from gateway.telemetry.records import UpstreamHook, log_exchange
from gateway.upstream.breaker import BreakerState
from gateway.upstream.cache import Cache
from gateway.upstream.concurrency import Priority
from gateway.upstream.decoding import RowList, list_of, row_of
from gateway.upstream.pages import page_ref
from gateway.upstream.pipeline import (
    ANONYMOUS_CONTEXT,
    AttemptResult,
    LastRead,
    RequestContext,
    RequestPipeline,
    UpstreamRequest,
)
from gateway.upstream.requests import API_ROOT, FetchRequest, ListRequest, Page
from gateway.upstream.resources import Resource
from gateway.upstream.sending import HttpRequest, Sender
from gateway.upstream.single_flight import Deadline, SingleFlight
from gateway.upstream.writes import FormRequest

__all__ = [
    "Account",
    "LastRead",
    "Priority",
    "RequestContext",
    "UpstreamClient",
    "utc_now",
]

log = logging.getLogger(__name__)
R = TypeVar("R", bound=Resource)
# Bytes of an answer: the largest single resource is a notification with a whole TwiML response; a
# row of a list has 2.2 KB (FACTS section 10), and may have nearly four times as much.
MEBIBYTE = 1024 * 1024
MAX_RESOURCE, MAX_ROW = MEBIBYTE, 8 * 1024


def utc_now() -> datetime:
    """The time, as the gateway's clocks are when nobody gives another."""
    return datetime.now(UTC)


class UpstreamClient:
    """Twilio's Calls API for one account. Close it with `aclose`.

    Every read raises an UpstreamError and nothing else (besides the caller's own cancellation).
    """

    def __init__(
        self,
        account: Account,
        settings: UpstreamSettings,
        transport: httpx.AsyncBaseTransport | None = None,
        hook: UpstreamHook = log_exchange,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.account = account
        self.account_sid = account.sid
        self._root = f"{settings.base_url}{API_ROOT}{account.sid}/"
        self._read_timeout = settings.read_timeout
        self._now = now
        self._sender = Sender(account, settings.connect_timeout, transport)
        self._pipeline = RequestPipeline(self._sender, settings, hook)
        self._single_flight = SingleFlight()
        self._cache = Cache(settings.cache_size * MEBIBYTE)

    @property
    def concurrency(self) -> int:
        """How many requests may run at once at present."""
        return self._pipeline.concurrency

    @property
    def last_read(self) -> LastRead | None:
        """How the last read of calls ended that says something of upstream; None before it."""
        return self._pipeline.last_read

    def breakers(self) -> dict[str, BreakerState]:
        """Each kind of resource, and whether upstream is asked for it at present."""
        return self._pipeline.breakers()

    def cached(self, request: FetchRequest[Any] | ListRequest[Any]) -> Any | None:
        """The row or page that this request brought earlier, if it cannot have changed since."""
        return self._cache.get(request, self._now())

    async def fetch(
        self,
        request: FetchRequest[R],
        on_attempt: UpstreamHook | None = None,
        context: RequestContext = ANONYMOUS_CONTEXT,
    ) -> R | None:
        """One resource; None when Twilio answers 404. `tell` hears of each try, if new."""

        def decode(body: bytes) -> Any:
            return row_of(request.resource, body, request.sid, self.account_sid)

        try:
            outcome = await self._read(request, MAX_RESOURCE, decode, on_attempt, context)
        except UpstreamNotFound:
            return None
        row: R = outcome.answer
        self._keep(request, row, outcome)
        return row

    async def page(
        self,
        request: ListRequest[R],
        on_attempt: UpstreamHook | None = None,
        context: RequestContext = ANONYMOUS_CONTEXT,
    ) -> Page[R]:
        """One page of a list, its rows held against the exact filter again."""

        def decode(body: bytes) -> RowList:
            return list_of(request.resource, body, self.account_sid)

        max_bytes = MAX_RESOURCE + request.page_size * MAX_ROW
        outcome = await self._read(request, max_bytes, decode, on_attempt, context)
        listed: RowList = outcome.answer
        list_url, index = self._root + request.path + ".json", request.page.index
        page = Page(
            request=request,
            rows=tuple(row for row in listed.rows if request.matches(row)),
            next=page_ref(listed.next_page_uri, list_url, index + 1),
            previous=page_ref(listed.previous_page_uri, list_url, max(index - 1, 0)),
            rows_read=len(listed.rows) + listed.left_out,
            left_out=listed.left_out,
            seconds=outcome.seconds,
            sids=tuple(row.sid for row in listed.rows),
        )
        if page.left_out:
            log.warning(
                "upstream sent %d of %d %s without a readable SID: they were left out",
                page.left_out,
                page.rows_read,
                request.kind,
            )
        self._keep(request, page, outcome)
        return page

    async def send(
        self,
        request: FormRequest[R],
        on_attempt: UpstreamHook | None = None,
        context: RequestContext = ANONYMOUS_CONTEXT,
    ) -> R:
        """Posts a form; the row that was made or changed.

        Repeated only after a 429 and where it certainly was not sent. Raises OutcomeUnknown where
        it may have happened.
        """

        def decode(body: bytes) -> Any:
            return row_of(request.resource, body, request.sid, self.account_sid)

        url = self._root + request.path + ".json"
        sending = HttpRequest("POST", url, MAX_RESOURCE, request.form)
        outgoing = UpstreamRequest(request.path, request.kind, sending, decode)
        first = RequestContext(context.operation, Priority.MUTATION, context.until)
        deadline = Deadline(self._until(first))
        outcome = await self._pipeline.run(outgoing, deadline, first, on_attempt)
        row: R = outcome.answer
        return row

    async def aclose(self) -> None:
        """Closes the connections."""
        self._pipeline.close()
        await self._sender.aclose()

    async def _read(
        self,
        request: FetchRequest[Any] | ListRequest[Any],
        max_bytes: int,
        decode: Callable[[bytes], Any],
        on_attempt: UpstreamHook | None,
        context: RequestContext,
    ) -> AttemptResult[Any]:
        """The outcome of this GET, or of an equal one in flight."""
        url = str(httpx.URL(self._root + request.path + ".json", params=request.query or None))
        outgoing = UpstreamRequest(
            request.path, request.kind, HttpRequest("GET", url, max_bytes), decode
        )

        def start(deadline: Deadline) -> Awaitable[AttemptResult[Any]]:
            return self._pipeline.run(outgoing, deadline, context, on_attempt)

        return await self._single_flight.do(url, self._until(context), start)

    def _until(self, context: RequestContext) -> float:
        return context.deadline(asyncio.get_running_loop().time(), self._read_timeout)

    def _keep(self, request: Any, answer: Any, outcome: AttemptResult[Any]) -> None:
        length = len(outcome.reply.body) if outcome.reply else 0
        self._cache.put(request, answer, length, self._now())
