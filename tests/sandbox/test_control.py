"""The control API: off by default, and its effects."""

from dataclasses import replace

import pytest

from gateway.sandbox import SandboxConfig
from tests.sandbox.conftest import STILL, OpenAccount
from tests.sandbox.rows import NOON, sid

CONTROLLED = replace(STILL, control=True)
ROUTES = [
    ("POST", "/sandbox/reset"),
    ("POST", "/sandbox/rows"),
    ("GET", "/sandbox/clock"),
    ("GET", "/sandbox/traffic"),
    ("GET", "/sandbox/requests"),
]


def test_it_is_off_by_default() -> None:
    assert not SandboxConfig().control


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_it_does_not_exist_unless_it_is_enabled(
    open_account: OpenAccount, method: str, path: str
) -> None:
    account = await open_account()

    assert (await account.client.request(method, path)).status_code == 404


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_it_needs_the_credentials_of_the_account(
    open_account: OpenAccount, method: str, path: str
) -> None:
    account = await open_account(config=CONTROLLED)
    account.client.auth = None

    assert (await account.client.request(method, path)).status_code == 401


async def test_rows_are_inserted_and_replaced(open_account: OpenAccount) -> None:
    account = await open_account(config=CONTROLLED)
    row = {
        "sid": sid("CA", 1),
        "date_created": NOON,
        "date_updated": NOON,
        "to": "client:tommy",
        "from": "+14155550100",
        "status": "in-progress",
        "direction": "inbound",
    }

    for status in ("in-progress", "completed"):
        body = {"calls": [{**row, "status": status}], "recordings": [], "notifications": []}
        response = await account.client.post("/sandbox/rows", json=body)
        assert response.status_code == 204

    (found,) = await account.rows("/Calls.json")
    assert (found["status"], found["from"]) == ("completed", "+14155550100")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sandbox/rows", {"calls": [{"sid": "CA1"}]}),
        ("/sandbox/rows", {"faxes": []}),
        ("/sandbox/clock", {"step": "soon"}),
        ("/sandbox/reset", {"calls": "many"}),
    ],
)
async def test_a_wrong_body_is_refused_with_the_reason(
    open_account: OpenAccount, path: str, body: object
) -> None:
    account = await open_account(config=CONTROLLED)

    response = await account.client.post(path, json=body)

    assert response.status_code == 400
    assert "$" in response.text or "unknown field" in response.text


async def test_reset_starts_over_with_example_calls(open_account: OpenAccount) -> None:
    account = await open_account(config=CONTROLLED)
    await account.make()
    await account.client.put("/sandbox/traffic", json={"latency": 0.01})

    await account.client.post("/sandbox/reset", json={"calls": 30})
    first = await account.sids("/Calls.json")
    await account.client.post("/sandbox/reset", json={"calls": 30})
    await account.step(60)

    assert len(first) == 30
    assert await account.sids("/Calls.json") == first
    assert (await account.client.get("/sandbox/traffic")).json()["latency"] == 0
    await account.client.post("/sandbox/reset")
    assert await account.sids("/Calls.json") == []


async def test_reset_empties_the_queue(open_account: OpenAccount) -> None:
    account = await open_account(config=replace(CONTROLLED, calls_per_second=1))
    before = [(await account.call(await account.make()))["queue_time"] for _ in range(3)]

    await account.client.post("/sandbox/reset")

    assert before == ["0", "1000", "2000"]
    assert (await account.call(await account.make()))["queue_time"] == "0"


async def test_the_clock_is_read_stepped_and_started(open_account: OpenAccount) -> None:
    account = await open_account(config=CONTROLLED)
    made = await account.make()

    before = (await account.client.get("/sandbox/clock")).json()["now"]
    stepped = await account.client.post("/sandbox/clock", json={"step": 60})

    assert (before, stepped.json()["now"]) == (NOON, NOON + 60)
    assert (await account.call(made))["status"] == "completed"
    await account.client.post("/sandbox/clock", json={"speed": 1_000_000})
    while (await account.client.get("/sandbox/clock")).json()["now"] < NOON + 10_000:
        pass


async def test_faults_are_set_and_used_up(open_account: OpenAccount) -> None:
    account = await open_account(config=CONTROLLED)

    rules = {"faults": [{"path": "/Calls", "status": 503, "code": 20503}]}
    set_ = await account.client.put("/sandbox/traffic", json=rules)

    assert set_.json()["faults"][0]["times"] == 1
    statuses = [(await account.get("/Calls.json")).status_code for _ in range(2)]
    assert statuses == [503, 200]
    assert (await account.client.get("/sandbox/traffic")).json()["faults"][0]["times"] == 0


async def test_the_log_is_read_and_cleared(open_account: OpenAccount) -> None:
    account = await open_account(config=CONTROLLED)
    response = await account.get("/Calls.json", Status="busy")

    (logged,) = (await account.client.delete("/sandbox/requests")).json()["requests"]
    rest = (await account.client.get("/sandbox/requests")).json()["requests"]

    assert logged["request_id"] == response.headers["Twilio-Request-Id"]
    assert (logged["path"], logged["query"]) == (f"{account.path}/Calls.json", "Status=busy")
    assert rest == []
