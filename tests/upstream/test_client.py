"""What the client sends and shows: the credential goes upstream and nowhere else."""

import base64
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.errors import UpstreamError, UpstreamInvalid
from gateway.settings import Secret
from gateway.telemetry.records import UpstreamExchange
from gateway.upstream.calls import FetchCall, ListCalls
from gateway.upstream.client import Account
from gateway.upstream.date_ranges import DateTimeRange
from gateway.upstream.recordings import ListRecordings
from gateway.upstream.requests import PageRef
from tests.credentials import encoded
from tests.plain_twilio import ACCOUNT, NOON, PlainTwilio, call, sid
from tests.upstream.stage import TOKEN_ACCOUNT, answering, connected, raising, seen_by

KEY, KEY_SECRET = "SK" + "c" * 32, "s3cret-of-the-key"
KEY_ACCOUNT = Account(ACCOUNT, KEY, Secret(KEY_SECRET))
CALL = FetchCall(sid=sid("CA", 1))
GONE = httpx.Response(404)


@pytest.mark.parametrize("account", [TOKEN_ACCOUNT, KEY_ACCOUNT], ids=["token", "api key"])
async def test_the_credential_is_basic_auth_and_the_account_is_in_the_path(
    account: Account,
) -> None:
    seen: list[httpx.Request] = []
    async with connected(seen_by(seen, lambda _: GONE), account=account) as client:
        await client.fetch(CALL)

    (request,) = seen
    scheme, _, credential = request.headers["Authorization"].partition(" ")
    pair = f"{account.username}:{account.password.reveal()}"
    assert (scheme, base64.b64decode(credential).decode()) == ("Basic", pair)
    assert request.url == f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/{CALL.path}.json"
    assert request.headers["Accept"] == "application/json"


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:8001", "https://proxy.internal/twilio/eu", "http://[::1]:9"]
)
async def test_the_base_url_may_have_a_port_and_a_path(base_url: str) -> None:
    seen: list[httpx.Request] = []
    async with connected(seen_by(seen, lambda _: GONE), base_url=base_url) as client:
        await client.fetch(CALL)

    assert str(seen[0].url) == f"{base_url}/2010-04-01/Accounts/{ACCOUNT}/{CALL.path}.json"


async def test_a_list_is_asked_with_its_query_encoded() -> None:
    """A `+` is a plus, not a space, and an inequality's name is encoded.

    See docs/twilio.md#1-surprising-facts, fact 2.
    """
    seen: list[httpx.Request] = []
    wanted = ListCalls(
        to="+1 5&a=b", start_time=DateTimeRange(gte=NOON), page=PageRef(1, "PA\r\n#")
    )
    async with connected(
        seen_by(seen, lambda _: httpx.Response(200, json={"calls": []}))
    ) as client:
        await client.page(wanted)

    assert dict(httpx.QueryParams(seen[0].url.query)) == dict(wanted.query)
    raw = seen[0].url.query.decode()
    assert "To=%2B1%205%26a%3Db" in raw or "To=%2B1+5%26a%3Db" in raw
    assert "StartTime%3E=2026-03-10" in raw
    assert "\r" not in raw
    assert "#" not in raw


async def test_a_page_holds_the_rows_that_match_and_the_places_beside_it() -> None:
    """Upstream ignored the filter: the rows that were not wanted are gone, and it is no secret."""
    twilio = PlainTwilio(
        calls=[call(1, to="+1"), call(2, to="+2"), call(3, to="+1"), call(4, to="+1")]
    )
    async with connected(twilio) as client:
        unfiltered = await client.page(ListCalls(page_size=3))
        later = await client.page(ListCalls(page_size=3, page=PageRef(1, "PA" + sid("CA", 2))))
        twilio.fault = lambda request: twilio.answer(
            httpx.Request("GET", request.url.copy_remove_param("To"))
        )
        sifted = await client.page(ListCalls(page_size=3, to="+1"))

    assert [row.sid for row in unfiltered.rows] == [sid("CA", n) for n in (1, 2, 3)]
    assert (unfiltered.next, unfiltered.previous) == (PageRef(1, "PA" + sid("CA", 3)), None)
    assert unfiltered.is_exact
    assert later.previous == PageRef(0, "PB" + sid("CA", 3))
    assert [row.sid for row in sifted.rows] == [sid("CA", n) for n in (1, 3)]
    assert sifted.rows_read == 3
    assert not sifted.is_exact
    # Of the rows that upstream sent, wanted or not.
    assert sifted.sids == (sid("CA", 1), sid("CA", 2), sid("CA", 3))


async def test_a_call_that_is_gone_is_none() -> None:
    async with connected(PlainTwilio()) as client:
        assert await client.fetch(CALL) is None


async def test_another_call_than_the_one_asked_for_is_invalid() -> None:
    other = httpx.MockTransport(lambda _: httpx.Response(200, json=call(2)))
    async with connected(other) as client:
        with pytest.raises(UpstreamInvalid):
            await client.fetch(CALL)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["https://evil.example/", "/2010-04-01/x", "http://[", "\x7f"])
