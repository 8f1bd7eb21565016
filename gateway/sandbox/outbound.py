"""Requests that the sandbox sends to applications: for TwiML, and status and recording callbacks.

A request is a value; ``send`` sends it, blocks, and never raises. Only the loopback interface is
reached unless other hosts are allowed. Knows no rows and no SQL.
"""

import base64
import hashlib
import hmac
import http.client
import ipaddress
import socket
from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlencode, urljoin, urlsplit

import msgspec

TIMEOUT = 15.0
"""Seconds to wait for an application's response."""
_MAX_BODY = 64 * 1024  # bytes of a response that are read
_MAX_REQUESTS = 5


class OutboundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request about a call; ``purpose`` says what its response is for."""

    sid: str
    at: float
    """The sandbox time at which it is sent, and at which its response takes effect."""
    url: str
    method: Literal["GET", "POST"] = "POST"
    parameters: tuple[tuple[str, str], ...]
    purpose: Literal["twiml", "fallback", "status", "recording"]
    generation: int = 0


class OutboundResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An application's response. ``status`` is None if none came; ``text`` then says why."""

    status: int | None
    text: str
    content_type: str = ""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return self.status is not None and 200 <= self.status < 300


def signature(token: str, url: str, parameters: Sequence[tuple[str, str]]) -> str:
    """X-Twilio-Signature of a form POST, or of a GET without parameters.

    See docs/twilio.md#9-webhooks.
    """
    text = url + "".join(name + value for name, value in sorted(set(parameters)))
    digest = hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def send(request: OutboundRequest, token: str, *, anywhere: bool) -> OutboundResponse:
    """Signs and sends a request; follows redirects with GET, as the service does."""
    url, method, parameters = request.url, request.method, request.parameters
    for _ in range(_MAX_REQUESTS):
        try:
            response, location = _send_once(method, url, parameters, token, anywhere=anywhere)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return OutboundResponse(status=None, text=str(error) or type(error).__name__)
        if not location:
            return response
        url, method, parameters = urljoin(url, location), "GET", ()
    return OutboundResponse(status=None, text="too many redirects")


def _send_once(
    method: str,
    url: str,
    parameters: Sequence[tuple[str, str]],
    token: str,
    *,
    anywhere: bool,
) -> tuple[OutboundResponse, str | None]:
    if method == "GET" and parameters:
        url += ("&" if urlsplit(url).query else "?") + urlencode(parameters)
        parameters = ()
    headers = {
        "X-Twilio-Signature": signature(token, url, parameters),
        "User-Agent": "TwilioProxy/1.1",
        "Accept": "*/*",
    }
    if method == "POST":
        headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
    connection = _connection(url, anywhere=anywhere)
    try:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        body = urlencode(parameters) if method == "POST" else None
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        text = response.read(_MAX_BODY).decode("utf-8", "replace")
    finally:
        connection.close()
    location = response.getheader("Location") if 300 <= response.status < 400 else None
    content_type = response.getheader("Content-Type", "")
    return (
        OutboundResponse(status=response.status, text=text, content_type=content_type),
        location,
    )


def _connection(url: str, *, anywhere: bool) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http or https URL")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not anywhere:
        _refuse_unless_loopback(parts.hostname, port)
    is_secure = parts.scheme == "https"
    connect = http.client.HTTPSConnection if is_secure else http.client.HTTPConnection
    return connect(parts.hostname, port, timeout=TIMEOUT)


def _refuse_unless_loopback(host: str, port: int) -> None:
    """Raises OSError for other hosts; resolves no name but localhost and its subdomains."""
    try:
        addresses = [ipaddress.ip_address(host)]
    except ValueError:
        if host != "localhost" and not host.endswith(".localhost"):
            raise OSError("the sandbox only connects to this machine") from None
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in resolved]
    if not all(address.is_loopback for address in addresses):
        raise OSError("the sandbox only connects to this machine")
