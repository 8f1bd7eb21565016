"""Sends a request: auth, timeouts, one pool, equal GETs as one.

The way out of the house. What comes back is a typed row, a typed page or an error of our tree; no
httpx object, no credential and no text of upstream's leaves this module.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx
import msgspec

from gateway.errors import (
    NeverSent,
    OutcomeUnknown,
    UpstreamAuth,
    UpstreamError,
    UpstreamInvalid,
    UpstreamNotFound,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.settings import Secret
from gateway.telemetry import UpstreamExchange, UpstreamHook, log_exchange
from gateway.upstream.pages import page_ref
from gateway.upstream.requests import API_ROOT, FetchRequest, ListRequest, Page
from gateway.upstream.resources import (
    CallResource,
    NotificationResource,
    RecordingResource,
    Resource,
)
from gateway.upstream.writes import FormRequest

__all__ = ["Account", "Limits", "UpstreamClient", "error_for_exception"]

R = TypeVar("R", bound=Resource)
T = TypeVar("T")

# httpx logs whole URLs, with phone numbers; httpcore logs headers, with the credential.
for _talkative in ("httpx", "httpcore"):
    logging.getLogger(_talkative).setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Account:
    """Whose calls, and the credential: SID and token, or API key and secret (FACTS section 2)."""

    sid: str
    username: str
    password: Secret


@dataclass(frozen=True)
class Limits:
    """`connect` and `read` in seconds, `read` from first to last byte; `in_flight` in requests."""

    connect: float = 3.0
    read: float = 8.0
    in_flight: int = 16


class UpstreamClient:
    """Twilio's Calls API for one account. Close it with `aclose`.

    Every read raises an UpstreamError and nothing else (besides the caller's own cancellation).
    """

    def __init__(
        self,
        account: Account,
        base_url: str,
        transport: httpx.AsyncBaseTransport | None = None,
        limits: Limits = Limits(),
        hook: UpstreamHook = log_exchange,
    ) -> None:
        self.account_sid = account.sid
        self._root = f"{base_url}{API_ROOT}{account.sid}/"
        self._limits = limits
        self._hook = hook
        self._turn = asyncio.Semaphore(limits.in_flight)
        self._flights = SingleFlight()
        self._http = httpx.AsyncClient(
            transport=transport,
            auth=httpx.BasicAuth(account.username, account.password.reveal()),
            headers={"Accept": "application/json", "User-Agent": "twilio-calls-gateway"},
            timeout=httpx.Timeout(limits.read, connect=limits.connect, pool=None),
            limits=httpx.Limits(
                max_connections=limits.in_flight, max_keepalive_connections=limits.in_flight
            ),
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=False,
        )

    async def fetch(self, request: FetchRequest[R], tell: UpstreamHook | None = None) -> R | None:
        """One resource; None when Twilio answers 404. `tell` hears of the exchange, if new."""
        url = self._url(request)
        row = await self._flights.join(url, lambda: self._fetch(request, url, tell))
        return row

    async def page(self, request: ListRequest[R], tell: UpstreamHook | None = None) -> Page[R]:
        """One page of a list, its rows held against the exact filter again."""
        url = self._url(request)
        envelope, seconds = await self._flights.join(
            url, lambda: self._envelope(request, url, tell)
        )
        list_url = self._root + request.path + ".json"
        index = request.page.index
        return Page(
            request=request,
            rows=tuple(row for row in envelope.rows if request.matches(row)),
            next=page_ref(envelope.next_page_uri, list_url, index + 1),
            previous=page_ref(envelope.previous_page_uri, list_url, max(index - 1, 0)),
            rows_read=len(envelope.rows),
            seconds=seconds,
        )

    async def send(self, request: FormRequest[R], tell: UpstreamHook | None = None) -> R:
        """Posts a form; the row that was made or changed.

        Repeated only after a 429 and where it certainly was not sent. Raises OutcomeUnknown where
        it may have happened.
        """
        url = self._root + request.path + ".json"
        for pause in (0.1, 0.5, None):
            try:
                body = await self._post(request, url, tell)
                row: R = _decode(ROW_DECODERS[request.kind], body)
                return row
            except (UpstreamRateLimited, NeverSent):
                if pause is None:
                    raise
                await asyncio.sleep(pause)
            except (UpstreamTimeout, UpstreamUnavailable, UpstreamInvalid) as error:
                raise OutcomeUnknown(str(error), status=error.status) from None
        raise AssertionError

    async def _post(self, request: FormRequest[Any], url: str, tell: UpstreamHook | None) -> bytes:
        started = time.monotonic()
        async with self._turn:
            try:
                async with asyncio.timeout(self._limits.read):
                    response = await self._http.post(
                        url,
                        content=urlencode(request.form).encode(),
                        headers={"Content-Type": "application/x-www-form-urlencoded"},
                    )
            except TimeoutError:
                raise UpstreamTimeout("Upstream did not answer in time") from None
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                raise error_for_exception(error) from None
        refusal = None if response.status_code == 201 else error_for_response(response)
        exchange = _exchange(request.path, time.monotonic() - started, response, refusal)
        for hook in (self._hook, tell):
            if hook is not None:
                hook(exchange)
        if refusal is not None:
            raise refusal
        return response.content

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    def _url(self, request: FetchRequest[Any] | ListRequest[Any]) -> str:
        return str(httpx.URL(self._root + request.path + ".json", params=request.query or None))

    async def _fetch(
        self, request: FetchRequest[R], url: str, tell: UpstreamHook | None
    ) -> R | None:
        try:
            body, _ = await self._get(request.path, url, tell)
            row: R = _decode(ROW_DECODERS[request.kind], body)
        except UpstreamNotFound:
            return None
        if row.sid != request.sid:
            raise UpstreamInvalid("Upstream answered with another resource than the one asked for")
        return row

    async def _envelope(
        self, request: ListRequest[Any], url: str, tell: UpstreamHook | None
    ) -> tuple[Any, float]:
        body, seconds = await self._get(request.path, url, tell)
        return _decode(LIST_DECODERS[request.kind], body), seconds

    async def _get(self, path: str, url: str, tell: UpstreamHook | None) -> tuple[bytes, float]:
        """The body, and the seconds from sending to its last byte."""

        def report(response: httpx.Response | None, failure: UpstreamError | None) -> float:
            seconds = time.monotonic() - started
            exchange = _exchange(path, seconds, response, failure)
            for hook in (self._hook, tell):
                if hook is not None:
                    hook(exchange)
            return seconds

        async with self._turn:
            started = time.monotonic()
            try:
                response = await self._send(url)
            except UpstreamError as failure:
                report(None, failure)
                raise
        refusal = error_for_response(response)
        seconds = report(response, refusal)
        if refusal is not None:
            raise refusal
        return response.content, seconds

    async def _send(self, url: str) -> httpx.Response:
        try:
            async with asyncio.timeout(self._limits.read):
                return await self._http.get(url)
        except TimeoutError:
            raise UpstreamTimeout("Upstream did not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise error_for_exception(error) from None


def _exchange(
    path: str, seconds: float, response: httpx.Response | None, failure: UpstreamError | None
) -> UpstreamExchange:
    return UpstreamExchange(
        path=path,
        seconds=seconds,
        status=response.status_code if response is not None else None,
        request_id=_request_id(response) if response is not None else None,
        failure=type(failure).__name__ if failure else None,
    )


class SingleFlight:
    """Equal reads in flight are one read; it is cancelled when the last who waits has left."""

    def __init__(self) -> None:
        self._flights: dict[str, tuple[asyncio.Task[Any], list[None]]] = {}

    async def join(self, key: str, start: Callable[[], Awaitable[T]]) -> T:
        """The outcome of the flight under this key, begun by `start` if there is none."""
        if key not in self._flights:
            self._flights[key] = (asyncio.ensure_future(start()), [])
        task, waiters = self._flights[key]
        waiters.append(None)
        try:
            outcome: T = await asyncio.shield(task)
            return outcome
        finally:
            waiters.pop()
            if task.done() or not waiters:
                self._land(key, task)

    def _land(self, key: str, task: asyncio.Task[Any]) -> None:
        task.cancel()
        if self._flights.get(key, (None,))[0] is task:
            del self._flights[key]


def _row_decoder(row: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(row)


def _list_decoder(kind: str, row: type[Any]) -> msgspec.json.Decoder[Any]:
    """The list envelope (FACTS section 5), with its rows under one name; other keys are ignored."""
    envelope = msgspec.defstruct(
        f"{kind}_envelope",
        [
            ("rows", list[row], msgspec.field(name=kind)),  # type: ignore[valid-type]
            ("next_page_uri", Any, None),
            ("previous_page_uri", Any, None),
        ],
    )
    return msgspec.json.Decoder(envelope)


ROWS = {
    "calls": CallResource,
    "recordings": RecordingResource,
    "notifications": NotificationResource,
}
ROW_DECODERS = {kind: _row_decoder(row) for kind, row in ROWS.items()}
LIST_DECODERS = {kind: _list_decoder(kind, row) for kind, row in ROWS.items()}


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamInvalid("Upstream sent something that is not the JSON of this API") from None


class _TwilioError(msgspec.Struct):
    """Twilio's error body (FACTS section 7); each property may be absent or odd."""

    code: Any = None
    more_info: Any = None


def error_for_response(response: httpx.Response) -> UpstreamError | None:
    """The error of our tree for an answer that is not a 200, with Twilio's numbers; else None."""
    status = response.status_code
    if status == 200:
        return None
    try:
        body = msgspec.json.decode(response.content, type=_TwilioError)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = _TwilioError()
    leaf, message = _leaf_for_status(status)
    return leaf(
        message,
        status=status,
        twilio_code=_error_number(body.code),
        more_info=_twilio_page(body.more_info),
        request_id=_request_id(response),
    )


def _leaf_for_status(status: int) -> tuple[type[UpstreamError], str]:
    if status == 404:
        return UpstreamNotFound, "Twilio has no such resource"
    if status == 429:
        return UpstreamRateLimited, "Twilio answered 429: too many requests at once"
    if status in {401, 403}:
        return UpstreamAuth, "Twilio refused the gateway's credential"
    if 400 <= status < 500:
        return UpstreamRejected, f"Twilio refused the request with status {status}"
    if status >= 500:
        return UpstreamUnavailable, f"Twilio answered with status {status}"
    return UpstreamInvalid, f"Upstream answered with status {status}, which this API does not use"


def _error_number(code: Any) -> int | None:
    """Twilio's numbers have five or six digits; GraphQL clients read 32-bit integers."""
    return code if type(code) is int and 0 < code < 1_000_000_000 else None


def _twilio_page(more_info: Any) -> str | None:
    """Only a link to Twilio's own pages is passed on."""
    pattern = r"https://www\.twilio\.com/[A-Za-z0-9/_.#-]{1,200}"
    if isinstance(more_info, str) and re.fullmatch(pattern, more_info):
        return more_info
    return None


def _request_id(response: httpx.Response) -> str | None:
    value = response.headers.get("Twilio-Request-Id", "")
    return value if re.fullmatch("[A-Za-z0-9_-]{1,64}", value) else None


# By phase, the more special before the more general; the first that fits is taken.
LEAF_FOR_EXCEPTION: tuple[tuple[type[Exception], type[UpstreamError], str], ...] = (
    (httpx.ConnectTimeout, NeverSent, "Upstream could not be reached in time"),
    (httpx.PoolTimeout, NeverSent, "No connection upstream was free in time"),
    (httpx.TimeoutException, UpstreamTimeout, "Upstream did not answer in time"),
    (httpx.ConnectError, NeverSent, "Upstream could not be reached"),
    (httpx.ProxyError, NeverSent, "Upstream could not be reached"),
    (httpx.UnsupportedProtocol, NeverSent, "Upstream could not be reached"),
    (httpx.LocalProtocolError, NeverSent, "The request could not be sent"),
    (httpx.InvalidURL, NeverSent, "The request could not be sent"),
    (httpx.DecodingError, UpstreamInvalid, "Upstream sent a body that cannot be decoded"),
    (httpx.TooManyRedirects, UpstreamInvalid, "Upstream redirects in a circle"),
    (httpx.HTTPError, UpstreamUnavailable, "The connection upstream broke"),
    (httpx.StreamError, UpstreamUnavailable, "The connection upstream broke"),
)


def error_for_exception(error: Exception) -> UpstreamError:
    """The error of our tree for any of httpx's, by phase, with our text: theirs holds the URL."""
    for theirs, ours, message in LEAF_FOR_EXCEPTION:
        if isinstance(error, theirs):
            return ours(message)
    return UpstreamUnavailable("The connection upstream broke")
