"""What a set of request headers decides: once for each set, in a bounded cache."""

from typing import Any

import pytest

from gateway.server.negotiation import JSON, MAX_SET_BYTES, MAX_SETS, Negotiated, Negotiator
from gateway.server.origins import Origins
from tests.plain_twilio import PlainTwilio
from tests.server.stage import served
from tests.settings import settings_of

LISTED = "https://desk.example.com"


def negotiator() -> Negotiator:
    """Of a gateway that allows pages of one origin."""
    return Negotiator(Origins(settings_of(allowed_origins=(LISTED,))), has_page=True)


async def decide(by: Negotiator, *pairs: tuple[str, str], is_query: bool = True) -> Negotiated:
    """What these headers decide, beside two that decide nothing."""
    given = [("user-agent", "x"), *pairs, ("content-length", "9")]
    headers = [(name.encode(), value.encode()) for name, value in given]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "headers": headers}
    return await by.negotiate(scope, is_query=is_query)


async def test_equal_sets_are_decided_once_and_others_apart() -> None:
    by, accept = negotiator(), ("accept", JSON)
    first = await decide(by, accept)

    assert await decide(by, accept) is first
    assert (await decide(by, accept, ("origin", LISTED))).headers != first.headers
    assert not (await decide(by, accept, ("origin", "https://evil.example"))).is_allowed
    assert (await decide(by, accept, ("accept-encoding", "gzip"))).accepts_gzip
    assert (await decide(by, ("accept", "text/html"), is_query=False)).chosen == "text/html"
    assert (await decide(by, ("accept", "text/html"))).chosen is None


async def test_of_an_option_sent_twice_the_first_counts() -> None:
    decided = await decide(negotiator(), ("gateway-timeout", "1"), ("gateway-timeout", "2"))

    assert decided.options["gateway-timeout"] == "1"


async def test_no_more_sets_are_kept_than_allowed() -> None:
    by = negotiator()
    oldest = await decide(by, ("host", "first"))
    for number in range(MAX_SETS):
        await decide(by, ("host", str(number)))

    assert await decide(by, ("host", "first")) is not oldest


@pytest.mark.parametrize("pairs", [[("accept", "x" * (MAX_SET_BYTES + 1))], [("accept", "")] * 99])
async def test_a_large_set_is_not_kept(pairs: list[tuple[str, str]]) -> None:
    by = negotiator()

    assert await decide(by, *pairs) is not await decide(by, *pairs)


@pytest.mark.parametrize("origin", [LISTED, "https://evil.example", None])
async def test_a_result_has_the_headers_of_every_other_response(origin: str | None) -> None:
    headers = {"Origin": origin} if origin else {}
    query = {"query": "{ __typename }"}
    async with served(PlainTwilio(), allowed_origins=(LISTED,)) as client:
        health = await client.get("/healthz", headers=headers)
        result = await client.post("/graphql", json=query, headers=headers)

    own = {"content-type", "content-length", "vary"}
    usual, found = ({**one.headers} for one in (health, result))
    assert {name: found[name] for name in usual.keys() - own} == {
        name: usual[name] for name in usual.keys() - own
    }
    assert found.keys() == usual.keys()
    assert found["vary"] == f"Accept, {usual['vary']}"
