"""Status and recording callbacks: which are sent, their order, content and signature."""

import asyncio

import pytest

from gateway.sandbox import SandboxConfig
from gateway.sandbox.outbound import signature
from tests.sandbox.conftest import Account, OpenAccount
from tests.sandbox.receiver import Application, Received

ALL = ["initiated", "ringing", "answered", "completed"]


async def test_the_four_events_come_in_order_with_their_fields(
    open_account: OpenAccount, app: Application
) -> None:
    account = await open_account()
    made = await account.make(
        StatusCallback=app.origin + "/status",
        StatusCallbackEvent=ALL,
        Record="true",
        Twiml='<Response><Pause length="60"/></Response>',
    )

    await account.step(90)

    forms = [request.form for request in app.at("/status")]
    (recorded,) = await account.rows("/Recordings.json")
    assert [(form["CallStatus"], form["SequenceNumber"]) for form in forms] == [
        ("initiated", "0"),
        ("ringing", "1"),
        ("in-progress", "2"),
        ("completed", "3"),
    ]
    common = {
        "CallSid": made,
        "AccountSid": account.config.account_sid,
        "From": "+14155550100",
        "To": "+14155550199",
        "ApiVersion": "2010-04-01",
        "Direction": "outbound-api",
        "CallbackSource": "call-progress-events",
    }
    assert forms[0] == {
        **common,
        "CallStatus": "initiated",
        "SequenceNumber": "0",
        "Timestamp": "Mon, 06 Jul 2026 12:00:00 +0000",
    }
    assert forms[3] == {
        **common,
        "CallStatus": "completed",
        "SequenceNumber": "3",
        "Timestamp": "Mon, 06 Jul 2026 12:01:05 +0000",
        "Duration": "2",
        "CallDuration": "64",
        "SipResponseCode": "200",
        "RecordingUrl": recorded["media_url"],
        "RecordingSid": recorded["sid"],
        "RecordingDuration": "60",
    }


async def test_by_default_only_the_end_has_a_callback(
    open_account: OpenAccount, app: Application
) -> None:
    account = await open_account()
    await account.make(
        StatusCallback=app.origin + "/status", StatusCallbackMethod="GET", To="+15005550011"
    )

    await account.step(90)

    (only,) = app.at("/status")
    assert (only.method, only.form) == ("GET", {})
    assert "CallStatus=busy" in only.url
    assert "SequenceNumber=0" in only.url


async def test_a_dialled_leg_has_a_callback_of_its_own(
    open_account: OpenAccount, app: Application
) -> None:
    account = await open_account()
    made = await account.make(
        Twiml=f'<Response><Dial><Client statusCallback="{app.origin}/leg"'
        ' statusCallbackEvent="ringing completed">tommy</Client></Dial></Response>'
    )

    await account.step(90)

    forms = [request.form for request in app.at("/leg")]
    assert [form["CallStatus"] for form in forms] == ["ringing", "completed"]
    assert {form["ParentCallSid"] for form in forms} == {made}
    assert {form["To"] for form in forms} == {"client:tommy"}


async def test_a_finished_recording_has_a_callback(
    open_account: OpenAccount, app: Application
) -> None:
    account = await open_account()
    made = await account.make(
        Twiml=f'<Response><Record maxLength="6" recordingStatusCallback="{app.origin}/rec"/>'
        "</Response>"
    )

    await account.step(60)

    (callback,) = app.at("/rec")
    (recorded,) = await account.rows("/Recordings.json")
    assert callback.form == {
        "AccountSid": account.config.account_sid,
        "CallSid": made,
        "RecordingUrl": recorded["media_url"],
        "RecordingSid": recorded["sid"],
        "RecordingDuration": "6",
        "RecordingStatus": "completed",
        "RecordingChannels": "1",
        "RecordingStartTime": "Mon, 06 Jul 2026 12:00:05 +0000",
        "RecordingSource": "RecordVerb",
        "RecordingTrack": "both",
    }


