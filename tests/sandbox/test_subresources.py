"""Recordings and Notifications: below a call, at account level, and each by its SID."""

from gateway.sandbox.resources import Row
from tests.sandbox.conftest import OpenAccount
from tests.sandbox.rows import NOON, call, notification, recording, sid

CALL = sid("CA", 1)
ENCRYPTED = {
    "encryption_public_key_sid": sid("CR", 1),
    "encryption_cek": "a2V5",
    "encryption_iv": "aXY=",
}
ROWS: list[Row] = [
    call(1),
    call(2),
    recording(
        1, 1, NOON + 5, duration=4, price="-0.0025", price_unit="USD", channels=2, **ENCRYPTED
    ),
    recording(2, None, NOON + 6, status="absent", error_code=13617, source="Conference"),
    notification(1, 1, NOON + 7, request_variables="CallStatus=in-progress", response_body="oops"),
]


async def test_a_recording_below_its_call_has_a_track(open_account: OpenAccount) -> None:
    account = await open_account(ROWS)

    (row,) = await account.rows(f"/Calls/{CALL}/Recordings.json")

    assert row == {
        "sid": sid("RE", 1),
        "account_sid": account.config.account_sid,
        "call_sid": CALL,
        "conference_sid": None,
        "api_version": "2010-04-01",
        "date_created": "Mon, 06 Jul 2026 12:00:05 +0000",
        "date_updated": "Mon, 06 Jul 2026 12:00:05 +0000",
        "start_time": "Mon, 06 Jul 2026 12:00:05 +0000",
        "duration": "4",
        "price": "-0.0025",
        "price_unit": "USD",
        "status": "completed",
        "channels": 2,
        "source": "DialVerb",
        "error_code": None,
        "encryption_details": ENCRYPTED,
        "track": "both",
        "uri": f"{account.path}/Calls/{CALL}/Recordings/{sid('RE', 1)}.json",
    }
    alone = await account.get(f"/Calls/{CALL}/Recordings/{sid('RE', 1)}.json")
    assert alone.json() == row


async def test_a_recording_of_the_account_has_media_and_parts_instead(
    open_account: OpenAccount,
) -> None:
    account = await open_account(ROWS)

    conference, dialled = await account.rows("/Recordings.json")

    base = f"{account.path}/Recordings/{sid('RE', 1)}"
    assert "track" not in dialled
    assert dialled["uri"] == f"{base}.json"
    assert dialled["media_url"] == f"https://api.twilio.com{base}"
    assert dialled["subresource_uris"] == {
        "add_on_results": f"{base}/AddOnResults.json",
        "transcriptions": f"{base}/Transcriptions.json",
    }
    assert (conference["call_sid"], conference["error_code"]) == (None, 13617)
    assert conference["encryption_details"] is None
    assert (await account.get(f"/Recordings/{sid('RE', 1)}.json")).json() == dialled


async def test_only_a_notification_instance_shows_its_request_and_response(
    open_account: OpenAccount,
) -> None:
    account = await open_account(ROWS)
    (listed,) = await account.rows("/Notifications.json")

    alone = (await account.get(f"/Notifications/{sid('NO', 1)}.json")).json()

    assert listed == {
        "sid": sid("NO", 1),
        "account_sid": account.config.account_sid,
        "call_sid": CALL,
        "api_version": "2010-04-01",
        "date_created": "Mon, 06 Jul 2026 12:00:07 +0000",
        "date_updated": "Mon, 06 Jul 2026 12:00:07 +0000",
        "error_code": "11200",
        "log": "0",
        "message_date": "Mon, 06 Jul 2026 12:00:07 +0000",
        "message_text": "LogLevel=ERROR&ErrorCode=11200",
        "more_info": "https://www.twilio.com/docs/errors/11200",
        "request_method": "POST",
        "request_url": "https://ivr.example.com/voice",
        "uri": f"{account.path}/Notifications/{sid('NO', 1)}.json",
    }
    assert alone == {
        **listed,
        "request_variables": "CallStatus=in-progress",
        "response_body": "oops",
        "response_headers": "",
    }


async def test_a_notification_below_its_call_has_its_uri_there(open_account: OpenAccount) -> None:
    account = await open_account(ROWS)

    (row,) = await account.rows(f"/Calls/{CALL}/Notifications.json")

    assert row["uri"] == f"{account.path}/Calls/{CALL}/Notifications/{sid('NO', 1)}.json"
    assert (await account.client.get(row["uri"])).status_code == 200


async def test_a_row_of_another_call_is_not_found_below_this_one(
    open_account: OpenAccount,
) -> None:
    account = await open_account(ROWS)

    for part in (f"Recordings/{sid('RE', 1)}", f"Notifications/{sid('NO', 1)}"):
        assert (await account.get(f"/Calls/{sid('CA', 2)}/{part}.json")).status_code == 404


async def test_a_recording_outlives_its_call(open_account: OpenAccount) -> None:
    """The recordings of a deleted call are found at account level, but not below the call."""
    account = await open_account([recording(1, 77)])

    assert await account.sids("/Recordings.json", CallSid=sid("CA", 77)) == [sid("RE", 1)]
    assert (await account.get(f"/Calls/{sid('CA', 77)}/Recordings.json")).status_code == 404


async def test_a_deleted_recording_is_found_only_with_include_soft_deleted(
    open_account: OpenAccount,
) -> None:
    account = await open_account([call(1), recording(1, 1, status="deleted")])
    path = f"/Recordings/{sid('RE', 1)}.json"

    assert (await account.get(path)).status_code == 404
    found = await account.get(path, IncludeSoftDeleted="true")
    assert found.json()["status"] == "deleted"
