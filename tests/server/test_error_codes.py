"""Errors as clients see them: each has a code of the closed list."""

from typing import Any

import httpx
import pytest

from gateway.errors import error_codes
from tests.plain_twilio import PlainTwilio, call, error, sid
from tests.server.stage import GRAPHQL_RESPONSE, JSON, served

ONE = f'{{ call(sid: "{sid("CA", 1)}") {{ sid }} }}'
ASKED: dict[str, tuple[str, dict[str, Any], str]] = {
    "syntax": ("{", {}, "GRAPHQL_PARSE_FAILED"),
    "schema": ("{ nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
    "literal": ("{ calls(first: true) { nodes { sid } } }", {}, "GRAPHQL_VALIDATION_FAILED"),
    "variable": ("query($s: ID!) { call(sid: $s) { sid } }", {}, "BAD_USER_INPUT"),
    "variable's type": ("query($s: ID!) { call(sid: $s) { sid } }", {"s": []}, "BAD_USER_INPUT"),
    "scalar": (
        '{ calls(filter: {startTime: {gte: "x"}}) { nodes { sid } } }', {}, "BAD_USER_INPUT",
    ),
    "sid": ('{ call(sid: "x") { sid } }', {}, "BAD_USER_INPUT"),
    "filter": ("{ calls(filter: {status: []}) { nodes { sid } } }", {}, "INVALID_FILTER"),
    "cursor": ('{ calls(after: "x") { nodes { sid } } }', {}, "INVALID_CURSOR"),
    "limit": ("{ " + "x " * 16 + "}", {}, "LIMIT_EXCEEDED"),
    "operations": ("query A { __typename } query B { __typename }", {}, "BAD_REQUEST"),
    "subscription": ("subscription { x }", {}, "BAD_REQUEST"),
    "no operation": ("fragment A on Call { sid }", {}, "BAD_REQUEST"),
    "nothing": ("", {}, "BAD_REQUEST"),
}  # fmt: skip


def codes(response: httpx.Response) -> set[str]:
    """The codes of all errors."""
    return {error["extensions"]["code"] for error in response.json()["errors"]}


@pytest.mark.parametrize("media_type", [JSON, GRAPHQL_RESPONSE])
@pytest.mark.parametrize("name", ASKED)
async def test_a_clients_error_has_its_code(name: str, media_type: str) -> None:
    query, variables, code = ASKED[name]
    body = {"query": query, "variables": variables}
    async with served(PlainTwilio()) as client:
        response = await client.post("/graphql", json=body, headers={"Accept": media_type})

    assert codes(response) == {code} <= error_codes().keys()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "UPSTREAM_REJECTED"),
        (401, "UPSTREAM_AUTH"),
        (403, "UPSTREAM_AUTH"),
        (429, "UPSTREAM_RATE_LIMITED"),
        (500, "UPSTREAM_UNAVAILABLE"),
        (302, "UPSTREAM_INVALID"),
    ],
)
async def test_an_upstream_error_has_its_code(status: int, code: str) -> None:
    async with served(PlainTwilio(fault=lambda _: error(status, 20000))) as client:
        response = await client.post("/graphql", json={"query": ONE})

    assert codes(response) == {code} <= error_codes().keys()


async def test_rate_limiting_says_when_to_retry() -> None:
    """With Twilio's Retry-After, if the operation cannot wait that long."""

    def full(_: httpx.Request) -> httpx.Response:
        answer = error(429, 20429)
        answer.headers["Retry-After"] = "60"
        return answer

    async with served(PlainTwilio(calls=[call(1)], fault=full)) as client:
        response = await client.post("/graphql", json={"query": ONE})

    (refused,) = response.json()["errors"]
    assert refused["extensions"]["code"] == "UPSTREAM_RATE_LIMITED"
    assert refused["extensions"]["retryAfter"] == 60
