"""POST to a call and to its recordings: which update is allowed in which status."""

from dataclasses import replace
from itertools import product

import pytest

from gateway.sandbox.lifecycle import FOLLOWS
from tests.sandbox.conftest import STILL, Account, OpenAccount
from tests.sandbox.rows import NOON, call, recording, sid

ONE = "/Calls/" + sid("CA", 1)
LIVE = ("queued", "ringing", "in-progress")
AFTER = {
    ("queued", "canceled"): "canceled",
    ("queued", "completed"): "canceled",
    ("ringing", "canceled"): "canceled",
    ("ringing", "completed"): "canceled",
    ("in-progress", "canceled"): "in-progress",
    ("in-progress", "completed"): "completed",
}


async def with_call(open_account: OpenAccount, status: str) -> Account:
    started = None if status == "queued" else NOON - 60
    account: Account = await open_account([call(1, NOON - 60, status=status, start_time=started)])
    return account


@pytest.mark.parametrize(("before", "requested"), list(product(FOLLOWS, ("canceled", "completed"))))
async def test_a_requested_status_is_reached_ignored_or_refused(
    open_account: OpenAccount, before: str, requested: str
) -> None:
    account = await with_call(open_account, before)

    response = await account.post(ONE + ".json", Status=requested)

    if before in LIVE:
        assert (response.status_code, response.json()["status"]) == (200, AFTER[before, requested])
    else:
        assert (response.status_code, response.json()["code"]) == (400, 21220)
        assert (await account.call(sid("CA", 1)))["status"] == before


@pytest.mark.parametrize("before", FOLLOWS)
async def test_only_a_call_in_progress_is_redirected(
    open_account: OpenAccount, before: str
) -> None:
    account = await with_call(open_account, before)

    response = await account.post(ONE + ".json", Twiml='<Response><Pause length="5"/></Response>')

    if before == "in-progress":
        assert response.status_code == 200
        await account.step(5)
        assert (await account.call(sid("CA", 1)))["status"] == "completed"
    else:
        assert response.status_code == 400
        assert response.json()["message"] == "Call is not in-progress. Cannot redirect."


CHANGES: list[dict[str, str]] = [
    {"Status": "completed"},
    {"Status": "canceled"},
    {"Twiml": "<Response/>"},
]


@pytest.mark.parametrize(("before", "form"), list(product(FOLLOWS, CHANGES)))
async def test_an_ended_call_is_not_found_where_that_is_configured(
    open_account: OpenAccount, before: str, form: dict[str, str]
) -> None:
    """Hanging up a call that has just ended got 404; GET shows it.

    See docs/twilio.md#12-reports-of-people-who-use-the-api.
    """
    started = None if before == "queued" else NOON - 60
    account: Account = await open_account(
        [call(1, NOON - 60, status=before, start_time=started)],
        replace(STILL, ended_calls_are_missing=True),
    )

    response = await account.post(ONE + ".json", **form)

    if before in LIVE:
        assert response.status_code in {200, 400}
    else:
        assert (response.status_code, response.json()["code"]) == (404, 20404)
        assert (await account.call(sid("CA", 1)))["status"] == before


@pytest.mark.parametrize(
    "form",
    [
        {"Status": "busy"},
        {"Status": "in-progress"},
        {"Twiml": "<Response/>", "Url": "http://127.0.0.1/"},
        {"Url": "nowhere"},
    ],
)
async def test_a_wrong_change_is_refused(open_account: OpenAccount, form: dict[str, str]) -> None:
    account = await with_call(open_account, "in-progress")

    assert (await account.post(ONE + ".json", **form)).status_code == 400
    assert (await account.call(sid("CA", 1)))["status"] == "in-progress"


async def test_a_call_that_does_not_exist_cannot_be_updated(open_account: OpenAccount) -> None:
    account = await open_account()

    assert (await account.post(ONE + ".json", Status="completed")).status_code == 404


async def test_completing_a_call_ends_its_legs_and_recordings(open_account: OpenAccount) -> None:
    rows = [
        call(1, NOON - 9, status="in-progress"),
        call(2, NOON - 8, status="in-progress", parent_call_sid=sid("CA", 1)),
        call(3, NOON - 7, status="ringing", parent_call_sid=sid("CA", 1)),
        recording(1, 1, NOON - 8, status="in-progress"),
    ]
    account = await open_account(rows)

    await account.post(ONE + ".json", Status="completed")

    statuses = [row["status"] for row in await account.rows("/Calls.json")]
    assert statuses == ["canceled", "completed", "completed"]
    (recorded,) = await account.rows("/Recordings.json")
    assert (recorded["status"], recorded["duration"]) == ("completed", "8")


async def test_a_time_limit_can_be_set_on_a_live_call(open_account: OpenAccount) -> None:
    account = await with_call(open_account, "in-progress")

    await account.post(ONE + ".json", TimeLimit="7")
    await account.step(7)

    assert (await account.call(sid("CA", 1)))["duration"] == "67"


async def test_a_recording_is_started_paused_resumed_stopped_and_deleted(
    open_account: OpenAccount,
) -> None:
    account = await with_call(open_account, "in-progress")
    recordings = ONE + "/Recordings"

    started = await account.post(
        recordings + ".json", RecordingChannels="dual", RecordingTrack="inbound"
    )
    row = started.json()
    path = f"{recordings}/{row['sid']}"
    early = await account.client.delete(f"{account.path}{path}.json")
    changes = []
    for status in ("paused", "in-progress", "stopped", "stopped"):
        await account.step(3)
        changes.append(await account.post(path + ".json", Status=status))
    deleted = await account.client.delete(f"{account.path}/Recordings/{row['sid']}.json")

    assert started.status_code == 201
    assert (row["status"], row["channels"], row["track"]) == ("in-progress", 2, "inbound")
    assert (row["source"], row["duration"]) == ("StartCallRecordingAPI", None)
    assert early.json()["code"] == 20009
    assert [change.status_code for change in changes] == [200, 200, 200, 400]
    assert [change.json()["status"] for change in changes[:3]] == [
        "paused",
        "in-progress",
        "completed",
    ]
    assert changes[2].json()["duration"] == "9"
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert await account.sids("/Recordings.json") == []
    assert await account.sids("/Recordings.json", IncludeSoftDeleted="true") == [row["sid"]]
    again = await account.client.delete(f"{account.path}/Recordings/{row['sid']}.json")
    assert again.status_code == 404


async def test_only_a_call_in_progress_is_recorded(open_account: OpenAccount) -> None:
    account = await with_call(open_account, "ringing")

    response = await account.post(ONE + "/Recordings.json")

    assert (response.status_code, response.json()["code"]) == (400, 21220)


async def test_a_recording_knows_no_other_status(open_account: OpenAccount) -> None:
    account = await open_account([call(1), recording(1, 1, status="in-progress")])

    response = await account.post(f"{ONE}/Recordings/{sid('RE', 1)}.json", Status="louder")

    assert response.status_code == 400
