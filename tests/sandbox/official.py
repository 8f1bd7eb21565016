"""The official ``twilio`` package; only the scheme and host of its requests are changed."""

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


class RedirectedHttpClient(TwilioHttpClient):  # type: ignore[misc]
    """The package's HTTP client with another scheme and host; records its requests."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = base
        self.sent: list[str] = []

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        scheme, host = urlsplit(self.base)[:2]
        self.sent.append(f"{method} {url.split('/', 3)[3]}")
        target = urlunsplit((scheme, host, *urlsplit(url)[2:]))
        return super().request(method, target, *args, **kwargs)


class Official:
    """The package's client of a sandbox at a base URL."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.http = RedirectedHttpClient(base)
        self.client = Client(KEYED.account_sid, KEYED.auth_token, http_client=self.http)

    def step(self, seconds: float) -> None:
        """Steps the sandbox's clock."""
        auth = (KEYED.account_sid, KEYED.auth_token)
        httpx.post(f"{self.base}/sandbox/clock", json={"step": seconds}, auth=auth, timeout=30)
