"""Authentication over HTTP: who is accepted, which errors others get, and rate limits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import HTTPConnection

from gateway.access import ANONYMOUS, Scope
from gateway.access.tokens import new_token
from gateway.errors import RateLimited, Unauthenticated
from gateway.server.authentication import Authenticator
from gateway.settings import AccessMode
from tests.credentials import basic
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, sid
from tests.server.stage import served
from tests.settings import settings_of

ONE = "{ calls(first: 1) { nodes { sid } } }"
OTHER = "AC" + "b" * 32
KEY = "SK" + "c" * 32


def seen(twilio: PlainTwilio) -> list[tuple[str, str]]:
    """A list that collects the account and credential of every upstream request."""
    found: list[tuple[str, str]] = []

    def note(request: httpx.Request) -> None:
        found.append((request.url.path.split("/")[3], request.headers["authorization"]))

    twilio.fault = note
    return found


async def test_without_a_mode_every_request_is_accepted() -> None:
    async with served(PlainTwilio(calls=[call(1)])) as client:
        answer = await client.post(
            "/graphql", json={"query": ONE}, headers={"Authorization": "Bearer x"}
        )

    assert answer.json() == {"data": {"calls": {"nodes": [{"sid": sid("CA", 1)}]}}}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer gwt_x", "Basic !", basic("kevin", TOKEN), basic(KEY, "s")],
)
async def test_a_request_without_a_credential_gets_401_and_sends_nothing(
    method: str, authorization: str | None
) -> None:
    twilio = PlainTwilio(calls=[call(1)])
    headers = {"Authorization": authorization} if authorization else {}
    given: dict[str, Any] = {"params" if method == "GET" else "json": {"query": ONE}}
    async with served(twilio, access=AccessMode.PASSTHROUGH) as client:
        answer = await client.request(method, "/graphql", headers=headers, **given)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="Twilio account", charset="UTF-8"'
    assert answer.headers["content-type"].startswith("application/json")
    (error,) = answer.json()["errors"]
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}
    assert twilio.asked() == []


async def test_two_credentials_at_once_are_refused() -> None:
    headers = [("Authorization", basic(ACCOUNT, "a")), ("Authorization", basic(OTHER, "b"))]
    async with served(access=AccessMode.PASSTHROUGH) as client:
        answer = await client.get("/graphql", params={"query": ONE}, headers=headers)

    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_is_for_everybody(path: str) -> None:
    async with served(access=AccessMode.PASSTHROUGH) as client:
        assert (await client.get(path)).status_code == 200


async def test_in_passthrough_the_callers_own_credential_goes_upstream() -> None:
    """The gateway's own credential is never used."""
    twilio = PlainTwilio(calls=[call(1)])
    requests = seen(twilio)
    async with served(twilio, access=AccessMode.PASSTHROUGH) as client:
        for authorization, account in (
            (basic(OTHER, "others"), None),
            (basic(KEY, "keys"), OTHER),
            (basic(ACCOUNT, "a"), OTHER),
        ):
            headers = {"Authorization": authorization}
            headers |= {"Gateway-Account-Sid": account} if account else {}
            await client.post("/graphql", json={"query": ONE}, headers=headers)

    assert requests == [
        (OTHER, basic(OTHER, "others")),
        (OTHER, basic(KEY, "keys")),
        (OTHER, basic(ACCOUNT, "a")),
    ]


async def test_made_up_credentials_whose_queries_are_refused_leave_nothing_behind() -> None:
    """Once, each got a client, a store and a polling task before its query was read."""
    twilio = PlainTwilio(calls=[call(1)])
    async with served(twilio, access=AccessMode.PASSTHROUGH) as client:
        before = asyncio.all_tasks()
        for number in range(20):
            headers = {"Authorization": basic(sid("AC", number), "made-up")}
            answer = await client.post("/graphql", json={"query": "{ calls("}, headers=headers)
            assert answer.json()["errors"][0]["extensions"] == {"code": "GRAPHQL_PARSE_FAILED"}
        assert asyncio.all_tasks() == before

    assert twilio.asked() == []


