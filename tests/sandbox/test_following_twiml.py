"""Calls that run TwiML: legs, recordings, and notifications if there is no TwiML."""

import asyncio

import pytest

from tests.sandbox.conftest import Account, OpenAccount
from tests.sandbox.receiver import Application, Received

DIAL = '<Response><Dial record="record-from-answer-dual">{}</Dial></Response>'


async def children(account: Account, parent: str) -> list[dict[str, str]]:
    """The dialled legs of a call, in the order in which they were dialled."""
    return (await account.rows("/Calls.json", ParentCallSid=parent))[::-1]


async def test_dial_makes_a_leg_that_talks_and_ends_with_the_parent(
    open_account: OpenAccount,
) -> None:
    account = await open_account()
    made = await account.make(Twiml=DIAL.format("<Client>tommy</Client>"))

    await account.step(5)
    (child,) = await children(account, made)
    assert (child["to"], child["direction"], child["status"]) == (
        "client:tommy",
        "outbound-dial",
        "queued",
    )
    await account.step(1)
    ((ringing,), parent) = await children(account, made), await account.call(made)
    assert (ringing["status"], parent["status"]) == ("ringing", "in-progress")
    await account.step(30)

    (child,) = await children(account, made)
    parent = await account.call(made)
    (recorded,) = await account.rows("/Recordings.json")
    assert (child["status"], child["duration"]) == ("completed", "24")
    assert (parent["status"], parent["end_time"]) == ("completed", child["end_time"])
    assert (recorded["call_sid"], recorded["source"]) == (made, "DialVerb")
    assert (recorded["channels"], recorded["duration"]) == (2, "20")


async def test_of_several_targets_the_first_to_answer_is_connected(
    open_account: OpenAccount,
) -> None:
    account = await open_account()
    made = await account.make(
        Twiml=DIAL.format(
            "<Number>+15005550012</Number><Client>tommy</Client><Client>amara</Client>"
        )
    )

    await account.step(11)

    legs = {leg["to"]: leg["status"] for leg in await children(account, made)}
    assert legs == {
        "+15005550012": "canceled",
        "client:tommy": "in-progress",
        "client:amara": "canceled",
    }


async def test_after_a_dial_that_fails_the_next_verb_runs(
    open_account: OpenAccount,
) -> None:
    account = await open_account()
    made = await account.make(
        Twiml='<Response><Dial timeout="9">+15005550012</Dial><Dial>+15005550011</Dial>'
        '<Record maxLength="6"/></Response>'
    )

    await account.step(60)

    assert [leg["status"] for leg in await children(account, made)] == ["no-answer", "busy"]
    (recorded,) = await account.rows("/Recordings.json")
    assert (recorded["source"], recorded["duration"]) == ("RecordVerb", "6")
    assert (await account.call(made))["status"] == "completed"


async def test_a_redirect_hangs_up_the_legs(open_account: OpenAccount) -> None:
    account = await open_account()
    made = await account.make(Twiml=DIAL.format("<Client>tommy</Client>"))
    await account.step(12)

    await account.post(f"/Calls/{made}.json", Twiml='<Response><Pause length="9"/></Response>')

    (child,) = await children(account, made)
    (recorded,) = await account.rows("/Recordings.json")
    assert (child["status"], recorded["status"]) == ("completed", "completed")
    await account.step(8)
    assert (await account.call(made))["status"] == "in-progress"
    await account.step(1)
    assert (await account.call(made))["status"] == "completed"


async def test_a_call_made_with_record_is_recorded_whole(open_account: OpenAccount) -> None:
    account = await open_account()
    made = await account.make(
        Record="true", RecordingChannels="dual", Twiml='<Response><Pause length="8"/></Response>'
    )

    await account.step(20)

    (recorded,) = await account.rows(f"/Calls/{made}/Recordings.json")
    assert (recorded["source"], recorded["channels"], recorded["duration"]) == (
        "OutboundAPI",
        2,
        "8",
    )


async def test_the_end_of_a_dial_ends_its_own_recording_only(open_account: OpenAccount) -> None:
    account = await open_account()
    await account.make(
        Record="true",
        Twiml='<Response><Dial record="true">client:tommy</Dial><Pause length="9"/></Response>',
    )

    await account.step(60)

    rows = await account.rows("/Recordings.json")
    assert {row["source"]: row["duration"] for row in rows} == {
        "DialVerb": "20",
        "OutboundAPI": "34",
    }


async def test_twiml_beside_a_url_is_ignored(open_account: OpenAccount, app: Application) -> None:
    app.answers["/voice"] = (200, '<Response><Pause length="9"/></Response>')
    account = await open_account()
    made = await account.make(Url=app.origin + "/voice", Twiml="<Response/>")

    await account.step(13)

    assert (await account.call(made))["status"] == "in-progress"


