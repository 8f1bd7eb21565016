"""Headers, the concurrency limit, latency, faults and the log."""

import asyncio
import re
from dataclasses import replace

import httpx
import pytest

from gateway.sandbox import create_app
from gateway.sandbox.traffic import Fault, FaultInjector, Rules
from tests.sandbox.conftest import STILL, OpenAccount
from tests.sandbox.rows import call
from tests.sandbox.serving import served


async def test_every_response_has_a_request_id_and_a_duration(open_account: OpenAccount) -> None:
    account = await open_account()

    responses = [await account.get(path) for path in ("/Calls.json", "/Calls", "/Nothing.json")]
    account.client.auth = None
    responses.append(await account.get("/Calls.json"))

    ids = [response.headers["Twilio-Request-Id"] for response in responses]
    assert all(re.fullmatch("RQ[0-9a-f]{32}", one) for one in ids)
    assert len(set(ids)) == 4
    for response in responses:
        assert re.fullmatch(r"\d+\.\d{3}", response.headers["Twilio-Request-Duration"])
        assert response.headers["Twilio-Concurrent-Requests"] == "1"


async def test_requests_above_the_limit_are_refused_and_not_processed(
    open_account: OpenAccount,
) -> None:
    account = await open_account(config=replace(STILL, concurrency=2, latency=0.02))
    form = {"To": "client:tommy", "From": "client:amara", "Twiml": "<Response/>"}

    responses = await asyncio.gather(*(account.post("/Calls.json", **form) for _ in range(5)))

    assert sorted(response.status_code for response in responses) == [201, 201, 429, 429, 429]
    refused = next(response for response in responses if response.status_code == 429)
    assert refused.json() == {
        "code": 20429,
        "message": "Too Many Requests",
        "more_info": "https://www.twilio.com/docs/errors/20429",
        "status": 429,
    }
    assert "Retry-After" not in refused.headers
    assert len(await account.sids("/Calls.json")) == 2
    assert (await account.get("/Calls.json")).headers["Twilio-Concurrent-Requests"] == "1"


def test_latency_is_per_request_and_per_row_with_seeded_jitter() -> None:
    rules = Rules(latency=0.1, latency_per_row=0.001, latency_jitter=0.5)
    one, same, other = FaultInjector(rules, 1), FaultInjector(rules, 1), FaultInjector(rules, 2)

    delays = [one.latency(0) for _ in range(20)] + [one.latency(100) for _ in range(20)]

    assert all(0.05 <= delay <= 0.15 for delay in delays[:20])
    assert all(0.10 <= delay <= 0.30 for delay in delays[20:])
    assert len(set(delays)) == 40
    assert delays[0] == same.latency(0) != other.latency(0)
    assert FaultInjector(Rules(), 1).latency(1000) == 0


async def test_a_response_takes_the_latency_of_its_rows(open_account: OpenAccount) -> None:
    config = replace(STILL, latency=0.01, latency_per_row=0.01)
    account = await open_account([call(1), call(2)], config)

    listed, missing = await account.get("/Calls.json"), await account.get("/Calls/CAx.json")

    assert float(listed.headers["Twilio-Request-Duration"]) >= 0.029
    assert float(missing.headers["Twilio-Request-Duration"]) >= 0.009


async def test_a_fault_applies_to_a_number_of_matching_requests(
    open_account: OpenAccount,
) -> None:
    account = await open_account([call(1)])
    account.traffic.rules.faults.append(
        Fault(path="/Calls", method="GET", skip=1, times=2, status=503, code=20503, message="Oh")
    )

    statuses = [(await account.get("/Calls.json")).status_code for _ in range(4)]
    other = await account.get("/Recordings.json")

    assert (statuses, other.status_code) == ([200, 503, 503, 200], 200)


async def test_a_fault_has_the_error_of_the_service_or_any_body(
    open_account: OpenAccount,
) -> None:
    account = await open_account()
    account.traffic.rules.faults += [
        Fault(status=500, code=20500),
        Fault(body='{"calls": [{"sid":'),
        Fault(body="<html>gateway</html>", status=502),
        Fault(delay=0.01),
    ]

    failed, torn, foreign, late = [await account.get("/Calls.json") for _ in range(4)]

    assert (failed.status_code, failed.json()["code"]) == (500, 20500)
    assert (torn.status_code, torn.text) == (200, '{"calls": [{"sid":')
    assert (foreign.status_code, foreign.text) == (502, "<html>gateway</html>")
    assert late.status_code == 200
    assert float(late.headers["Twilio-Request-Duration"]) >= 0.009


async def test_a_cut_connection_ends_in_the_middle_of_the_response() -> None:
    app = create_app(STILL)
    app.state.traffic.rules.faults.append(Fault(cut=True))

    with served(app) as base:
        async with httpx.AsyncClient(auth=(STILL.account_sid, STILL.auth_token)) as client:
            url = f"{base}/2010-04-01/Accounts/{STILL.account_sid}/Calls.json"
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(url)
            assert (await client.get(url)).status_code == 200


async def test_the_log_has_requests_but_no_forms(open_account: OpenAccount) -> None:
    account = await open_account()

    await account.get("/Calls.json", Status="busy")
    await account.post("/Calls.json", To="+14155550199")

    logged = [(one.method, one.path, one.query, one.status) for one in account.traffic.log]
    path = f"{account.path}/Calls.json"
    assert logged == [("GET", path, "Status=busy", 200), ("POST", path, "", 400)]
    assert "5550199" not in repr(account.traffic.log)
