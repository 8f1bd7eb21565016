"""The client: Twilio's Calls API for one account and one credential.

A read is answered from the cache, by an equal read in flight, or by upstream. Each client has its
own cache, connections, breakers and limits; several gateways may share a further cache. This module
must not know why something is read.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx

from gateway.access import Account
from gateway.errors import UpstreamNotFound
from gateway.settings import UpstreamSettings
from gateway.telemetry.records import UpstreamHook, log_exchange
from gateway.telemetry.samples import UpstreamSample
from gateway.upstream.aiohttp_transport import AiohttpTransport
from gateway.upstream.breaker import BreakerState
from gateway.upstream.cache import Cache
from gateway.upstream.calls import CallResource
from gateway.upstream.concurrency import AdmissionQueue, Priority
from gateway.upstream.decoding import RowList, list_of, row_of
from gateway.upstream.httpx_transport import HttpxTransport
from gateway.upstream.lifetimes import lifetime, may_be_immutable
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
from gateway.upstream.sending import HttpRequest, Transport, tls_context
from gateway.upstream.shared_cache import Entry, SharedCache, SharedEntries
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
Cached = tuple[Any, float]
"""A row or page that cannot change, and for how many seconds it is kept."""
SID_OF = attrgetter("sid")
# The most bytes of a response: the largest single resource is a notification with a whole TwiML
# response; a row of a list has 2.2 KB (docs/twilio.md#10-facts-for-the-planner), and may have
# nearly four times as much.
MEBIBYTE = 1024 * 1024
MAX_RESOURCE, MAX_ROW = MEBIBYTE, 8 * 1024


def utc_now() -> datetime:
    """The time in UTC; the default clock of the gateway."""
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
        *,
        shared: SharedCache | None = None,
    ) -> None:
        self.account = account
        self.account_sid = account.sid
        self._root = f"{settings.base_url}{API_ROOT}{account.sid}/"
        self._read_timeout = settings.read_timeout
        self._now = now
        self._transport = _transport(account, settings, transport)
        self._pipeline = RequestPipeline(self._transport, settings, hook)
        self._single_flight = SingleFlight()
        self._cache = Cache(settings.cache_size * MEBIBYTE)
        self._hits = self._misses = 0
        is_shared = shared is not None and settings.cache_size > 0
        self._shared = SharedEntries(shared, account) if shared and is_shared else None

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight at present."""
        return self._pipeline.concurrency

    @property
    def queue(self) -> AdmissionQueue:
        """The queue of requests and its limit."""
        return self._pipeline.queue

    @property
    def last_read(self) -> LastRead | None:
        """The last read of calls that shows how upstream is; None before the first."""
        return self._pipeline.last_read

    def breakers(self) -> dict[str, BreakerState]:
        """The state of the breaker of each kind of resource."""
        return self._pipeline.breakers()

    def sample(self) -> UpstreamSample:
        """The state of this client, and what it has counted so far."""
        return replace(
            self._pipeline.sample(),
            cache_hits=self._hits,
            cache_misses=self._misses,
            cache_bytes=self._cache.bytes,
            cache_evictions=self._cache.evictions,
            cache_store=dict(self._shared.results) if self._shared else {},
        )

    @property
    def shares_cache(self) -> bool:
        """True if `recall` may find something."""
        return self._shared is not None

    def cached(self, request: FetchRequest[Any] | ListRequest[Any]) -> Cached | None:
        """The row or page of an earlier equal request, if it is immutable and still cached."""
        found = self._cache.get(request, self._now()) if request in self._cache else None
        self._hits += found is not None
        self._misses += found is None
        return found

    async def recall(self, requests: Mapping[Any, CallResource | None]) -> Mapping[Any, Cached]:
        """The answers that other gateways have read and shared, which are cached here from now on.

        With each request comes the call whose list it is, where that is known.
        """
        if self._shared is None:
            return {}
        now = self._now()

        def cached(request: Any, entry: Entry) -> Cached | None:
            """None where it is too old or, whatever the store says, can change."""
            answer, read_at = self._decoded(request, entry.body), min(entry.read_at, now)
            if isinstance(answer, RowList):
                answer = self._page(request, answer)
            self._cache.put(request, answer, len(entry.body), read_at, requests[request])
            return self._cache.get(request, now)

        urls = {
            request: self._url(request)
            for request, owner in requests.items()
            if may_be_immutable(request, now, owner)
        }
        return await self._shared.read(urls, cached)

    def lifetime(self, request: Any, answer: Any, owner: CallResource | None = None) -> float:
        """For how many seconds an answer may be reused; see lifetimes."""
        return lifetime(request, answer, self._now(), owner).total_seconds()

    async def fetch(
        self,
        request: FetchRequest[R],
        on_attempt: UpstreamHook | None = None,
        context: RequestContext = ANONYMOUS_CONTEXT,
    ) -> R | None:
        """One resource; None when Twilio answers 404.

        `on_attempt` is called for each attempt; a read that joins one in flight calls nothing.
        """

        try:
            result = await self._start_or_join(
                request,
                MAX_RESOURCE,
                on_attempt,
                context,
            )
        except UpstreamNotFound:
            return None
        row: R = result.answer
        self._cache_answer(request, row, result)
        return row

    async def page(
        self,
        request: ListRequest[R],
        on_attempt: UpstreamHook | None = None,
        context: RequestContext = ANONYMOUS_CONTEXT,
        owner: CallResource | None = None,
    ) -> Page[R]:
        """One page of a list, its rows checked against the exact filter.

        `owner` is the call whose list it is; where it is known, the page may be cached.
        """
        result = await self._start_or_join(
            request,
            MAX_RESOURCE + request.page_size * MAX_ROW,
            on_attempt,
            context,
        )
        page: Page[R] = self._page(request, result.answer, result.seconds)
        if page.left_out:
            log.warning(
                "upstream sent %d of %d %s without a readable SID: they were left out",
                page.left_out,
                page.rows_read,
                request.kind,
            )
        self._cache_answer(request, page, result, owner)
        return page

    async def send(
        self,
        request: FormRequest[R],
        on_attempt: UpstreamHook | None = None,
        context: RequestContext = ANONYMOUS_CONTEXT,
    ) -> R:
        """Posts a form and returns the row that was made or changed.

        It is retried only after a 429, or where it certainly was not sent. Raises OutcomeUnknown
        where the write may have happened.
        """

        def decode(body: bytes) -> Any:
            return row_of(request.resource, body, request.sid, self.account_sid)

        url = self._root + request.path + ".json"
        http_request = HttpRequest("POST", url, MAX_RESOURCE, request.form)
        upstream_request = UpstreamRequest(request.path, request.kind, http_request, decode)
        mutation_context = RequestContext(context.operation, Priority.MUTATION, context.until)
        deadline = Deadline(self._deadline(mutation_context))
        result = await self._pipeline.run(upstream_request, mutation_context, on_attempt, deadline)
        row: R = result.answer
        return row

    async def aclose(self) -> None:
        """Closes the connections."""
        self._pipeline.close()
        await self._transport.aclose()

    def _start_or_join(
        self,
        request: FetchRequest[Any] | ListRequest[Any],
        max_bytes: int,
        on_attempt: UpstreamHook | None,
        context: RequestContext,
    ) -> Awaitable[AttemptResult[Any]]:
        """The result of this GET, or of an equal one in flight."""
        url, decode = self._url(request), partial(self._decoded, request)
        upstream_request = UpstreamRequest(
            request.path, request.kind, HttpRequest("GET", url, max_bytes), decode
        )
        start = partial(self._pipeline.run, upstream_request, context, on_attempt)
        return self._single_flight.do(url, self._deadline(context), start)

    def _url(self, request: FetchRequest[Any] | ListRequest[Any]) -> str:
        url = f"{self._root}{request.path}.json"
        return f"{url}?{urlencode(query)}" if (query := request.query) else url

    def _decoded(self, request: FetchRequest[Any] | ListRequest[Any], body: bytes) -> Any:
        """The row or the RowList in the body of a response. Raises UpstreamInvalid."""
        if isinstance(request, FetchRequest):
            return row_of(request.resource, body, request.sid, self.account_sid)
        return list_of(request.resource, body, self.account_sid)

    def _page(self, request: ListRequest[R], row_list: RowList, seconds: float = 0.0) -> Page[R]:
        """The page of these rows. Raises UpstreamInvalid for a link that leaves the list."""
        list_url, index = self._root + request.path + ".json", request.page.index
        following = page_ref(row_list.next_page_uri, list_url, index + 1)
        return Page(
            request=request,
            rows=tuple(filter(request.matches, row_list.rows)),
            next=None if request.is_past(row_list.rows) else following,
            previous=page_ref(row_list.previous_page_uri, list_url, max(index - 1, 0)),
            rows_read=len(row_list.rows) + row_list.left_out,
            left_out=row_list.left_out,
            seconds=seconds,
            sids=tuple(map(SID_OF, row_list.rows)),
        )

    def _deadline(self, context: RequestContext) -> float:
        return context.deadline(asyncio.get_running_loop().time(), self._read_timeout)

    def _cache_answer(
        self,
        request: Any,
        answer: Any,
        result: AttemptResult[Any],
        owner: CallResource | None = None,
    ) -> None:
        body, now = result.reply.body if result.reply else b"", self._now()
        if self._cache.put(request, answer, len(body), now, owner) and self._shared:
            self._shared.write(self._url(request), Entry(now, body))


def _transport(
    account: Account, settings: UpstreamSettings, in_process: httpx.AsyncBaseTransport | None
) -> Transport:
    """httpx where it replaces the network or needs a proxy, else the faster aiohttp."""
    given = (account, tls_context(), settings.connect_timeout)
    if in_process is None and settings.proxy is None:
        return AiohttpTransport(*given)
    return HttpxTransport(*given, transport=in_process, proxy=settings.proxy)
