"""Liveness, readiness, and the state of upstream on request."""

import asyncio

import httpx
import pytest

from gateway.settings import AccessMode, PlannerMode
from tests.plain_twilio import PlainTwilio, call, sid
from tests.server.stage import served, settle

UPSTREAM = "/readyz?upstream=1"
ONE = {"query": f'{{ call(sid: "{sid("CA", 1)}") {{ status }} }}'}
LIST = {"query": "{ calls(first: 2) { nodes { sid } } }"}


async def test_liveness_sends_no_upstream_request() -> None:
    twilio = PlainTwilio(fault=lambda _: httpx.Response(503))
    async with served(twilio) as client:
        response = await client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response.headers["Cache-Control"] == "no-store"
    assert twilio.asked() == []


async def test_liveness_says_that_the_sandbox_answers_only_where_it_does() -> None:
    """Where a base URL has a sandbox of its own, the gateway cannot know."""
    async with served(account_sid=None, auth_token=None) as client:
        embedded = await client.get("/healthz")
    async with served(base_url="http://127.0.0.1:1") as client:
        account = await client.get("/healthz")

    assert embedded.json() == {"status": "ok", "sandbox": True}
    assert account.json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/readyz", "/readyz?upstream=0"])
async def test_readiness_sends_no_upstream_request_and_stays_when_upstream_fails(path: str) -> None:
    """Without upstream a gateway still answers in part, so it must keep its traffic."""
    twilio = PlainTwilio(fault=lambda _: httpx.Response(503))
    async with served(twilio) as client:
        await client.post("/graphql", json=ONE)
        twilio.requests.clear()
        response = await client.get(path)

    assert (response.status_code, response.json()) == (200, {"status": "ready"})
    assert response.headers["Cache-Control"] == "no-store"
    assert twilio.asked() == []


async def test_the_state_of_upstream_comes_from_the_smallest_read_and_is_cached() -> None:
    twilio = PlainTwilio(calls=[call(1)])
    async with served(twilio) as client:
        responses = [await client.get(UPSTREAM) for _ in range(5)]

    assert {response.status_code for response in responses} == {200}
    assert responses[0].json() == {"status": "ready"}
    assert twilio.asked() == ["GET Calls?PageSize=1"]


async def test_concurrent_probes_are_one_read() -> None:
    twilio = PlainTwilio(delay=0.01)
    async with served(twilio) as client:
        responses = await asyncio.gather(*(client.get(UPSTREAM) for _ in range(5)))

    assert {response.status_code for response in responses} == {200}
    assert twilio.asked() == ["GET Calls?PageSize=1"]


async def test_the_state_of_upstream_comes_from_the_gateways_own_reads_if_there_are_any() -> None:
    twilio = PlainTwilio(calls=[call(1)])
    async with served(twilio, max_attempts=1) as client:
        await client.post("/graphql", json=ONE)
        well = await client.get(UPSTREAM)
        twilio.fault = lambda _: httpx.Response(503)
        await client.post("/graphql", json=LIST)
        ill = await client.get(UPSTREAM)
        twilio.fault = None
        await client.post("/graphql", json=LIST)
        well_again = await client.get(UPSTREAM)

    assert [response.status_code for response in (well, ill, well_again)] == [200, 503, 200]
    assert ill.json() == {"status": "not ready", "code": "UPSTREAM_UNAVAILABLE"}
    assert "GET Calls?PageSize=1" not in twilio.asked()


async def test_a_failure_that_a_retry_mended_does_not_count() -> None:
    twilio = PlainTwilio(calls=[call(1)])
    faults = [httpx.Response(503)]
    twilio.fault = lambda _: faults.pop() if faults else None
    async with served(twilio) as client:
        await client.post("/graphql", json=LIST)
        assert (await client.get(UPSTREAM)).status_code == 200


@pytest.mark.parametrize("status", [400, 404])
async def test_a_clients_own_error_does_not_count_against_upstream(
    status: int,
) -> None:
    twilio = PlainTwilio(calls=[call(1)])
    async with served(twilio) as client:
        twilio.fault = lambda _: httpx.Response(status)
        await client.post("/graphql", json=ONE)
        twilio.fault = None
        response = await client.get(UPSTREAM)

    assert response.status_code == 200
    assert twilio.asked()[-1] == "GET Calls?PageSize=1"


async def test_a_clients_own_short_timeout_does_not_count_against_upstream() -> None:
    twilio = PlainTwilio(calls=[call(1)], delay=0.2)
    async with served(twilio) as client:
        hurry = await client.post("/graphql", json=ONE, headers={"Gateway-Timeout": "0.1"})
        assert hurry.json()["errors"][0]["extensions"]["code"] == "UPSTREAM_TIMEOUT"
        assert (await client.get(UPSTREAM)).status_code == 200


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "UPSTREAM_AUTH"), (429, "UPSTREAM_RATE_LIMITED"), (500, "UPSTREAM_UNAVAILABLE"),
     (404, "UPSTREAM_NOT_FOUND"), (204, "UPSTREAM_INVALID")],
)  # fmt: skip
async def test_an_upstream_that_does_not_answer_is_503_with_the_code(
    status: int, code: str
) -> None:
    twilio = PlainTwilio(fault=lambda _: httpx.Response(status))
    async with served(twilio, max_attempts=1) as client:
        responses = [await client.get(UPSTREAM) for _ in range(3)]

    assert {response.status_code for response in responses} == {503}
    assert responses[-1].json() == {"status": "not ready", "code": code}
    assert twilio.asked() == ["GET Calls?PageSize=1"]


async def test_readiness_does_not_hang_with_upstream() -> None:
    twilio = PlainTwilio(delay=60)
    async with served(twilio, operation_timeout=0.02) as client, asyncio.timeout(5):
        local = await client.get("/readyz")
        response = await client.get(UPSTREAM)
        await settle()

    assert local.json() == {"status": "ready"}
    assert response.json() == {"status": "not ready", "code": "UPSTREAM_TIMEOUT"}
    assert twilio.in_flight == 0


async def test_a_gateway_without_an_account_reads_nothing() -> None:
    twilio = PlainTwilio()
    settings = {"account_sid": None, "auth_token": None, "access": AccessMode.PASSTHROUGH}
    async with served(twilio, **settings) as client:
        response = await client.get(UPSTREAM)

    assert (response.status_code, response.json()) == (200, {"status": "ready"})
    assert twilio.asked() == []


async def test_an_open_breaker_of_recordings_is_named_and_does_not_fail_readiness() -> None:
    twilio = PlainTwilio(calls=[call(number) for number in range(25)])
    twilio.fault = lambda r: httpx.Response(503) if "Recordings" in r.url.path else None
    query = {"query": "{ calls(first: 25) { nodes { recordings { nodes { sid } } } } }"}
    async with served(twilio, max_attempts=1, planner=PlannerMode.PER_KEY) as client:
        await client.post("/graphql", json=query)
        response = await client.get(UPSTREAM)
        alive = await client.get("/healthz")

    assert (response.status_code, alive.status_code) == (200, 200)
    assert response.json() == {"status": "ready", "breakers": {"recordings": "open"}}


async def test_an_unknown_path_is_404() -> None:
    async with served() as client:
        assert (await client.get("/admin")).status_code == 404
