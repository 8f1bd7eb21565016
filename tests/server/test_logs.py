"""Logs contain no phone number and no secret, whatever the query and its outcome."""

import logging
from collections.abc import Callable

import httpx
import pytest

from tests.credentials import encoded
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, error, sid
from tests.server.stage import served

NUMBER = "+16175550101"
FILTERED = f'{{ calls(filter: {{to: "{NUMBER}"}}) {{ nodes {{ sid to parentCall {{ sid }} }} }} }}'
QUERIES = {
    "answered": FILTERED,
    "bad argument": f'{{ call(sid: "{NUMBER}") {{ sid }} }}',
    "bad cursor": f'{{ calls(after: "{NUMBER}") {{ nodes {{ sid }} }} }}',
    "invalid": f'{{ calls(phone: "{NUMBER}") {{ nodes {{ sid }} }} }}',
    "no syntax": f'{{ "{NUMBER}" }}',
}


def breaks(_request: httpx.Request) -> httpx.Response:
    """Breaks the connection; httpx names the URL in its error."""
    raise httpx.ReadError(f"https://api.twilio.com/?To={NUMBER}")


def nothing_wrong(_request: httpx.Request) -> None:
    """Lets the account answer."""


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize(
    "fault",
    [
        nothing_wrong,
        breaks,
        lambda _: error(429, 20429),
        lambda _: httpx.Response(200, content=b"<html>" + NUMBER.encode()),
        lambda _: httpx.Response(200, json={"calls": [call(1, status=f"new {sid('CA', 1)}")]}),
    ],
    ids=["none", "connection", "429", "html", "unknown value"],
)
async def test_no_phone_number_and_no_secret_is_logged(
    query: str,
    fault: Callable[[httpx.Request], httpx.Response | None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    twilio = PlainTwilio(calls=[call(1, to=NUMBER, parent_call_sid=sid("CA", 9))], fault=fault)
    with caplog.at_level(logging.DEBUG):
        async with served(twilio) as client:
            await client.post("/graphql", json={"query": query})
            await client.get("/graphql", params={"query": query})

    ours = [record for record in caplog.records if not record.name.startswith("asyncio")]
    assert NUMBER.lstrip("+") not in caplog.text
    assert TOKEN not in caplog.text
    assert encoded(ACCOUNT, TOKEN) not in caplog.text
    assert {record.name.partition(".")[0] for record in ours} <= {"gateway"}