async def test_equal_reads_of_two_credentials_are_two_reads() -> None:
    twilio = PlainTwilio(calls=[call(1)], delay=0.05)
    requests = seen(twilio)
    async with served(twilio, access=AccessMode.PASSTHROUGH) as client:
        await asyncio.gather(
            *(
                client.post(
                    "/graphql",
                    json={"query": ONE},
                    headers={"Authorization": basic(ACCOUNT, password)},
                )
                for password in ("a", "a", "b", "b", "c")
            )
        )

    assert sorted(requests) == sorted((ACCOUNT, basic(ACCOUNT, text)) for text in ("a", "b", "c"))


async def test_a_cursor_is_invalid_for_another_account() -> None:
    twilio = PlainTwilio(calls=[call(1), call(2)])
    mine = {"Authorization": basic(ACCOUNT, "a")}
    page = "query($after: String) { calls(first: 1, after: $after) { pageInfo { endCursor } } }"
    async with served(twilio, access=AccessMode.PASSTHROUGH) as client:
        first = await client.post("/graphql", json={"query": page}, headers=mine)
        after = first.json()["data"]["calls"]["pageInfo"]["endCursor"]
        answer = await client.post(
            "/graphql",
            json={"query": page, "variables": {"after": after}},
            headers=mine | {"Gateway-Account-Sid": OTHER},
        )

    assert answer.json()["errors"][0]["extensions"]["code"] == "INVALID_CURSOR"


async def test_too_many_requests_get_429_and_a_time_to_retry() -> None:
    twilio = PlainTwilio(calls=[call(1)])
    async with served(twilio, rate_limit=1, rate_burst=3) as client:
        answers = [await client.post("/graphql", json={"query": ONE}) for _ in range(5)]
        alive = await client.get("/healthz")

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["retry-after"] == "1"
    (error,) = answers[-1].json()["errors"]
    assert error["extensions"] == {"code": "RATE_LIMITED", "retryAfter": 1}
    assert len(twilio.asked()) == 3
    assert alive.status_code == 200


async def test_refused_requests_count_too() -> None:
    async with served(access=AccessMode.PASSTHROUGH, rate_limit=1, rate_burst=2) as client:
        answers = [await client.get("/graphql", params={"query": ONE}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [401, 401, 429]


def connection(host: str, *headers: tuple[str, str]) -> HTTPConnection:
    """A connection from this address."""
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    return HTTPConnection({"type": "http", "headers": raw, "client": (host, 5000)})


@asynccontextmanager
async def open_authenticator(**settings: Any) -> AsyncIterator[Authenticator]:
    """An authenticator that allows one request a second for each caller."""
    authenticator = Authenticator(settings_of(rate_limit=1, rate_burst=1, **settings))
    yield authenticator
    await authenticator.aclose()


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("testclient", "testclient", True),
    ],
)
async def test_a_caller_without_a_name_is_an_address(first: str, second: str, is_one: bool) -> None:
    async with open_authenticator() as authenticator:
        await authenticator.authenticate(connection(first))
        if not is_one:
            await authenticator.authenticate(connection(second))
            return
        with pytest.raises(RateLimited):
            await authenticator.authenticate(connection(second))


async def test_in_passthrough_a_new_credential_is_no_new_caller() -> None:
    async with open_authenticator(access=AccessMode.PASSTHROUGH) as authenticator:
        await authenticator.authenticate(
            connection("192.0.2.1", ("Authorization", basic(ACCOUNT, "a")))
        )
        with pytest.raises(RateLimited):
            await authenticator.authenticate(
                connection("192.0.2.1", ("Authorization", basic(OTHER, "b")))
            )


FORWARDED = ("X-Forwarded-For", "203.0.113.9")


