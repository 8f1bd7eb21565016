"""Which web pages may ask: the gateway's own, and those of the origins that the settings list.

HTTP and WebSocket ask the same question here. This module must not know GraphQL.

Note [Whose page asks]. A browser sends, for any page on the internet, simple requests to any
address that its user can reach, a gateway on localhost among them. What it may not do for a foreign
page is set application/json (POST needs it) or hide where a request comes from: Origin is sent with
every WebSocket handshake and every request but the simplest GETs, and those bear Sec-Fetch-Site. So
whatever names a foreign origin is refused before anything is read, which also saves the requests
upstream that its answer would have cost. What is not a browser sends neither header.

A page can also let its own name lead to 127.0.0.1 (DNS rebinding): to the browser, the gateway is
then of the page's origin. Such a name has a dot, as all that can be bought have. A gateway that
listens on this machine only is asked by loopback's names, or by a name that the settings know.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from gateway.settings import Settings

__all__ = ["cross_origin", "may_ask"]

USUAL_PORTS = {"http": 80, "https": 443}
SENT_HEADERS = (
    "Authorization",
    "Gateway-Account-Sid",
    "Gateway-Explain",
    "Gateway-Priority",
    "Gateway-Request-Budget",
    "Gateway-Timeout",
)
# Seconds for which a browser need not ask again.
PREFLIGHT_HOLDS = 600


def may_ask(headers: Headers, settings: Settings) -> bool:
    """False where a request, or a WebSocket handshake, comes from a page of a foreign origin."""
    known = [*(settings.allowed_origins or ()), *_origin_of(settings.public_url)]
    host = headers.get("host", "").lower()
    if _is_loopback(settings.host) and _is_strange(host, known):
        return False
    origins = [origin.lower() for origin in headers.getlist("origin")]
    if not origins:
        return headers.get("sec-fetch-site", "none") in {"none", "same-origin"}
    return len(origins) == 1 and (origins[0] in known or _is_own(origins[0], host))


def cross_origin(settings: Settings) -> Middleware:
    """Answers preflights and tells browsers which pages may read answers; `Vary: Origin`."""
    return Middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins or (),
        allow_methods=("GET", "POST"),
        allow_headers=SENT_HEADERS,
        expose_headers=("Retry-After",),
        allow_private_network=True,
        max_age=PREFLIGHT_HOLDS,
    )


def _origin_of(url: str | None) -> list[str]:
    parts = urlsplit(url or "")
    return [f"{parts.scheme}://{parts.netloc}".lower()] if url else []


def _is_own(origin: str, host: str) -> bool:
    """The page is from the host that it asks. A proxy may have taken TLS off since."""
    try:
        parts = urlsplit(origin)
    except ValueError:  # no browser sends it
        return False
    if parts.scheme not in USUAL_PORTS or not host:
        return False
    usual = f":{USUAL_PORTS[parts.scheme]}"
    return parts.netloc.removesuffix(usual) == host.removesuffix(usual)


def _is_strange(host: str, known: list[str]) -> bool:
    """A name that anybody could have, and that no setting knows."""
    name = _name(f"//{host}")
    return "." in name and not _is_loopback(name) and name not in map(_name, known)


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return "."


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
