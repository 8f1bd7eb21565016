"""Responses of every layer: security headers, compression; compressed requests."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from gateway.server.parameters import GzipReader
from gateway.settings import AccessMode
from tests.plain_twilio import PlainTwilio, call
from tests.server.sockets import stage
from tests.server.stage import JSON, app_over, served

LISTED = "https://desk.example.com"
PAGE = {"Origin": LISTED}
ASKED = {"query": "{ __typename }"}
# Headers that browsers expose to every page, or that are for the browser or connection only.
NOT_TOLD = {
    "cache-control", "content-type", "content-length", "vary", "content-encoding",
    "content-security-policy", "cross-origin-opener-policy", "cross-origin-resource-policy",
    "referrer-policy", "x-content-type-options", "x-frame-options", "connection",
    "access-control-allow-origin", "access-control-expose-headers",
}  # fmt: skip
Ask = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


async def too_fast(client: httpx.AsyncClient) -> httpx.Response:
    """One request more than allowed."""
    for _ in range(3):
        response = await client.post("/graphql", json=ASKED, headers=PAGE)
    return response


def asks(method: str, path: str, **given: Any) -> Ask:
    """A request from a page of a listed origin."""
    headers = PAGE | given.pop("headers", {})
    return lambda client: client.request(method, path, headers=headers, **given)


ANSWERS: dict[str, tuple[int, dict[str, Any], Ask]] = {
    "a query": (200, {}, asks("POST", "/graphql", json=ASKED)),
    "health": (200, {}, asks("GET", "/healthz")),
    "no JSON": (400, {}, asks("POST", "/graphql", content=b"{", headers={"Content-Type": JSON})),
    "nobody": (401, {"access": AccessMode.PASSTHROUGH}, asks("POST", "/graphql", json=ASKED)),
    "no such path": (404, {}, asks("GET", "/nowhere")),
    "no such file": (404, {}, asks("GET", "/playground/x/y")),
    "a mutation by GET": (405, {}, asks("GET", "/graphql?query=mutation{x}")),
    "another method": (405, {}, asks("PUT", "/graphql")),
    "a GET of a webhook": (405, {}, asks("GET", "/webhooks/twilio/status")),
    "nothing acceptable": (406, {}, asks("POST", "/graphql", headers={"Accept": "image/png"})),
    "too large": (
        413, {"max_body": 1024},
        asks("POST", "/graphql", content=b" " * 1025, headers={"Content-Type": JSON}),
    ),
    "too long": (414, {"max_body": 1024}, asks("GET", "/graphql?query=" + "x" * 1025)),
    "another type": (415, {}, asks("POST", "/graphql", content=b"x")),
    "another coding": (
        415, {}, asks("POST", "/graphql", json=ASKED, headers={"Content-Encoding": "br"}),
    ),
    "too fast": (429, {"rate_limit": 1, "rate_burst": 1}, too_fast),
}  # fmt: skip


def assert_confined(response: httpx.Response) -> None:
    """A page of the listed origin may read the response; no other page may use it."""
    headers = response.headers
    assert headers["Access-Control-Allow-Origin"] == LISTED
    assert "Origin" in headers["Vary"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Cache-Control" in headers
    exposed = {name.strip().lower() for name in headers["Access-Control-Expose-Headers"].split(",")}
    told = {name.lower() for name in headers} - NOT_TOLD
    assert told <= exposed


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_allowed_page_can_read_responses_of_every_layer(name: str) -> None:
    """Including its headers: when to retry, which methods or codings are allowed."""
    status, settings, ask = ANSWERS[name]
    async with served(PlainTwilio(), allowed_origins=(LISTED,), **settings) as client:
        response = await ask(client)

    assert response.status_code == status
    assert_confined(response)
    assert ("Retry-After" in response.headers) == (status == 429)
    assert ("Allow" in response.headers) == (status == 405)
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


async def test_an_allowed_page_can_read_an_internal_error() -> None:
    """The gateway is missing here, because the lifespan never started."""
    transport = httpx.ASGITransport(app_over(PlainTwilio(), allowed_origins=(LISTED,)))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.post("/graphql", json=ASKED, headers=PAGE)

    assert response.status_code == 500
    assert_confined(response)


def listing(count: int) -> PlainTwilio:
    """An account with `count` calls."""
    return PlainTwilio(calls=[call(number) for number in range(count)])


QUERY = {"query": "{ calls { nodes { sid status startTime to from } } }"}


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("GZIP;q=0.5", True),
        ("x-gzip", True),
        ("*", True),
        ("br, *;q=0.1", True),
        ("", False),
        ("identity", False),
        ("br, zstd", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0, *", False),
        ("*;q=0", False),
        ("notgzip", False),
    ],
)
async def test_a_large_response_is_compressed_for_clients_that_accept_gzip(
    accepted: str, is_compressed: bool
) -> None:
    async with served(listing(50)) as client:
        client.headers["Accept-Encoding"] = accepted
        response = await client.post("/graphql", json=QUERY)

    assert ("Content-Encoding" in response.headers) == is_compressed
    assert len(response.json()["data"]["calls"]["nodes"]) == 50
    length = int(response.headers["Content-Length"])
    assert length < len(response.content) / 4 if is_compressed else length == len(response.content)
    names = [name.strip() for name in response.headers["Vary"].split(",")]
    assert sorted(names) == ["Accept", "Accept-Encoding", "Origin"]


async def test_a_small_answer_is_not_compressed() -> None:
    async with served(listing(1)) as client:
        response = await client.post("/graphql", json=ASKED, headers={"Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in response.headers


async def test_the_files_of_the_page_are_compressed_once_and_by_the_same_rule() -> None:
    async with served(listing(1)) as client:
        page = await client.get("/", headers={"Accept-Encoding": "gzip"})
        path = page.text.partition('src="/playground/')[2].partition('"')[0]
        for accepted, coding in [("gzip", "gzip"), ("gzip;q=0", None), ("*", "gzip")]:
            headers = {"Accept-Encoding": accepted}
            response = await client.get(f"/playground/{path}", headers=headers)
            assert response.headers.get("Content-Encoding") == coding
            assert response.status_code == 200


async def test_events_are_not_compressed() -> None:
    """Compression would buffer and delay them."""
    headers = {"Accept": "text/event-stream", "Accept-Encoding": "gzip"}
    async with stage(listing(50)) as there, httpx.AsyncClient() as client:
        response = await client.post(there.url, json=QUERY, headers=headers)

    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert "Content-Encoding" not in response.headers
    assert len(response.content) > 4000


BODY = json.dumps({"query": "{ calls(first: 1) { nodes { sid } } }"}).encode()
WHOLE = gzip.compress(BODY)
LIMIT = 1024


def padded(size: int) -> bytes:
    """The same request, padded to `size` bytes."""
    return BODY + b" " * (size - len(BODY))


READ = {
    "gzip": ("gzip", WHOLE),
    "in capitals": ("GZip", WHOLE),
    "x-gzip": ("x-gzip", WHOLE),
    "with a name and a time": ("gzip", gzip.compress(BODY, mtime=1)),
    "as large as may be": ("gzip", gzip.compress(padded(LIMIT))),
    "in members": ("gzip", b"".join(gzip.compress(BODY[at : at + 9]) for at in range(0, 99, 9))),
    "with empty members": ("gzip", (EMPTY := gzip.compress(b"")) + WHOLE + EMPTY * 2),
    "as large as may be, in members": (
        "gzip",
        gzip.compress(padded(LIMIT - 1)) + EMPTY + gzip.compress(b" "),
    ),
    "not compressed": ("gzip", gzip.compress(BODY, 0)),
    "identity": ("identity", BODY),
    "nothing": ("", BODY),
}
NOT_READ: dict[str, tuple[int, str, str, bytes]] = {
    "one byte too many": (413, "LIMIT_EXCEEDED", "gzip", gzip.compress(padded(LIMIT + 1))),
    "a bomb": (413, "LIMIT_EXCEEDED", "gzip", gzip.compress(b" " * 900_000)),
    "too many bytes as sent": (413, "LIMIT_EXCEEDED", "gzip", gzip.compress(padded(1020), 0) * 2),
    "cut off": (400, "BAD_REQUEST", "gzip", WHOLE[:-1]),
    "cut off at the trailer": (400, "BAD_REQUEST", "gzip", WHOLE[:-8]),
    "nothing at all": (400, "BAD_REQUEST", "gzip", b""),
    "no gzip": (400, "BAD_REQUEST", "gzip", BODY),
    "zlib": (400, "BAD_REQUEST", "gzip", zlib.compress(BODY)),
    "a wrong checksum": (400, "BAD_REQUEST", "gzip", WHOLE[:-8] + b"\0" * 8),
    "more after its end": (400, "BAD_REQUEST", "gzip", WHOLE + b"\0"),
    "twice": (400, "BAD_REQUEST", "gzip", WHOLE * 2),
    "a second member that is cut off": (400, "BAD_REQUEST", "gzip", WHOLE + EMPTY[:-1]),
    "a second member that is none": (400, "BAD_REQUEST", "gzip", WHOLE + BODY),
    "members that are too many bytes together": (
        413, "LIMIT_EXCEEDED", "gzip", gzip.compress(padded(LIMIT)) + gzip.compress(b" "),
    ),
    "a bomb in the second member": (
        413, "LIMIT_EXCEEDED", "gzip", WHOLE + gzip.compress(b" " * 900_000),
    ),
    "not said": (400, "BAD_REQUEST", "", WHOLE),
    "gzip in gzip": (400, "BAD_REQUEST", "gzip", gzip.compress(WHOLE)),
    "br": (415, "BAD_REQUEST", "br", BODY),
    "deflate": (415, "BAD_REQUEST", "deflate", BODY),
    "two codings": (415, "BAD_REQUEST", "gzip, gzip", gzip.compress(WHOLE)),
}  # fmt: skip
IN_PIECES = pytest.mark.parametrize("piece", [1, 7, 100_000])


async def send(client: httpx.AsyncClient, coding: str, body: bytes, piece: int) -> httpx.Response:
    """A POST whose body arrives in pieces of this size."""

    async def pieces() -> Any:
        for start in range(0, len(body), piece):
            yield body[start : start + piece]

    headers = {"Content-Type": JSON} | ({"Content-Encoding": coding} if coding else {})
    return await client.post("/graphql", content=pieces(), headers=headers)


@IN_PIECES
@pytest.mark.parametrize("name", READ)
async def test_a_compressed_request_is_read(name: str, piece: int) -> None:
    coding, body = READ[name]
    async with served(listing(1), max_body=LIMIT) as client:
        response = await send(client, coding, body, piece)

    assert len(response.json()["data"]["calls"]["nodes"]) == 1


@IN_PIECES
@pytest.mark.parametrize("name", NOT_READ)
async def test_a_compressed_request_that_is_too_large_or_broken_is_refused(
    name: str, piece: int
) -> None:
    status, code, coding, body = NOT_READ[name]
    twilio = listing(1)
    async with served(twilio, max_body=LIMIT) as client:
        response = await send(client, coding, body, piece)

    assert response.status_code == status
    assert response.json()["errors"][0]["extensions"]["code"] == code
    assert response.headers.get("Accept-Encoding") == ("gzip" if status == 415 else None)
    assert twilio.asked() == []


def test_a_gzip_bomb_is_never_held_in_memory_as_a_whole() -> None:
    """Of 100 MB only one byte more than allowed is inflated."""
    tracemalloc.start()
    bomb = gzip.compress(bytes(10**8), compresslevel=1)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    found = GzipReader(LIMIT).inflate(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert found == bytes(LIMIT + 1)
    assert peak - before < 2_000_000


def test_a_bomb_after_a_member_beyond_the_limit_is_not_inflated() -> None:
    body = gzip.compress(bytes(LIMIT + 1)) + gzip.compress(bytes(10**6))

    assert GzipReader(LIMIT).inflate(body) == bytes(LIMIT + 1)


def test_the_limit_counts_inflated_bytes_of_all_pieces() -> None:
    inflated, body, found = GzipReader(LIMIT), gzip.compress(bytes(9 * LIMIT), 0), b""
    for start in range(0, len(body), 500):
        found += inflated.inflate(body[start : start + 500])
        if len(found) > LIMIT:
            break

    assert found == bytes(LIMIT + 1)