async def test_a_recording_started_later_has_a_callback_too(
    open_account: OpenAccount, app: Application
) -> None:
    account = await open_account()
    made = await account.make(Twiml='<Response><Pause length="9"/></Response>')
    await account.step(6)

    await account.post(
        f"/Calls/{made}/Recordings.json",
        RecordingStatusCallback=app.origin + "/rec",
        RecordingStatusCallbackEvent="in-progress completed",
    )
    await account.step(60)

    begun, ended = [request.form for request in app.at("/rec")]
    assert (begun["RecordingStatus"], ended["RecordingStatus"]) == ("in-progress", "completed")
    assert begun["RecordingSource"] == ended["RecordingSource"] == "StartCallRecordingAPI"
    assert ("RecordingDuration" in begun, ended["RecordingDuration"]) == (False, "8")


async def test_callbacks_are_sent_without_a_request_when_the_clock_runs(
    open_account: OpenAccount, app: Application
) -> None:
    """After the call was made there is no further request to the sandbox."""
    account = await open_account(config=SandboxConfig(calls=0, speed=1_000_000))
    loop, received = asyncio.get_running_loop(), asyncio.Event()

    def on_request(_: Received) -> None:
        loop.call_soon_threadsafe(received.set)

    app.on_request = on_request

    await account.make(StatusCallback=app.origin + "/status")

    await asyncio.wait_for(received.wait(), 30)
    (only,) = app.received
    assert only.form["CallStatus"] == "completed"


@pytest.mark.parametrize("status", [404, 503, None])
async def test_a_callback_that_fails_leaves_a_warning_after_the_end(
    open_account: OpenAccount, app: Application, status: int | None
) -> None:
    if status:
        app.answers["/status"] = (status, "")
    url = app.origin + "/status" if status else "http://127.0.0.1:1/status"
    account = await open_account()
    made = await account.make(StatusCallback=url)

    await account.step(60)

    (row,) = await account.rows(f"/Calls/{made}/Notifications.json")
    call = await account.call(made)
    assert (row["error_code"], row["log"], row["request_url"]) == ("15003", "1", url)
    assert row["message_date"] == call["end_time"]


def is_signed(account: Account, request: Received) -> bool:
    expected = signature(account.config.auth_token, request.url, tuple(request.form.items()))
    return request.headers["X-Twilio-Signature"] == expected


async def test_every_request_is_signed(open_account: OpenAccount, app: Application) -> None:
    app.answers["/voice"] = (200, "<Response/>")
    account = await open_account()
    await account.make(
        Url=app.origin + "/voice",
        Method="GET",
        StatusCallback=app.origin + "/status?tenant=7",
        StatusCallbackEvent="initiated ringing answered completed",
    )

    await account.step(60)

    assert len(app.received) == 5
    assert all(is_signed(account, request) for request in app.received)


def test_the_signature_matches_the_worked_example() -> None:
    """docs/twilio.md#9-webhooks, computed there with the official validator and by hand."""
    parameters = {
        "CallSid": "CA0123456789abcdef0123456789abcdef",
        "AccountSid": "AC0123456789abcdef0123456789abcdef",
        "From": "+15005550006",
        "To": "+14155550123",
        "CallStatus": "completed",
        "ApiVersion": "2010-04-01",
        "Direction": "outbound-api",
        "Duration": "1",
        "CallDuration": "42",
        "Timestamp": "Tue, 06 Oct 2026 10:00:42 +0000",
        "CallbackSource": "call-progress-events",
        "SequenceNumber": "3",
    }
    url = "https://app.example.com/voice/status?tenant=7"

    found = signature("0123456789abcdef0123456789abcdef", url, tuple(parameters.items()))

    assert found == "VfDAGmDRa9LLSsgjoHkF0KeY4qY="


def test_the_signature_matches_the_documented_example() -> None:
    parameters = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"

    assert signature("12345", url, tuple(parameters.items())) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
