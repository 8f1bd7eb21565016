"""Which web pages may send requests: the gateway's own, and those of allowed origins.

HTTP and WebSocket follow the same rule. This module must not know GraphQL.

Note [Whose page asks]. For any page on the internet, a browser sends simple requests to any address
that its user can reach, including a gateway on localhost. But it does not let a foreign page set
application/json (POST needs it) or hide its origin: it sends Origin with every WebSocket handshake
and every request except the simplest GETs, and sends Sec-Fetch-Site with those. So the gateway
refuses every request of a foreign origin before reading it, which also saves the upstream requests
of its response. Clients other than browsers send neither header.

A page can also resolve its own name to 127.0.0.1 (DNS rebinding): the browser then regards the
gateway as the page's origin. Such a name has a dot, like every name that can be bought. So a
gateway that listens on loopback only accepts loopback names and the names in its settings as Host.

Note [The origin decides]. A page of a known origin may send any header: a preflight allows all
that it requests. Authorization is one of them, so such a page may send a credential; no other
header could do more harm.
"""

import ipaddress
import logging
import re
import time
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from cachetools import TTLCache
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from gateway.server.middleware import SecurityHeadersMiddleware
from gateway.settings import Settings
from gateway.settings.values import USUAL_PORTS, origin

__all__ = ["CrossOrigin", "Origins", "confined"]

log = logging.getLogger(__name__)

# Response headers that a page's script may read besides the default ones.
EXPOSED_HEADERS = ("Accept-Encoding", "Allow", "Retry-After", "WWW-Authenticate")
# Seconds for which a browser may cache a preflight.
PREFLIGHT_MAX_AGE = 600
# A refused page is logged once in LOG_INTERVAL seconds, and at most MAX_LOGGED_PAGES pages are.
LOG_INTERVAL = 60.0
MAX_LOGGED_PAGES = 10
MAX_LOGGED_LENGTH = 100


class Origins:
    """The origins whose pages may send requests, by the settings. `now` is in seconds."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        listed = settings.server.allowed_origins or ()
        known = [*listed, *_origin_of(settings.server.public_url)]
        self.allows_all = "*" in listed
        self.known = _pattern(known)
        self._known_names = _pattern(_name(one) for one in known)
        self._is_loopback_only = _is_loopback(settings.server.host)
        self._logged: TTLCache[str, None] = TTLCache(MAX_LOGGED_PAGES, LOG_INTERVAL, now)

    def is_origin_allowed(self, headers: Headers) -> bool:
        """False if a request or WebSocket handshake comes from a page of a foreign origin.

        It logs a refused page.
        """
        if self.allows_all or self._is_allowed(headers):
            return True
        self.log_refusal(headers)
        return False

    def _is_allowed(self, headers: Headers) -> bool:
        host = headers.get("host", "").lower()
        if self._is_loopback_only and self._is_unknown_name(host):
            return False
        origins = headers.getlist("origin")
        if not origins:
            return headers.get("sec-fetch-site", "none") in {"none", "same-origin"}
        if len(origins) > 1:
            return False
        return bool(self.known.fullmatch(origins[0])) or _is_same_origin(origins[0].lower(), host)

    def _is_unknown_name(self, host: str) -> bool:
        """True for a name that anybody could own and that no setting lists."""
        name = _name(f"//{host}")
        return "." in name and not _is_loopback(name) and not self._known_names.fullmatch(name)

    def log_refusal(self, headers: Headers) -> None:
        """Logs a refused page; what the page chose itself is truncated and escaped."""
        page = _log_safe(
            ", ".join(headers.getlist("origin")) or headers.get("sec-fetch-site", "none")
        )
        host = _log_safe(headers.get("host", ""))
        if page + host in self._logged or len(self._logged) >= MAX_LOGGED_PAGES:
            return
        self._logged[page + host] = None
        log.warning(
            "refused a web page of origin %s that sent a request to %s: GATEWAY_ALLOWED_ORIGINS "
            "lists the allowed origins, GATEWAY_PUBLIC_URL the URL of the gateway's own page",
            page,
            host,
        )


class CrossOrigin(CORSMiddleware):
    """CORS: responds to preflights and lets allowed pages read responses; `Vary: Origin`."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        super().__init__(
            app,
            allow_origins=("*",) if origins.allows_all else (),
            allow_origin_regex=f"(?i:{origins.known.pattern})",
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            expose_headers=EXPOSED_HEADERS,
            allow_private_network=True,
            max_age=PREFLIGHT_MAX_AGE,
        )
        self._origins = origins

    def preflight_response(self, request_headers: Headers) -> Response:
        """The response to a preflight: see Note [The origin decides]."""
        if not self.is_allowed_origin(request_headers["origin"]):
            self._origins.log_refusal(request_headers)
        return super().preflight_response(request_headers)


def confined(app: ASGIApp, origins: Origins) -> ASGIApp:
    """The app with the security headers and CORS, as every response has them."""
    return SecurityHeadersMiddleware(CrossOrigin(app, origins))


def _pattern(patterns: Iterable[str]) -> re.Pattern[str]:
    """Matches any of these, where `*.` stands for one label. Matches nothing if there are none."""
    choices = (re.escape(one).replace(r"\*\.", r"[a-z0-9_-]+\.") for one in patterns)
    return re.compile("|".join(choices) or "(?!)", re.IGNORECASE)


def _origin_of(url: str | None) -> list[str]:
    if not url:
        return []
    parts = urlsplit(url)
    text = f"{parts.scheme}://{parts.netloc}"
    try:
        return [origin(text)]
    except ValueError:  # no browser sends it, but its host may be in a Host header
        return [text]


def _is_same_origin(page: str, host: str) -> bool:
    """True if the page comes from the requested host. A proxy may have terminated its TLS."""
    try:
        parts = urlsplit(page)
    except ValueError:  # no browser sends it
        return False
    if parts.scheme not in USUAL_PORTS or not host:
        return False
    default_port = f":{USUAL_PORTS[parts.scheme]}"
    return parts.netloc.removesuffix(default_port) == host.removesuffix(default_port)


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


def _log_safe(text: str) -> str:
    return ascii(text[:MAX_LOGGED_LENGTH])
