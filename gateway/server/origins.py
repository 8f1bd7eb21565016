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

Note [The origin decides]. A page of a listed origin may send whatever headers it likes: what a
preflight asks for is allowed. Authorization is one of them, so a page that may ask at all may also
send what lets it in; nothing that another header says could be worse.
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

from gateway.settings import Settings
from gateway.settings.values import USUAL_PORTS, origin

__all__ = ["CrossOrigin", "Origins"]

log = logging.getLogger(__name__)

# What answers tell in headers that a page's script could not read otherwise.
EXPOSED_HEADERS = ("Accept-Encoding", "Allow", "Retry-After", "WWW-Authenticate")
# Seconds for which a browser need not ask again.
PREFLIGHT_MAX_AGE = 600
# A refused page is logged once in so many seconds, and so many pages at most.
LOG_INTERVAL = 60.0
MAX_LOGGED_PAGES = 10
MAX_LOGGED_LENGTH = 100


class Origins:
    """The origins whose pages may ask a gateway with these settings; `now` is in seconds."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        listed = settings.server.allowed_origins or ()
        known = [*listed, *_origin_of(settings.server.public_url)]
        self.allows_all = "*" in listed
        self.listed = _pattern(listed)
        self._known = _pattern(known)
        self._known_names = _pattern(_name(one) for one in known)
        self._is_loopback_only = _is_loopback(settings.server.host)
        self._logged: TTLCache[str, None] = TTLCache(MAX_LOGGED_PAGES, LOG_INTERVAL, now)

    def is_origin_allowed(self, headers: Headers) -> bool:
        """False where a request, or a WebSocket handshake, comes from a page of a foreign origin.

        That leaves a line in the log.
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
        return bool(self._known.fullmatch(origins[0])) or _is_same_origin(origins[0].lower(), host)

    def _is_unknown_name(self, host: str) -> bool:
        """A name that anybody could have, and that no setting knows."""
        name = _name(f"//{host}")
        return "." in name and not _is_loopback(name) and not self._known_names.fullmatch(name)

    def log_refusal(self, headers: Headers) -> None:
        """A line about a page that is refused; what the page chose itself is cut and escaped."""
        page = _log_safe(
            ", ".join(headers.getlist("origin")) or headers.get("sec-fetch-site", "none")
        )
        host = _log_safe(headers.get("host", ""))
        if page + host in self._logged or len(self._logged) >= MAX_LOGGED_PAGES:
            return
        self._logged[page + host] = None
        log.warning(
            "refused a web page of origin %s that asks at %s: GATEWAY_ALLOWED_ORIGINS lists those "
            "that may, GATEWAY_PUBLIC_URL says where the gateway's own page is",
            page,
            host,
        )


class CrossOrigin(CORSMiddleware):
    """Answers preflights and tells browsers which pages may read answers; `Vary: Origin`."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        super().__init__(
            app,
            allow_origins=("*",) if origins.allows_all else (),
            allow_origin_regex=f"(?i:{origins.listed.pattern})",
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            expose_headers=EXPOSED_HEADERS,
            allow_private_network=True,
            max_age=PREFLIGHT_MAX_AGE,
        )
        self._origins = origins

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight: see Note [The origin decides]."""
        if not self.is_allowed_origin(request_headers["origin"]):
            self._origins.log_refusal(request_headers)
        return super().preflight_response(request_headers)


def _pattern(patterns: Iterable[str]) -> re.Pattern[str]:
    """What matches one of these, where `*.` stands for one label; without any, nothing does."""
    found = (re.escape(one).replace(r"\*\.", r"[a-z0-9_-]+\.") for one in patterns)
    return re.compile("|".join(found) or "(?!)", re.IGNORECASE)


def _origin_of(url: str | None) -> list[str]:
    if not url:
        return []
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc}"
    try:
        return [origin(shown)]
    except ValueError:  # no browser sends it, but others may name the host
        return [shown]


def _is_same_origin(page: str, host: str) -> bool:
    """The page is from the host that it asks. A proxy may have taken TLS off since."""
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
