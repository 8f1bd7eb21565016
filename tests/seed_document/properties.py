"""The statements about a call's properties and its status values."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from tests.sandbox.conftest import Account
from tests.seed_document.statements import says

INSTANCE = "Call instance resource"
PROPERTIES = "Resource properties"
STATUSES = "Call status values"
PARTY = re.compile(r"\+[1-9]\d{6,14}|sip:[^@\s]+@[^@\s]+|client:\S+")
LIVE = ("queued", "ringing", "in-progress")


async def everything(account: Account, **parameters: str) -> list[dict[str, Any]]:
    return await account.rows("/Calls.json", PageSize="1000", **parameters)


async def made(account: Account, seconds: float, **form: Any) -> dict[str, Any]:
    """A call made just now, after so many seconds."""
    sid = await account.make(**form)
    await account.step(seconds)
    return await account.call(sid)


def moment(text: str) -> datetime:
    parsed = parsedate_to_datetime(text)
    assert text.endswith(" +0000")
    return parsed.astimezone(UTC)


@says(
    INSTANCE,
    "This may be inbound, when a person calls your application, or outbound, when your application"
    " initiates the call, either via the REST API (see Making Calls) or during a call via the TwiML"
    " <Dial> verb.",
)
async def _directions(account: Account) -> None:
    found = {row["direction"] for row in await everything(account)}
    assert found >= {"inbound", "outbound-api", "outbound-dial"}


@says(INSTANCE, "/2010-04-01/Accounts/{AccountSid}/Calls/{CallSid}")
@says("HTTP GET", "Returns the single Call resource identified by {CallSid}.")
async def _instance(account: Account) -> None:
    row = (await everything(account))[0]
    account_sid = account.config.account_sid
    path = f"/2010-04-01/Accounts/{account_sid}/Calls/{row['sid']}"
    assert (await account.client.get(path + ".json")).json() == row
    assert f"<Sid>{row['sid']}</Sid>" in (await account.client.get(path)).text


@says(PROPERTIES, "Sid: A 34 character string that uniquely identifies this resource.")
async def _sid(account: Account) -> None:
    sids = [row["sid"] for row in await everything(account)]
    assert all(re.fullmatch("CA[0-9a-f]{32}", sid) for sid in sids)
    assert len(set(sids)) == len(sids)


@says(
    PROPERTIES,
    "ParentCallSid: A 34 character string that uniquely identifies the call that created this leg.",
)
async def _parent_call_sid(account: Account) -> None:
    child = next(row for row in await everything(account) if row["direction"] == "outbound-dial")
    assert re.fullmatch("CA[0-9a-f]{32}", child["parent_call_sid"])
    call = await made(account, 5, Twiml="<Response><Dial>client:tommy</Dial></Response>")
    (leg,) = await everything(account, ParentCallSid=call["sid"])
    assert leg["parent_call_sid"] == call["sid"]
    assert call["parent_call_sid"] is None


@says(
    PROPERTIES,
    "DateCreated: The date that this resource was created, given as GMT in RFC 2822 format.",
    remark="The first answer to a POST has none yet, as recorded answers of the service show.",
)
async def _date_created(account: Account) -> None:
    call = await made(account, 9)
    assert moment(call["date_created"]) == account.config.now


@says(
    PROPERTIES,
    "DateUpdated: The date that this resource was last updated, given as GMT in RFC 2822 format.",
)
async def _date_updated(account: Account) -> None:
    call = await made(account, 60)
    assert moment(call["date_updated"]) == moment(call["end_time"])
    assert moment(call["date_updated"]) > moment(call["date_created"])


@says(PROPERTIES, "AccountSid: The unique id of the Account responsible for creating this call.")
async def _account_sid(account: Account) -> None:
    found = {row["account_sid"] for row in await everything(account)}
    assert found == {account.config.account_sid}


@says(
    PROPERTIES,
    "To: The phone number, SIP address or Client identifier that received this call. Phone numbers"
    " are in E.164 format (e.g. +16175551212). SIP addresses are formated as name@company.com."
    " Client identifiers are formatted client:name.",
    "From: The phone number, SIP address or Client identifier that made this call. Phone numbers"
    " are in E.164 format (e.g. +16175551212). SIP addresses are formated as name@company.com."
    " Client identifiers are formatted client:name.",
    remark="SIP addresses carry the scheme, sip:name@company.com, as recorded answers do.",
)
async def _parties(account: Account) -> None:
    rows = await everything(account)
    for name in ("to", "from"):
        assert all(PARTY.fullmatch(row[name]) for row in rows)
    kinds = {row["to"].split(":")[0][:1] for row in rows}
    assert kinds == {"+", "s", "c"}


@says(
    PROPERTIES,
    "PhoneNumberSid: If the call was inbound, this is the Sid of the IncomingPhoneNumber that"
    " received the call. If the call was outbound, it is the Sid of the OutgoingCallerId from which"
    " the call was placed.",
)
async def _phone_number_sid(account: Account) -> None:
    rows = await everything(account)
    inbound = [row for row in rows if row["direction"] == "inbound" and row["to"][0] == "+"]
    lines = {(row["to"], row["phone_number_sid"]) for row in inbound if row["phone_number_sid"]}
    assert len(lines) == len(dict(lines)) > 1
    call = await made(account, 0, From="+14155550100")
    assert call["phone_number_sid"] == dict(lines)["+14155550100"]


@says(
    PROPERTIES,
    "Status: A string representing the status of the call. May be queued, ringing, in-progress,"
    " canceled, completed, failed, busy or no-answer.",
)
async def _status(account: Account) -> None:
    call = await made(account, 0)
    seen = {row["status"] for row in await everything(account)}
    await account.step(1)
    seen.add((await account.call(call["sid"]))["status"])
    assert seen == {*LIVE, "canceled", "completed", "failed", "busy", "no-answer"}


@says(
    PROPERTIES,
    "StartTime: The start time of the call, given as GMT in RFC 2822 format. Empty if the call has"
    " not yet been dialed.",
)
async def _start_time(account: Account) -> None:
    call = await made(account, 0)
    assert (call["status"], call["start_time"]) == ("queued", None)
    await account.step(1)
    rung = await account.call(call["sid"])
    assert (moment(rung["start_time"]) - moment(rung["date_created"])).seconds == 1


@says(
    PROPERTIES,
    "EndTime: The end time of the call, given as GMT in RFC 2822 format. Empty if the call did not"
    " complete successfully.",
    remark="A call that rang and then failed has one, as recorded answers of the service do.",
)
async def _end_time(account: Account) -> None:
    live = await made(account, 5, Twiml='<Response><Pause length="9"/></Response>')
    assert live["end_time"] is None
    await account.step(9)
    ended = await account.call(live["sid"])
    assert moment(ended["end_time"]) > moment(ended["start_time"])
    never_dialed = await made(account, 9, To="+15005550013")
    assert (never_dialed["status"], never_dialed["end_time"]) == ("failed", None)


@says(
    PROPERTIES,
    "Duration: The length of the call in seconds. This value is empty for busy, failed, unanswered"
    " or ongoing calls.",
    remark='The example data also have "0" there, which is how the service answers sometimes.',
)
async def _duration(account: Account) -> None:
    call = await made(account, 60, Twiml='<Response><Pause length="9"/></Response>')
    length = moment(call["end_time"]) - moment(call["start_time"])
    assert call["duration"] == str(length.seconds)
    for row in await everything(account):
        if row["status"] in LIVE:
            assert row["duration"] is None
        elif row["status"] != "completed":
            assert row["duration"] in (None, "0")


@says(
    PROPERTIES,
    "Price: The charge for this call, in the currency associated with the account. Populated after"
    " the call is completed. May not be immediately available.",
)
async def _price(account: Account) -> None:
    call = await made(account, 20)
    assert (call["status"], call["price"]) == ("completed", None)
    await account.step(60)
    assert re.fullmatch(r"-\d\.\d{5}", (await account.call(call["sid"]))["price"])


@says(
    PROPERTIES,
    "PriceUnit: The currency in which Price is measured, in ISO 4127 format (e.g. usd, eur, jpy).",
    remark="ISO 4217 is meant, and calls always have it in capital letters: USD.",
)
async def _price_unit(account: Account) -> None:
    assert {row["price_unit"] for row in await everything(account)} == {"USD"}


@says(
    PROPERTIES,
    "Direction: A string describing the direction of the call. inbound for inbound calls,"
    " outbound-api for calls initiated via the REST API or outbound-dial for calls initiated by a"
    " <Dial> verb.",
    remark="Calls over a trunk have two directions of their own, younger than the seed.",
)
async def _direction(account: Account) -> None:
    call = await made(account, 5, Twiml="<Response><Dial>client:tommy</Dial></Response>")
    (leg,) = await everything(account, ParentCallSid=call["sid"])
    assert (call["direction"], leg["direction"]) == ("outbound-api", "outbound-dial")
    assert "inbound" in {row["direction"] for row in await everything(account)}


@says(
    PROPERTIES,
    "AnsweredBy: If this call was initiated with answering machine detection, either human or"
    " machine. Empty otherwise.",
    remark="Today's finer values, such as machine_start, are given.",
)
async def _answered_by(account: Account) -> None:
    human = await made(account, 9, MachineDetection="Enable")
    machine = await made(account, 9, MachineDetection="Enable", To="+15005550014")
    assert (human["answered_by"], machine["answered_by"]) == ("human", "machine_start")
    assert (await made(account, 9))["answered_by"] is None


@says(
    PROPERTIES,
    "ForwardedFrom: If this call was an incoming call forwarded from another number, the forwarding"
    " phone number (depends on carrier supporting forwarding). Empty otherwise.",
    "CallerName: If this call was an incoming call to a phone number with Caller ID Lookup enabled,"
    " the caller's name. Empty otherwise.",
)
async def _only_incoming(account: Account) -> None:
    rows = await everything(account)
    for name in ("forwarded_from", "caller_name"):
        assert {row["direction"] for row in rows if row[name]} == {"inbound"}


@says(PROPERTIES, "Uri: The URI for this resource, relative to https://api.twilio.com")
async def _uri(account: Account) -> None:
    row = (await everything(account))[0]
    assert row["uri"].startswith("/2010-04-01/")
    assert (await account.client.get(row["uri"])).json() == row


@says(STATUSES, "queued: The call is ready and waiting in line before going out.")
async def _queued(account: Account) -> None:
    assert (await made(account, 0))["status"] == "queued"


@says(STATUSES, "ringing: The call is currently ringing.")
async def _ringing(account: Account) -> None:
    assert (await made(account, 2))["status"] == "ringing"


@says(STATUSES, "in-progress: The call was answered and is currently in progress.")
async def _in_progress(account: Account) -> None:
    twiml = '<Response><Pause length="9"/></Response>'
    assert (await made(account, 6, Twiml=twiml))["status"] == "in-progress"


@says(STATUSES, "canceled: The call was hung up while it was queued or ringing.")
async def _canceled(account: Account) -> None:
    for seconds in (0, 2):
        call = await made(account, seconds)
        await account.post(f"/Calls/{call['sid']}.json", Status="canceled")
        assert (await account.call(call["sid"]))["status"] == "canceled"


@says(STATUSES, "completed: The call was answered and has ended normally.")
async def _completed(account: Account) -> None:
    assert (await made(account, 60))["status"] == "completed"


@says(STATUSES, "busy: The caller received a busy signal.")
async def _busy(account: Account) -> None:
    assert (await made(account, 60, To="+15005550011"))["status"] == "busy"


@says(
    STATUSES,
    "failed: The call could not be completed as dialed, most likely because the phone number was"
    " non-existent.",
)
async def _failed(account: Account) -> None:
    assert (await made(account, 60, To="+15005550013"))["status"] == "failed"


@says(STATUSES, "no-answer: The call ended without being answered.")
async def _no_answer(account: Account) -> None:
    assert (await made(account, 90, To="+15005550012"))["status"] == "no-answer"
