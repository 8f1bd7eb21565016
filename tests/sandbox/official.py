"""The official ``twilio`` package, changed in nothing but the scheme and host of its requests."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped]
from twilio.http.response import Response  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from tests.sandbox.conftest import STILL
from tests.sandbox.rows import NOON

KEYED = replace(
    STILL,
    now=datetime.fromtimestamp(NOON + 100, UTC),
    control=True,
    api_key="SK" + "1" * 32,
    api_secret="s" * 32,
)


class Elsewhere(TwilioHttpClient):  # type: ignore[misc]
    """The package's own HTTP client, with another scheme and host, and a note of what it sent."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = base
        self.sent: list[str] = []

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        scheme, host = urlsplit(self.base)[:2]
        self.sent.append(f"{method} {url.split('/', 3)[3]}")
        moved = urlunsplit((scheme, host, *urlsplit(url)[2:]))
        return super().request(method, moved, *args, **kwargs)


class Official:
    """The package's client, and the sandbox it speaks to."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.http = Elsewhere(base)
        self.client = Client(KEYED.account_sid, KEYED.auth_token, http_client=self.http)

    def step(self, seconds: float) -> None:
        """Lets time pass in the sandbox."""
        auth = (KEYED.account_sid, KEYED.auth_token)
        httpx.post(f"{self.base}/sandbox/clock", json={"step": seconds}, auth=auth, timeout=30)
