"""POST to the list: what is accepted, what is refused, and how a made call proceeds."""

import pytest

from gateway.sandbox import SandboxConfig
from tests.sandbox.conftest import STILL, OpenAccount
from tests.sandbox.rows import sid

GOOD = {"To": "+14155550199", "From": "+14155550100", "Url": "http://127.0.0.1:9/voice"}
LINE = "+14155550100"


async def test_a_made_call_is_queued_and_its_dates_are_not_known_yet(
    open_account: OpenAccount,
) -> None:
    account = await open_account()

    response = await account.post("/Calls.json", **GOOD)

    body = response.json()
    assert response.status_code == 201
    assert body["status"] == "queued"
    assert body["direction"] == "outbound-api"
    assert (body["to"], body["from"]) == (GOOD["To"], GOOD["From"])
    assert (body["date_created"], body["date_updated"], body["start_time"]) == (None, None, None)
    assert body["price_unit"] == "USD"
    assert body["phone_number_sid"].startswith("PN")
    assert body["uri"] == f"{account.path}/Calls/{body['sid']}.json"
    stored = await account.call(body["sid"])
    assert stored["date_created"] == "Mon, 06 Jul 2026 12:00:00 +0000"


async def test_a_made_call_is_returned_as_xml_too(open_account: OpenAccount) -> None:
    account = await open_account()

    response = await account.post("/Calls", **GOOD)

    assert response.status_code == 201
    assert "<TwilioResponse><Call><Sid>CA" in response.text


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"To": ""}, 21201, "No 'To' number is specified"),
        ({"From": ""}, 21213, "Caller phone number is required."),
        ({"Url": ""}, 21205, "Url parameter is required."),
        ({"Url": "ivr"}, 21205, "Url is not a valid URL: ivr"),
        ({"Url": "ftp://example.com/"}, 21205, "Url is not a valid URL"),
        ({"Url": "http://[/"}, 21205, "Url is not a valid URL"),
        ({"To": "12"}, 21211, "12, is not valid."),
        ({"To": "+15005550001"}, 21217, "does not appear to be valid"),
        ({"To": "+15005550002"}, 21214, "cannot be reached"),
        ({"To": "+15005550003"}, 21215, "Account not authorized to call +15005550003"),
        ({"To": "+15005550004"}, 21216, "+15005550004"),
        ({"From": "+15005550001"}, 21212, "From is not a valid phone number: +15005550001"),
        ({"From": "tommy"}, 21212, "From is not a valid phone number: tommy"),
        ({"From": "client:tommy"}, 21212, "From is not a valid phone number: client:tommy"),
        ({"From": "+14155550177"}, 21210, "+14155550177, is not yet verified"),
        ({"SendDigits": "12x"}, 21206, "SendDigits"),
        ({"SendDigits": "1" * 33}, 21206, "SendDigits"),
        ({"Timeout": "601"}, 21208, "Timeout"),
        ({"Timeout": "soon"}, 21208, "Timeout"),
        ({"Method": "PUT"}, 21209, "Method"),
        ({"StatusCallbackMethod": "PUT"}, 21209, "StatusCallbackMethod"),
        ({"ApplicationSid": "AP1"}, 21218, "ApplicationSid"),
        ({"MachineDetection": "Maybe"}, 21234, "MachineDetection"),
        ({"MachineDetectionTimeout": "2"}, 21263, "MachineDetectionTimeout"),
        ({"MachineDetectionTimeout": "60"}, 21263, "MachineDetectionTimeout"),
        ({"MachineDetectionSpeechThreshold": "999"}, 21263, "SpeechThreshold"),
        ({"MachineDetectionSpeechEndThreshold": "5001"}, 21263, "SpeechEndThreshold"),
        ({"MachineDetectionSilenceTimeout": "soon"}, 21263, "SilenceTimeout"),
        ({"SipAuthUsername": "u" * 256, "SipAuthPassword": "p"}, 21221, "SipAuthUsername"),
        ({"SipAuthUsername": "u v", "SipAuthPassword": "p"}, 21222, "SipAuthUsername"),
        ({"SipAuthUsername": "u", "SipAuthPassword": "p" * 256}, 21223, "SipAuthPassword"),
        ({"SipAuthUsername": "u", "SipAuthPassword": "pä"}, 21224, "SipAuthPassword"),
        ({"SipAuthUsername": "u"}, 21225, "go together"),
        ({"StatusCallback": "nowhere"}, 21609, "StatusCallback"),
        ({"StatusCallback": "http://under_score.example.com/"}, 21609, "StatusCallback"),
        ({"StatusCallback": "http://example.com/" + "x" * 4000}, 21609, "StatusCallback"),
        ({"StatusCallbackEvent": "exploded"}, 21626, "exploded"),
        ({"Url": "", "Twiml": "x" * 4001}, None, "Invalid Twiml"),
        ({"RecordingChannels": "quadro"}, None, "Invalid RecordingChannels"),
        ({"TimeLimit": "long"}, None, "Invalid TimeLimit"),
    ],
)
async def test_an_invalid_call_is_refused_with_the_code_of_the_service(
    open_account: OpenAccount, change: dict[str, str], code: int | None, words: str
) -> None:
    account = await open_account()

    response = await account.post("/Calls.json", **{**GOOD, **change})

    body = response.json()
    assert (response.status_code, body["status"], body.get("code")) == (400, 400, code)
    assert words in body["message"]
    assert await account.sids("/Calls.json") == []