async def test_a_redirect_is_never_followed(status: int, location: str) -> None:
    seen: list[httpx.Request] = []
    answer = httpx.Response(status, headers={"Location": location})
    async with connected(seen_by(seen, lambda _: answer)) as client:
        with pytest.raises(UpstreamError) as caught:
            await client.fetch(CALL)

    assert len(seen) == 1
    assert "evil" not in str(caught.value)


async def test_a_cookie_of_upstreams_is_not_kept_for_other_requests() -> None:
    seen: list[httpx.Request] = []
    answer = httpx.Response(404, headers={"Set-Cookie": "who=last-caller; Path=/"})
    async with connected(seen_by(seen, lambda _: answer)) as client:
        await client.fetch(CALL)
        await client.fetch(CALL)

    assert len(seen) == 2
    assert "Cookie" not in seen[1].headers


def insides(thing: object) -> Iterator[str]:
    """What a debugger would show of an object and of the objects of this room in it."""
    found = [thing]
    for one in found:
        yield repr(vars(one))
        for held in vars(one).values():
            is_ours = type(held).__module__.startswith("gateway.upstream")
            if is_ours and hasattr(held, "__dict__") and held not in found:
                found.append(held)


@pytest.mark.parametrize("account", [TOKEN_ACCOUNT, KEY_ACCOUNT], ids=["token", "api key"])
@pytest.mark.parametrize(
    "transport",
    [
        PlainTwilio(calls=[call(1)]),
        answering(401),
        answering(200, b"<html>"),
        raising(httpx.ConnectError("no route")),
    ],
    ids=["answered", "refused", "invalid", "unreachable"],
)
async def test_nothing_of_the_credential_can_be_seen(
    account: Account, transport: httpx.AsyncBaseTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in a repr, an error, a record of an exchange or a log line, even at DEBUG."""
    exchanges: list[UpstreamExchange] = []
    shown: list[Any] = []
    with caplog.at_level(logging.DEBUG):
        async with connected(
            transport, account=account, max_attempts=1, hook=exchanges.append
        ) as client:
            shown += [repr(client), str(client), *insides(client)]
            try:
                shown.append(repr(await client.fetch(CALL)))
            except UpstreamError as error:
                shown += [repr(error), str(error), repr(error.extensions), repr(error.__cause__)]

    secret = account.password.reveal()
    header = encoded(account.username, secret)
    text = "\n".join([*shown, repr(exchanges), caplog.text])
    assert len(exchanges) == 1
    assert secret not in text
    assert header not in text


async def test_httpx_and_httpcore_are_silent(caplog: pytest.LogCaptureFixture) -> None:
    """They log whole URLs, with phone numbers, and headers, with the credential."""
    with caplog.at_level(logging.DEBUG):
        async with connected(answering(200, b'{"calls": []}')) as client:
            await client.page(ListCalls(to="+16175550101"))
        for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection"):
            logging.getLogger(name).error("GET https://api.twilio.com/?To=+16175550101")

    names = {record.name for record in caplog.records}
    assert "gateway.telemetry.records" in names
    assert not [name for name in names if name.startswith("http")]
    assert "6175550101" not in caplog.text


async def test_an_exchange_tells_the_path_the_time_and_the_end_but_no_query() -> None:
    exchanges: list[UpstreamExchange] = []
    twilio = PlainTwilio(calls=[call(1)])
    async with connected(twilio, max_attempts=1, hook=exchanges.append) as client:
        await client.page(ListCalls(to="+16175550101"))
        await client.fetch(FetchCall(sid=sid("CA", 77)))
        await client.page(ListRecordings(call_sid=sid("CA", 1)))
        twilio.fault = lambda _: httpx.Response(503)
        with pytest.raises(UpstreamError):
            await client.fetch(CALL)

    assert [(e.path, e.status, e.failure, e.request_id) for e in exchanges] == [
        ("Calls", 200, None, None),
        (f"Calls/{sid('CA', 77)}", 404, "UpstreamNotFound", "RQ" + "0" * 32),
        (f"Calls/{sid('CA', 1)}/Recordings", 200, None, None),
        (f"Calls/{sid('CA', 1)}", 503, "UpstreamUnavailable", None),
    ]
    assert all(0 <= exchange.seconds < 5 for exchange in exchanges)
    assert "6175550101" not in repr(exchanges)


async def test_only_failures_are_logged_as_warnings(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "gateway.telemetry.records"):
        async with connected(PlainTwilio(calls=[call(1)])) as client:
            await client.fetch(CALL)
        async with connected(answering(503), max_attempts=1) as client:
            with pytest.raises(UpstreamError):
                await client.fetch(CALL)

    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in lines] == ["DEBUG", "WARNING"]
    assert lines[0][1].startswith(f"upstream {CALL.path}: 200 in 0.")
    assert lines[1][1].startswith(f"upstream {CALL.path}: UpstreamUnavailable in 0.")
