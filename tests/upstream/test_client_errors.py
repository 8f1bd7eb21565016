"""Every failure of upstream is an error of our tree, with Twilio's numbers and our words."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.errors import (
    RequestNotSent,
    UpstreamAuth,
    UpstreamError,
    UpstreamInvalid,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.upstream.calls import FetchCall, ListCalls
from gateway.upstream.httpx_transport import error_for_exception
from tests.plain_twilio import call, sid
from tests.upstream.stage import answering, connected, raising

CALL = FetchCall(sid=sid("CA", 1))

# Every leaf of httpx's tree that can come out of a request. A new one fails the test below.
EXPECTED: dict[type[Exception], type[UpstreamError]] = {
    httpx.ConnectTimeout: RequestNotSent,
    httpx.PoolTimeout: RequestNotSent,
    httpx.ReadTimeout: UpstreamTimeout,
    httpx.WriteTimeout: UpstreamTimeout,
    httpx.ConnectError: RequestNotSent,
    httpx.ReadError: UpstreamUnavailable,
    httpx.WriteError: UpstreamUnavailable,
    httpx.CloseError: UpstreamUnavailable,
    httpx.ProxyError: RequestNotSent,
    httpx.UnsupportedProtocol: RequestNotSent,
    httpx.LocalProtocolError: RequestNotSent,
    httpx.RemoteProtocolError: UpstreamUnavailable,
    httpx.DecodingError: UpstreamInvalid,
    httpx.TooManyRedirects: UpstreamInvalid,
    httpx.HTTPStatusError: UpstreamUnavailable,
    httpx.InvalidURL: RequestNotSent,
    httpx.StreamConsumed: UpstreamUnavailable,
    httpx.StreamClosed: UpstreamUnavailable,
    httpx.ResponseNotRead: UpstreamUnavailable,
    httpx.RequestNotRead: UpstreamUnavailable,
}


def leaves(error: type[Exception]) -> Iterator[type[Exception]]:
    """The classes without subclasses."""
    below = error.__subclasses__()
    if not below:
        yield error
    for each in below:
        yield from leaves(each)


def made(error: type[Exception]) -> Exception:
    """An httpx exception with a text that must not get out."""
    words = "https://api.twilio.com/?To=+16175550101"
    if error is httpx.HTTPStatusError:
        request = httpx.Request("GET", words)
        return httpx.HTTPStatusError(words, request=request, response=httpx.Response(500))
    if error in {httpx.StreamConsumed, httpx.StreamClosed, httpx.ResponseNotRead,
                 httpx.RequestNotRead}:  # fmt: skip
        return error()
    return error(words)


def test_the_table_names_every_exception_of_httpx() -> None:
    theirs = {
        leaf
        for root in (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
        for leaf in leaves(root)
    }

    assert theirs == set(EXPECTED)


@pytest.mark.parametrize("theirs", EXPECTED, ids=lambda error: error.__name__)
async def test_each_exception_of_httpx_is_ours_with_our_words(theirs: type[Exception]) -> None:
    async with connected(raising(made(theirs))) as client:
        with pytest.raises(UpstreamError) as caught:
            await client.fetch(CALL)

    assert type(caught.value) is EXPECTED[theirs]
    assert "6175550101" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert caught.value.extensions == {"code": EXPECTED[theirs].code}


def test_an_exception_that_nobody_has_heard_of_is_upstream_unavailable() -> None:
    assert type(error_for_exception(RuntimeError("?"))) is UpstreamUnavailable


@pytest.mark.parametrize(
    ("status", "ours", "code"),
    [
        (400, UpstreamRejected, "UPSTREAM_REJECTED"),
        (401, UpstreamAuth, "UPSTREAM_AUTH"),
        (403, UpstreamAuth, "UPSTREAM_AUTH"),
        (405, UpstreamRejected, "UPSTREAM_REJECTED"),
        (410, UpstreamRejected, "UPSTREAM_REJECTED"),
        (429, UpstreamRateLimited, "UPSTREAM_RATE_LIMITED"),
        (500, UpstreamUnavailable, "UPSTREAM_UNAVAILABLE"),
        (502, UpstreamUnavailable, "UPSTREAM_UNAVAILABLE"),
        (503, UpstreamUnavailable, "UPSTREAM_UNAVAILABLE"),
        (599, UpstreamUnavailable, "UPSTREAM_UNAVAILABLE"),
        (201, UpstreamInvalid, "UPSTREAM_INVALID"),
        (204, UpstreamInvalid, "UPSTREAM_INVALID"),
        (206, UpstreamInvalid, "UPSTREAM_INVALID"),
        (304, UpstreamInvalid, "UPSTREAM_INVALID"),
        (399, UpstreamInvalid, "UPSTREAM_INVALID"),
    ],
)
async def test_each_status_is_ours_with_twilios_numbers(
    status: int, ours: type[UpstreamError], code: str
) -> None:
    body = {
        "code": 20003,
        "message": "secret words",
        "more_info": "https://www.twilio.com/docs/errors/20003",
        "status": status,
    }
    headers = {"Twilio-Request-Id": "RQ" + "e" * 32}
    async with connected(answering(status, json.dumps(body).encode(), headers)) as client:
        with pytest.raises(UpstreamError) as caught:
            await client.page(ListCalls())

    assert type(caught.value) is ours
    assert "secret" not in str(caught.value)
    assert caught.value.extensions == {
        "code": code,
        "twilioCode": 20003,
        "httpStatus": status,
        "moreInfo": "https://www.twilio.com/docs/errors/20003",
        "requestId": "RQ" + "e" * 32,
        **({"retryAfter": 1.0} if status == 429 else {}),
    }


async def test_a_list_that_is_not_there_is_an_error_and_a_row_is_none() -> None:
    async with connected(answering(404)) as client:
        assert await client.fetch(CALL) is None
        with pytest.raises(UpstreamRejected) as caught:
            await client.page(ListCalls())

    assert caught.value.code == "UPSTREAM_NOT_FOUND"


@pytest.mark.parametrize(
    "body",
    [
        {"code": "20003"},
        {"code": True},
        {"code": -1},
        {"code": 10**12},
        {"code": 10**30},
        {"code": 1.5},
        {"code": [20003]},
        {"more_info": "https://evil.example/"},
        {"more_info": "http://www.twilio.com/docs"},
        {"more_info": "https://www.twilio.com.evil.example/docs"},
        {"more_info": "https://www.twilio.com@evil.example/docs"},
        {"more_info": "https://www.twilio.com/docs\n<script>"},
        {"more_info": "javascript:alert(1)"},
        {"more_info": "https://www.twilio.com/" + "d" * 500},
        {"more_info": 7},
        [],
        "words",
        None,
        17,
    ],
    ids=lambda body: json.dumps(body)[:50],
)
async def test_hostile_words_about_an_error_are_dropped(body: Any) -> None:
    async with connected(answering(400, json.dumps(body).encode())) as client:
        with pytest.raises(UpstreamRejected) as caught:
            await client.fetch(CALL)

    assert caught.value.extensions == {"code": "UPSTREAM_REJECTED", "httpStatus": 400}


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"{", b"\xff", b"[" * 100_000, b'{"code": 1e999}']
)
@pytest.mark.parametrize("request_id", ["", "RQ 1", "R" * 65, "RQ<script>", "RQ\x7f"])
async def test_an_error_without_a_readable_body_is_still_its_status(
    content: bytes, request_id: str
) -> None:
    transport = answering(503, content, {"Twilio-Request-Id": request_id})
    async with connected(transport) as client:
        with pytest.raises(UpstreamUnavailable) as caught:
            await client.fetch(CALL)

    assert caught.value.extensions == {"code": "UPSTREAM_UNAVAILABLE", "httpStatus": 503}


def listed(rows: Any, **envelope: Any) -> bytes:
    """A list envelope."""
    return json.dumps({"calls": rows} | envelope).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!doctype html><p>Sign in",
        listed([call(1)])[:-7],
        listed([call(1)]) + b"}",
        b"null",
        b"[]",
        b'"calls"',
        b"{}",
        b"[" * 100_000,
        b"\xff\xfe",
        json.dumps({"recordings": []}).encode(),
        listed(None),
        listed({"0": call(1)}),
        listed([], next_page_uri="https://evil.example/"),
        listed([], next_page_uri={"uri": "/"}),
        listed([], next_page_uri="http://["),
        listed([], previous_page_uri="https://evil.example/"),
    ],
    ids=lambda content: content[:60].decode(errors="replace"),
)
async def test_a_200_that_is_no_list_of_calls_is_upstream_invalid(content: bytes) -> None:
    async with connected(answering(200, content)) as client:
        with pytest.raises(UpstreamInvalid) as caught:
            await client.page(ListCalls())

    assert caught.value.extensions == {"code": "UPSTREAM_INVALID"}
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("content", [b"", b"<html>", b"{}", b"null", b"[]", listed([call(1)])])
async def test_a_200_that_is_no_call_is_upstream_invalid(content: bytes) -> None:
    async with connected(answering(200, content)) as client:
        with pytest.raises(UpstreamInvalid):
            await client.fetch(CALL)


async def test_a_body_in_a_coding_that_cannot_be_undone_is_upstream_invalid() -> None:
    """The fault is in the body: httpx finds it while reading."""

    async def drip() -> Any:
        yield b"this is no gzip"

    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=drip())
    )
    async with connected(transport) as client:
        with pytest.raises(UpstreamInvalid):
            await client.fetch(CALL)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 429, 500, 503, 302])
async def test_a_refusal_is_said_of_upstream_since_the_sandbox_may_have_refused(
    status: int,
) -> None:
    async with connected(answering(status)) as client:
        with pytest.raises(UpstreamError, match=r"^Upstream "):
            await client.page(ListCalls())