@pytest.mark.parametrize(
    "change",
    [
        {"From": "+15005550006"},
        {"To": "client:tommy", "From": "client:amara"},
        {"To": "sip:kevin@pbx.example.com"},
        {"Url": "", "Twiml": "<Response/>"},
        {"Url": "", "ApplicationSid": sid("AP", 1)},
        {"Timeout": "600", "Method": "GET", "SendDigits": "1w#ABCD*"},
        {"SipAuthUsername": "u", "SipAuthPassword": "p" * 255},
        {"MachineDetectionSpeechThreshold": "6000", "MachineDetectionTimeout": "3"},
        {"Nonsense": "ignored"},
    ],
)
async def test_what_the_service_accepts_is_accepted(
    open_account: OpenAccount, change: dict[str, str]
) -> None:
    account = await open_account()

    assert (await account.post("/Calls.json", **{**GOOD, **change})).status_code == 201


async def test_a_body_that_is_not_a_form_holds_no_parameters(open_account: OpenAccount) -> None:
    account = await open_account()

    response = await account.client.post(account.path + "/Calls.json", json=GOOD)

    assert response.json()["code"] == 21201


async def test_a_call_proceeds_from_queued_to_completed_and_gets_its_price_later(
    open_account: OpenAccount,
) -> None:
    account = await open_account()
    made = await account.make(Twiml='<Response><Pause length="60"/></Response>')
    statuses = []

    for seconds in (0, 1, 4, 59, 1):
        await account.step(seconds)
        statuses.append((await account.call(made))["status"])
    ended = await account.call(made)
    await account.step(30)
    priced = await account.call(made)

    assert statuses == ["queued", "ringing", "in-progress", "in-progress", "completed"]
    assert ended["start_time"] == "Mon, 06 Jul 2026 12:00:01 +0000"
    assert ended["end_time"] == "Mon, 06 Jul 2026 12:01:05 +0000"
    assert (ended["duration"], ended["price"]) == ("64", None)
    assert priced["price"] == "-0.02800"


@pytest.mark.parametrize(
    ("to", "status", "after"),
    [
        ("+15005550011", "busy", 3),
        ("+15005550012", "no-answer", 1 + 60),
        ("+15005550013", "failed", 1),
    ],
)
async def test_some_numbers_do_not_answer(
    open_account: OpenAccount, to: str, status: str, after: int
) -> None:
    account = await open_account()
    made = await account.make(To=to)

    await account.step(after - 1)
    assert (await account.call(made))["status"] in ("queued", "ringing")
    await account.step(1)
    ended = await account.call(made)

    assert (ended["status"], ended["duration"], ended["price"]) == (status, None, None)


async def test_nobody_answers_in_time_when_the_timeout_is_short(open_account: OpenAccount) -> None:
    account = await open_account()
    made = await account.make(Timeout="3")

    await account.step(10)

    assert (await account.call(made))["status"] == "no-answer"


@pytest.mark.parametrize(
    ("to", "answered_by"), [("+14155550199", "human"), ("+15005550014", "machine_start")]
)
async def test_machine_detection_says_who_answered(
    open_account: OpenAccount, to: str, answered_by: str
) -> None:
    account = await open_account()
    detected = await account.make(To=to, MachineDetection="Enable")
    plain = await account.make(To=to)
    digits = await account.make(To=to, MachineDetection="Enable", SendDigits="1")

    await account.step(10)

    answers = [(await account.call(made))["answered_by"] for made in (detected, plain, digits)]
    assert answers == [answered_by, None, None]


async def test_a_time_limit_ends_a_call(open_account: OpenAccount) -> None:
    account = await open_account()
    made = await account.make(Twiml='<Response><Pause length="600"/></Response>', TimeLimit="30")

    await account.step(600)

    assert (await account.call(made))["duration"] == "34"


async def test_calls_above_the_limit_per_second_wait_in_the_queue(
    open_account: OpenAccount,
) -> None:
    account = await open_account(
        config=SandboxConfig(calls=0, speed=0, now=STILL.now, calls_per_second=1)
    )
    made = [await account.make() for _ in range(3)]

    await account.step(1)

    rows = [await account.call(one) for one in made]
    assert [row["queue_time"] for row in rows] == ["0", "1000", "2000"]
    assert [row["status"] for row in rows] == ["ringing", "queued", "queued"]
    await account.step(2)
    assert (await account.call(made[2]))["status"] == "ringing"


async def test_a_call_proceeds_without_a_step_when_the_clock_runs(
    open_account: OpenAccount,
) -> None:
    """The clock is a million times as fast as real time: nothing has to be stepped."""
    account = await open_account(config=SandboxConfig(calls=0, speed=1_000_000))

    made = await account.make()

    while (await account.call(made))["price"] is None:
        pass
    assert (await account.call(made))["status"] == "completed"
