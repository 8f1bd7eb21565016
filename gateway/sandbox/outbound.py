"""Requests that the account sends out: for TwiML, and to tell of calls and recordings.

A request is a value; ``send`` carries it out, blocking, and never raises. Only the loopback
interface is reached unless other hosts are allowed. Knows no rows and no SQL.
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
"""Seconds that the service waits for an application."""
_LARGEST = 64 * 1024  # bytes of TwiML that are read
_REDIRECTS = 5


class OutboundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request about a call, and what its answer is for."""

    sid: str
    at: float
    """The moment it is sent: what its answer causes happens then, too."""
    url: str
    method: Literal["GET", "POST"] = "POST"
    parameters: tuple[tuple[str, str], ...]
    purpose: Literal["twiml", "fallback", "status", "recording"]
    generation: int = 0


class OutboundResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What came back; ``status`` is none when nothing did, and ``text`` says why."""

    status: int | None
    text: str
    content_type: str = ""

    @property
    def ok(self) -> bool:
        """Whether the application took the request well."""
        return self.status is not None and 200 <= self.status < 300


def signature(token: str, url: str, parameters: Sequence[tuple[str, str]]) -> str:
    """X-Twilio-Signature of a form POST, or of a GET without parameters (FACTS section 9)."""
    text = url + "".join(name + value for name, value in sorted(set(parameters)))
    digest = hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def send(request: OutboundRequest, token: str, *, anywhere: bool) -> OutboundResponse:
    """Sends a request, signed, and follows redirects as the service does, with GET."""
    url, method, parameters = request.url, request.method, request.parameters
    for _ in range(_REDIRECTS):
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
        text = response.read(_LARGEST).decode("utf-8", "replace")
    finally:
        connection.close()
    location = response.getheader("Location") if 300 <= response.status < 400 else None
    kind = response.getheader("Content-Type", "")
    return OutboundResponse(status=response.status, text=text, content_type=kind), location


def _connection(url: str, *, anywhere: bool) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http or https URL")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not anywhere:
        _refuse_unless_loopback(parts.hostname, port)
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    return kind(parts.hostname, port, timeout=TIMEOUT)


def _refuse_unless_loopback(host: str, port: int) -> None:
    """Names with a dot other than localhost are not even looked up."""
    try:
        addresses = [ipaddress.ip_address(host)]
    except ValueError:
        if host != "localhost" and not host.endswith(".localhost"):
            raise OSError("the sandbox only connects to this machine") from None
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
    if not all(address.is_loopback for address in addresses):
        raise OSError("the sandbox only connects to this machine")
