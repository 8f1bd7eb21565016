"""A gateway's webhooks, which the tests of this room call as Twilio would."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
from starlette.types import ASGIApp

from gateway.live.events import CallStatusEvent
from gateway.live.signature import signature_of
from gateway.live.store import Store
from gateway.server import Gateway
from gateway.settings import Secret
from tests.live.stage import CALL
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio
from tests.server.stage import app_over

PUBLIC = "https://calls.example.com/gateway"
STATUS = "/webhooks/twilio/status"
RECORDING = "/webhooks/twilio/recording"
FORM = "application/x-www-form-urlencoded"


@dataclass
class Hooks:
    """A gateway's webhooks, called as Twilio would call them."""

    client: httpx.AsyncClient
    gateway: Gateway
    store: Store
    app: ASGIApp

    async def post(
        self,
        form: Mapping[str, str],
        path: str = STATUS,
        *,
        token: str = TOKEN,
        url: str = PUBLIC,
        query: str = "",
        **headers: str,
    ) -> httpx.Response:
        """Posts a form, signed over the URL that Twilio knows."""
        signature = signature_of(url + path + query, tuple(form.items()), Secret(token))
        given = {"X-Twilio-Signature": signature, "Content-Type": FORM, **headers}
        return await self.client.post(path + query, data=dict(form), headers=given)

    def state(self) -> CallStatusEvent | None:
        """What the gateway knows of the call."""
        return self.store.state(CALL)


@asynccontextmanager
async def hooks(**settings: Any) -> AsyncIterator[Hooks]:
    """The app of a gateway whose public URL is PUBLIC, unless another is given."""
    app = app_over(PlainTwilio(), **{"public_url": PUBLIC, **settings})
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://10.0.0.7:8000") as client,
    ):
        yield Hooks(client, app.state.gateway, app.state.gateway.own.store, app)


def event(status: str, number: int | None = None, **given: str) -> dict[str, str]:
    """A status callback of a call from the account (docs/twilio.md#9-webhooks)."""
    form = {
        "CallSid": CALL,
        "AccountSid": ACCOUNT,
        "From": "+15005550006",
        "To": "+14155550123",
        "CallStatus": status,
        "Direction": "outbound-api",
        "Timestamp": format_datetime(datetime.now(UTC).replace(microsecond=0)),
        "CallbackSource": "call-progress-events",
    }
    return form | ({} if number is None else {"SequenceNumber": str(number)}) | given
