"""Cache-Control, ETag and 304, by what a query reads and how it is asked."""

from typing import Any

import httpx
import pytest

from gateway.settings import AccessMode, CacheControl, SettingsError
from tests.credentials import basic
from tests.plain_twilio import ACCOUNT, PlainTwilio, call, sid
from tests.server.stage import served
from tests.settings import settings_of

FINAL, LIVE = sid("CA", 1), sid("CA", 2)
STATUS = '{ call(sid: "%s") { status } }'
PERSONAL = '{ call(sid: "%s") { status to } }'


def twilio() -> PlainTwilio:
    """An account with a priced call, a live one, and one whose price may come."""
    return PlainTwilio(
        calls=[
            call(1, price="-0.0085"),
            call(2, status="in-progress", price=None, end_time=None),
            call(3, price=None),
        ]
    )


async def get(client: httpx.AsyncClient, query: str, **headers: str) -> httpx.Response:
    return await client.get("/graphql", params={"query": query}, headers=headers)


@pytest.mark.parametrize(
    ("mode", "query", "expected"),
    [
        (CacheControl.OFF, STATUS % FINAL, "no-store"),
        (CacheControl.PRIVATE, STATUS % FINAL, "private, max-age=3600"),
        (CacheControl.PUBLIC, STATUS % FINAL, "public, max-age=3600"),
        (CacheControl.PUBLIC, PERSONAL % FINAL, "private, max-age=3600"),
        (CacheControl.PUBLIC, STATUS % LIVE, "no-store"),
        (CacheControl.PUBLIC, "{ calls { nodes { sid } } }", "no-store"),
        (CacheControl.PUBLIC, "{ __typename }", "no-store"),
        (CacheControl.PUBLIC, STATUS % sid("CA", 99), "no-store"),
        (CacheControl.PUBLIC, "{ call(sid: 1) { status } }", "no-store"),
    ],
)
async def test_what_was_read_decides(mode: CacheControl, query: str, expected: str) -> None:
    async with served(twilio(), cache_control=mode) as client:
        response = await get(client, query)

    assert response.headers["cache-control"] == expected
    assert ("etag" in response.headers) is (expected != "no-store")


async def test_the_answer_that_changes_first_decides() -> None:
    both = f'{{ a: call(sid: "{FINAL}") {{ status }} b: call(sid: "{LIVE}") {{ status }} }}'
    async with served(twilio(), cache_control=CacheControl.PRIVATE) as client:
        response = await get(client, both)

    assert response.headers["cache-control"] == "no-store"


async def test_an_answer_from_the_gateways_own_cache_is_kept_no_longer_than_there() -> None:
    async with served(twilio(), cache_control=CacheControl.PRIVATE) as client:
        first = await get(client, STATUS % FINAL)
        second = await get(client, STATUS % FINAL)

    assert first.headers["cache-control"] == "private, max-age=3600"
    assert second.headers["cache-control"] in {"private, max-age=3600", "private, max-age=3599"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Gateway-Explain": "totals"},
        {"Gateway-Request-Budget": "5"},
        {"Gateway-Timeout": "5"},
        {"Gateway-Priority": "bulk"},
    ],
)
async def test_a_response_that_a_header_shaped_is_not_kept(headers: dict[str, str]) -> None:
    async with served(twilio(), cache_control=CacheControl.PUBLIC) as client:
        response = await get(client, STATUS % FINAL, **headers)

    assert response.headers["cache-control"] == "no-store"


async def test_who_has_the_response_gets_304_for_the_same_content_coding() -> None:
    fields = (f'n{n}: call(sid: "{FINAL}") {{ status sid uri }}' for n in range(14))
    long = f"{{ {' '.join(fields)} }}"
    async with served(twilio(), cache_control=CacheControl.PUBLIC) as client:
        plain = await get(client, long, **{"Accept-Encoding": "identity"})
        zipped = await get(client, long, **{"Accept-Encoding": "gzip"})
        known = {"If-None-Match": f'"x", W/{plain.headers["etag"]}', "Accept-Encoding": "identity"}
        again = await get(client, long, **known)
        other = await get(client, long, **known | {"Accept-Encoding": "gzip"})
        post = await client.post("/graphql", json={"query": long}, headers=known)

    assert plain.headers["etag"] != zipped.headers["etag"]
    assert plain.json() == zipped.json()
    assert (again.status_code, again.content) == (304, b"")
    for name in ("etag", "vary", "x-content-type-options"):
        assert set(again.headers[name].split(", ")) == set(plain.headers[name].split(", "))
    assert (other.status_code, post.status_code) == (200, 200)
    assert {one.headers["cache-control"].partition("=")[0] for one in (again, post)} == {
        "public, max-age"
    }


async def test_vary_names_all_that_decides_a_response() -> None:
    given: dict[str, Any] = {"account_sid": None, "auth_token": None}
    access = {"access": AccessMode.PASSTHROUGH, "cache_control": CacheControl.PRIVATE}
    async with served(twilio(), **given, **access) as client:
        mine = await get(client, STATUS % FINAL, **{"Authorization": basic(ACCOUNT)})
    async with served(twilio(), cache_control=CacheControl.PUBLIC) as client:
        anybodys = await get(client, STATUS % FINAL)

    everyone = {"Accept", "Accept-Encoding", "Origin", "Gateway-Explain"}
    assert set(anybodys.headers["vary"].split(", ")) == everyone
    by_caller = everyone | {"Authorization", "Gateway-Account-Sid"}
    assert set(mine.headers["vary"].split(", ")) == by_caller
    assert mine.headers["cache-control"] == "private, max-age=3600"


@pytest.mark.parametrize("mode", [AccessMode.PASSTHROUGH])
def test_a_public_cache_is_refused_where_callers_need_a_credential(mode: AccessMode) -> None:
    with pytest.raises(SettingsError, match="GATEWAY_CACHE_CONTROL"):
        settings_of(access=mode, cache_control=CacheControl.PUBLIC)