async def test_twiml_is_requested_from_the_url_and_redirects_are_followed(
    open_account: OpenAccount, app: Application
) -> None:
    app.answers["/voice"] = (200, "<Response><Pause/><Redirect>next</Redirect></Response>")
    app.answers["/next"] = (302, "/last")
    app.answers["/last"] = (200, '<Response><Pause length="2"/></Response>')
    account = await open_account()
    made = await account.make(Url=app.origin + "/voice?tenant=7")

    await account.step(60)

    assert [(one.method, one.url.removeprefix(app.origin)) for one in app.received] == [
        ("POST", "/voice?tenant=7"),
        ("POST", "/next"),
        ("GET", "/last"),
    ]
    assert app.received[0].form == {
        "CallSid": made,
        "AccountSid": account.config.account_sid,
        "From": "+14155550100",
        "To": "+14155550199",
        "CallStatus": "in-progress",
        "ApiVersion": "2010-04-01",
        "Direction": "outbound-api",
    }
    assert (await account.call(made))["duration"] == "8"
    assert await account.rows(f"/Calls/{made}/Notifications.json") == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((404, "not here"), "11200"),
        ((500, "oops"), "11200"),
        ((200, "no TwiML"), "12100"),
        (None, "11205"),
    ],
)
async def test_without_usable_twiml_the_call_ends_with_a_notification(
    open_account: OpenAccount, app: Application, answer: tuple[int, str] | None, code: str
) -> None:
    if answer:
        app.answers["/voice"] = answer
    url = app.origin + "/voice" if answer else "http://127.0.0.1:1/voice"
    account = await open_account()
    made = await account.make(Url=url)

    await account.step(60)

    (row,) = await account.rows(f"/Calls/{made}/Notifications.json")
    alone = (await account.client.get(row["uri"])).json()
    assert (row["error_code"], row["log"], row["request_url"]) == (code, "0", url)
    assert f"ErrorCode={code}" in row["message_text"]
    assert row["message_date"] == "Mon, 06 Jul 2026 12:00:05 +0000"
    assert alone["response_body"] == (answer[1] if answer else "")
    assert f"CallSid={made}" in alone["request_variables"]
    assert (await account.call(made))["status"] == "completed"


async def test_twiml_given_with_the_call_must_be_valid_too(open_account: OpenAccount) -> None:
    account = await open_account()
    made = await account.make(Twiml="<Response><Say>")

    await account.step(60)

    (row,) = await account.rows(f"/Calls/{made}/Notifications.json")
    assert (row["error_code"], row["request_url"]) == ("12100", "")
    assert (await account.call(made))["status"] == "completed"


async def test_a_redirect_to_itself_does_not_stop_the_clock(
    open_account: OpenAccount, app: Application
) -> None:
    app.answers["/voice"] = (200, "<Response><Redirect/></Response>")
    account = await open_account()
    made = await account.make(Url=app.origin + "/voice", TimeLimit="10")

    await account.step(60)

    assert len(app.received) == 10
    assert (await account.call(made))["duration"] == "14"


async def test_an_application_may_use_the_api_during_a_request_to_it(
    open_account: OpenAccount, app: Application
) -> None:
    """The sandbox responds while it waits for TwiML and callbacks."""
    account = await open_account()
    loop = asyncio.get_running_loop()
    statuses = list[str]()

    def on_request(request: Received) -> None:
        future = asyncio.run_coroutine_threadsafe(account.call(request.parameters["CallSid"]), loop)
        statuses.append(future.result(timeout=10)["status"])

    app.on_request = on_request
    await account.make(
        Url=app.origin + "/voice",
        StatusCallback=app.origin + "/status",
        StatusCallbackEvent=["answered", "completed"],
    )

    await account.step(60)

    assert len(statuses) == 3
    assert statuses[-1] == "completed"


async def test_the_fallback_url_gets_the_error_code(
    open_account: OpenAccount, app: Application
) -> None:
    app.answers["/voice"] = (500, "")
    app.answers["/fallback"] = (200, '<Response><Pause length="30"/></Response>')
    account = await open_account()
    made = await account.make(
        Url=app.origin + "/voice", FallbackUrl=app.origin + "/fallback", FallbackMethod="GET"
    )

    await account.step(10)

    (request,) = app.at("/fallback")
    assert request.method == "GET"
    assert "ErrorCode=11200" in request.url
    assert (await account.call(made))["status"] == "in-progress"
    (row,) = await account.rows(f"/Calls/{made}/Notifications.json")
    assert row["error_code"] == "11200"


@pytest.mark.parametrize("host", ["192.0.2.1", "app.example.com", "10.0.0.1"])
async def test_no_request_goes_to_another_machine_by_default(
    open_account: OpenAccount, host: str
) -> None:
    account = await open_account()
    made = await account.make(Url=f"http://{host}/voice", StatusCallback=f"http://{host}/status")

    await account.step(60)

    rows = await account.rows(f"/Calls/{made}/Notifications.json")
    assert sorted(row["error_code"] for row in rows) == ["11205", "15003"]
    assert all("only+connects+to+this+machine" in row["message_text"] for row in rows)