@pytest.mark.parametrize(
    ("client", "headers", "trusted", "expected"),
    [
        (("192.0.2.1", 5000), [], None, "address 192.0.2.1"),
        (("192.0.2.1", 5000), [FORWARDED], None, None),
        (("192.0.2.1", 5000), [("X-Forwarded-For", "192.0.2.1")], None, None),
        (("192.0.2.1", 5000), [FORWARDED], "10.0.0.1", None),
        (("192.0.2.1", 5000), [], "10.0.0.1", "address 192.0.2.1"),
        (("203.0.113.9", 0), [FORWARDED], "10.0.0.1", "address 203.0.113.9"),
        (("203.0.113.9", 77), [("X-Forwarded-For", "203.0.113.9:77")], "10.0.0.1", True),
        (("2001:db8::9", 77), [("X-Forwarded-For", "[2001:db8::9]:77")], "10.0.0.1", True),
        (None, [], None, None),
        (("", 0), [FORWARDED], "10.0.0.1", None),
    ],
)
async def test_a_proxys_address_does_not_count(
    client: tuple[str, int] | None,
    headers: list[tuple[str, str]],
    trusted: str | None,
    expected: str | bool | None,
) -> None:
    """Refused attempts count for the caller's own address, or for none."""
    visitor = connection("192.0.2.1", ("Authorization", basic(ACCOUNT, "a")), *headers)
    visitor.scope["client"] = client
    async with open_authenticator(
        access=AccessMode.PASSTHROUGH, trusted_proxies=trusted
    ) as authenticator:
        caller = await authenticator.authenticate(visitor)

    address = caller.address
    assert (address is not None) if expected is True else (address == expected)


@pytest.fixture
def tokens(tmp_path: Path) -> tuple[Path, list[str]]:
    """A tokens file with two tokens of ops and one of web, and the tokens."""
    pairs = [new_token(name, "read") for name in ("ops", "ops", "web")]
    file = tmp_path / "tokens"
    file.write_text("\n".join(str(line) for _, line in pairs))
    return file, [token for token, _ in pairs]


def test_a_name_is_one_caller_from_wherever_it_asks(tokens: tuple[Path, list[str]]) -> None:
    file, (ops, new_ops, web) = tokens
    authenticator = Authenticator(
        settings_of(access=AccessMode.TOKEN, tokens_file=str(file), rate_limit=1, rate_burst=1)
    )

    def authenticate(host: str, token: str) -> str:
        visitor = connection(host, ("Authorization", f"Bearer {token}"))
        return asyncio.run(authenticator.authenticate(visitor)).name

    assert authenticate("192.0.2.1", ops) == "ops"
    with pytest.raises(RateLimited):
        authenticate("192.0.2.2", new_ops)
    assert authenticate("192.0.2.1", web) == "web"
    with pytest.raises(Unauthenticated):
        authenticate("192.0.2.1", ops + "x")


@pytest.mark.parametrize(
    "payload",
    [
        {"Authorization": basic(ACCOUNT, "a")},
        {"authorization": basic(KEY, "a"), "gateway-account-sid": ACCOUNT},
        {"headers": {"AUTHORIZATION": basic(ACCOUNT, "a")}},
    ],
)
async def test_a_socket_presents_its_credential_in_connection_init(payload: dict[str, Any]) -> None:
    async with open_authenticator(access=AccessMode.PASSTHROUGH) as authenticator:
        caller = await authenticator.authenticate(
            connection("192.0.2.1", ("Authorization", basic(OTHER, "b"))), payload
        )

    assert caller.account
    assert caller.account.sid == ACCOUNT


@pytest.mark.parametrize(
    "payload", [{"Authorization": 7}, {"Authorization": None}, {"headers": []}, {"x": "y"}, {}]
)
async def test_a_payload_without_a_credential_lets_nobody_in(payload: dict[str, Any]) -> None:
    async with open_authenticator(access=AccessMode.PASSTHROUGH) as authenticator:
        with pytest.raises(Unauthenticated):
            await authenticator.authenticate(connection("192.0.2.1"), payload)


async def test_further_operations_of_a_socket_are_counted() -> None:
    async with open_authenticator() as authenticator:
        visitor = connection("192.0.2.1")
        caller = await authenticator.authenticate(visitor)
        with pytest.raises(RateLimited):
            await authenticator.count(visitor, caller)

    assert caller == ANONYMOUS
    assert caller.may(Scope.CALL)
