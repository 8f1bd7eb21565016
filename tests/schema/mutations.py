"""Shared by the tests of mutations: documents, minimal inputs, an account to change."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.conftest import Client, connect
from tests.plain_twilio import PlainTwilio, call, sid

TO, FROM = "+14155550123", "+15005550006"
APPLICATION = sid("AP", 1)
USER_ERRORS = "userErrors { field message code twilioCode moreInfo }"
MAKE = f"""mutation($input: MakeCallInput!) {{
    makeCall(input: $input) {{ call {{ sid to from status direction }} {USER_ERRORS} }} }}"""
REDIRECT = f"""mutation($input: RedirectCallInput!) {{
    redirectCall(input: $input) {{ call {{ sid status }} {USER_ERRORS} }} }}"""
END = f"""mutation($input: EndCallInput!) {{
    endCall(input: $input) {{ call {{ sid status }} {USER_ERRORS} }} }}"""
LIVE = sid("CA", 1)


def making(**given: Any) -> dict[str, Any]:
    """The minimal input of makeCall with these fields; `from_` stands for `from`."""
    named = {name.rstrip("_"): value for name, value in given.items()}
    return {"to": TO, "from": FROM, "instructions": {"twiml": "<Response/>"}} | named


def account() -> PlainTwilio:
    """An account with one call in progress."""
    return PlainTwilio([call(1, status="in-progress", end_time=None, duration=None, price=None)])


@asynccontextmanager
async def gateway(**settings: Any) -> AsyncIterator[tuple[PlainTwilio, Client]]:
    """A gateway over such an account."""
    twilio = account()
    async with connect(twilio, **settings) as client:
        yield twilio, client


async def refused(client: Client, mutation: str, given: Any) -> list[tuple[str, str, int | None]]:
    """The user errors of a mutation: field, code, Twilio's number."""
    (payload,) = (await client.data(mutation, input=given)).values()
    assert payload["call"] is None
    return [
        (".".join(error["field"] or ()), error["code"], error["twilioCode"])
        for error in payload["userErrors"]
    ]
