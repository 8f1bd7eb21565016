"""Liveness says that the process answers; readiness that upstream does, at little cost."""

import asyncio

import httpx
import pytest

from gateway.settings import PlannerMode
from tests.app.stage import served, settle
from tests.plain_twilio import PlainTwilio, call


async def test_liveness_asks_nothing_upstream() -> None:
    twilio = PlainTwilio(fault=lambda _: httpx.Response(503))
    async with served(twilio) as client:
        response = await client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response.headers["Cache-Control"] == "no-store"
    assert twilio.asked() == []


async def test_readiness_is_the_smallest_read_and_holds_for_a_while() -> None:
    twilio = PlainTwilio(calls=[call(1)])
    async with served(twilio) as client:
        responses = [await client.get("/readyz") for _ in range(5)]

    assert {response.status_code for response in responses} == {200}
    assert responses[0].json() == {"status": "ready"}
    assert twilio.asked() == ["GET Calls?PageSize=1"]


async def test_probes_at_once_are_one_read() -> None:
    twilio = PlainTwilio(delay=0.01)
    async with served(twilio) as client:
        responses = await asyncio.gather(*(client.get("/readyz") for _ in range(5)))

    assert {response.status_code for response in responses} == {200}
    assert twilio.asked() == ["GET Calls?PageSize=1"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "UPSTREAM_AUTH"), (429, "UPSTREAM_RATE_LIMITED"), (500, "UPSTREAM_UNAVAILABLE"),
     (404, "UPSTREAM_NOT_FOUND"), (204, "UPSTREAM_INVALID")],
)  # fmt: skip
async def test_an_upstream_that_does_not_answer_is_503_with_the_code(
    status: int, code: str
) -> None:
    async with served(PlainTwilio(fault=lambda _: httpx.Response(status))) as client:
        response = await client.get("/readyz")

    assert response.status_code == 503
    assert response.json() == {"status": "not ready", "code": code}


async def test_readiness_does_not_hang_with_upstream() -> None:
    twilio = PlainTwilio(delay=60)
    async with served(twilio, operation_timeout=0.02) as client, asyncio.timeout(5):
        response = await client.get("/readyz")
        await settle()

    assert response.json() == {"status": "not ready", "code": "UPSTREAM_TIMEOUT"}
    assert twilio.in_flight == 0


async def test_recordings_that_are_down_are_named_and_are_no_reason_to_send_nothing_here() -> None:
    twilio = PlainTwilio(calls=[call(number) for number in range(25)])
    twilio.fault = lambda r: httpx.Response(503) if "Recordings" in r.url.path else None
    query = {"query": "{ calls(first: 25) { nodes { recordings { nodes { sid } } } } }"}
    async with served(twilio, tries=1, planner=PlannerMode.PER_KEY) as client:
        await client.post("/graphql", json=query)
        response = await client.get("/readyz")
        alive = await client.get("/healthz")

    assert (response.status_code, alive.status_code) == (200, 200)
    assert response.json() == {"status": "ready", "breakers": {"recordings": "open"}}


async def test_an_unknown_path_is_404() -> None:
    async with served() as client:
        assert (await client.get("/admin")).status_code == 404
