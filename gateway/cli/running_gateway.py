"""A client of a running gateway, for the commands that ask one over HTTP.

What it cannot get raises: SettingsError where the caller must give something else, RequestRefused
where the gateway answers with errors, Disconnected where trying again may help. This module must
not know what is asked.
"""

import os
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import httpx
import msgspec

from gateway.cli.options import DEFAULT_URL
from gateway.settings import TOKEN_VARIABLE, URL_VARIABLE, SettingsError, is_loopback

__all__ = ["Disconnected", "RequestRefused", "RunningGateway"]

Response = dict[str, Any]
SILENCE = 30.0
"""Seconds without a byte after which a stream counts as broken; the gateway sends each 12 s."""
GIVE_TOKEN = f"give a token (in passthrough: SID:SECRET) by --token or {TOKEN_VARIABLE}"


class Disconnected(Exception):
    """No gateway answers, or not now; the message says why."""


class RequestRefused(Exception):
    """The gateway answers with errors; the message has theirs."""


class RunningGateway:
    """The gateway at one URL, asked with one credential. A context manager that disconnects."""

    def __init__(self, url: str | None, token: str | None) -> None:
        token = token or os.environ.get(TOKEN_VARIABLE, "").strip()
        base = _base_url(url or os.environ.get(URL_VARIABLE, "").strip() or DEFAULT_URL)
        self.url = str(base.copy_with(userinfo=b""))
        self._http = httpx.Client(
            base_url=base,
            headers={"Authorization": _authorization(token)} if token else {},
            timeout=httpx.Timeout(SILENCE, connect=5.0),
            trust_env=not is_loopback(base.host),  # a proxy does not reach this machine
        )

    def __enter__(self) -> "RunningGateway":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def health(self) -> Response:
        """What its liveness probe says."""
        return self._read(self._send("GET", "/healthz", {}))

    def data(self, query: str, variables: Mapping[str, Any]) -> Any:
        """The data of a response without errors."""
        body = {"query": query, "variables": variables}
        response = self._read(self._send("POST", "/graphql", {"json": body}))
        if errors := response.get("errors"):
            raise RequestRefused(_messages(errors))
        return response["data"]

    def events(self, query: str, variables: Mapping[str, Any]) -> Iterator[Response | None]:
        """The results of a subscription, after None when it is connected.

        Always ends by raising: Disconnected when the stream ends, whatever ended it.
        """
        body = {"query": query, "variables": variables}
        accept = {"Accept": "text/event-stream"}
        try:
            with self._http.stream("POST", "/graphql", json=body, headers=accept) as response:
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    response.read()
                    raise RequestRefused(_messages(self._read(response).get("errors")))
                yield None
                for line in _lines(response):
                    if line.startswith(b"data: "):
                        yield msgspec.json.decode(line.removeprefix(b"data: "))
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise Disconnected(_reason(error)) from None
        raise Disconnected("the gateway ended the stream")

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> httpx.Response:
        try:
            return self._http.request(method, path, **body)
        except httpx.HTTPError as error:
            raise Disconnected(_reason(error)) from None

    def _read(self, response: httpx.Response) -> Response:
        """The JSON object of a response."""
        try:
            answer = msgspec.json.decode(response.content, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError):
            answer = {}
        if response.status_code in {401, 403}:
            message = _messages(answer.get("errors")) or "the gateway refuses this caller"
            raise SettingsError(f"--token: {message}; {GIVE_TOKEN}")
        if response.status_code >= 500 or response.status_code == 429:
            raise Disconnected(_messages(answer.get("errors")) or f"HTTP {response.status_code}")
        if not answer:
            raise SettingsError(f"--url: {self.url} is no gateway (HTTP {response.status_code})")
        return answer


def _lines(response: httpx.Response) -> Iterator[bytes]:
    """The stream's lines, as they come. They end with LF; JSON may hold other line separators."""
    rest = b""
    for chunk in response.iter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def _base_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text.rstrip("/").removesuffix("/graphql"))
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise SettingsError("--url: must be an http or https URL")
    return url


def _authorization(token: str) -> str:
    """A bearer token has no colon; an account SID (or key) with its secret has one."""
    if not re.fullmatch("[!-~]+", token):
        raise SettingsError("--token: must be printable ASCII without spaces")
    is_basic = ":" in token
    return f"Basic {b64encode(token.encode()).decode()}" if is_basic else f"Bearer {token}"


def _messages(errors: Any) -> str:
    return "; ".join(str(error.get("message")) for error in errors or ())


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
