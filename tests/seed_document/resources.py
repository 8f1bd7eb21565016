"""The statements about what can be asked of a call, its subresources, and the list of calls."""

import csv
import io
from datetime import date, timedelta
from typing import Any
from xml.etree import ElementTree

from tests.sandbox.conftest import Account
from tests.seed_document.properties import everything, made, moment
from tests.seed_document.statements import says

UNSUPPORTED = "HTTP PUT and HTTP DELETE"
SUBRESOURCES = "Subresources"
LIST = "Calls list resource"
FILTERS = "List filters"
EXAMPLES = "Examples"


async def refused(account: Account, method: str, path: str) -> bool:
    response = await account.client.request(method, account.path + path)
    return (response.status_code, response.json()["code"]) == (405, 20004)


@says("HTTP POST to a call", "Initiates a call redirect or terminates a call.")
async def _modify(account: Account) -> None:
    call = await made(account, 6, Twiml='<Response><Pause length="99"/></Response>')
    path = f"/Calls/{call['sid']}.json"
    redirected = await account.post(path, Twiml='<Response><Pause length="50"/></Response>')
    await account.step(49)
    assert (redirected.status_code, (await account.call(call["sid"]))["status"]) == (
        200,
        "in-progress",
    )
    ended = await account.post(path, Status="completed")
    assert ended.json()["status"] == "completed"


@says(UNSUPPORTED, "PUT to a call: Not supported", "DELETE of a call: Not supported")
async def _call_methods(account: Account) -> None:
    path = f"/Calls/{(await everything(account))[0]['sid']}.json"
    assert await refused(account, "PUT", path)
    assert await refused(account, "DELETE", path)
    assert (await account.get(path)).status_code == 200


@says(UNSUPPORTED, "PUT to the list: Not supported", "DELETE of the list: Not supported")
async def _list_methods(account: Account) -> None:
    assert await refused(account, "PUT", "/Calls.json")
    assert await refused(account, "DELETE", "/Calls.json")


@says(
    SUBRESOURCES,
    "Each Call instance resource supports a few subresources for your convenience.",
)
async def _subresources(account: Account) -> None:
    row = (await everything(account))[0]
    for name in ("recordings", "notifications"):
        assert (await account.client.get(row["subresource_uris"][name])).status_code == 200


@says(
    SUBRESOURCES,
    "/2010-04-01/Accounts/{YourAccountSid}/Calls/{CallSid}/Recordings",
    "Represents a list of recordings generated during the call identified by {CallSid}.",
)
async def _recordings(account: Account) -> None:
    twiml = '<Response><Record maxLength="4"/><Pause/><Record maxLength="5"/></Response>'
    call = await made(account, 60, Twiml=twiml)
    rows = await account.rows(f"/Calls/{call['sid']}/Recordings.json")
    assert [row["duration"] for row in rows] == ["5", "4"]
    assert {row["call_sid"] for row in rows} == {call["sid"]}


@says(
    SUBRESOURCES,
    "/2010-04-01/Accounts/{YourAccountSid}/Calls/{CallSid}/Notifications",
    "Represents a list of notifications generated during the call identified by {CallSid}.",
)
async def _notifications(account: Account) -> None:
    call = await made(account, 60, Url="http://127.0.0.1:1/nobody-listens")
    (row,) = await account.rows(f"/Calls/{call['sid']}/Notifications.json")
    assert (row["call_sid"], row["error_code"]) == (call["sid"], "11205")


@says(
    LIST,
    "The Calls list resource represents the set of phone calls made to and from an account.",
    "/2010-04-01/Accounts/{AccountSid}/Calls",
    "Returns a list of phone calls made to and from the account identified by {AccountSid}.",
    "Just grab the whole list.",
)
async def _list(account: Account) -> None:
    sid = (await made(account, 0))["sid"]
    rows = await everything(account)
    assert rows[0]["sid"] == sid
    assert len(rows) == account.config.calls + 1
    path = f"/2010-04-01/Accounts/{account.config.account_sid}/Calls"
    (calls,) = ElementTree.fromstring((await account.client.get(path)).text)  # noqa: S314
    assert [call.findtext("Sid") for call in calls] == [row["sid"] for row in rows[:50]]


@says(
    LIST,
    "The list includes paging information. If you plan on requesting more records than will fit on"
    " a single page, you may want to use the provided nextpageuri rather than incrementing through"
    " the pages by page number.",
    "Using the nextpageuri helps to ensure that your next request picks up where it left off and"
    " can prevent you from retrieving duplicate data if you are actively making or receiving"
    " calls.",
)
async def _paging(account: Account) -> None:
    before = [row["sid"] for row in await everything(account)]
    seen, link = list[str](), f"{account.path}/Calls.json?PageSize=60"
    while link:
        body = (await account.client.get(link)).json()
        seen, link = seen + [row["sid"] for row in body["calls"]], body["next_page_uri"]
        await account.make()
    assert seen == before


@says(LIST, "Note, parameters are case-sensitive")
async def _case(account: Account) -> None:
    total = len(await everything(account))
    assert len(await everything(account, status="busy")) == total
    assert len(await everything(account, Status="busy")) < total


async def only(account: Account, name: str, value: str, **parameters: str) -> None:
    """The list with these parameters is the part of the whole list that has this value."""
    wanted = [row["sid"] for row in await everything(account) if row[name] == value]
    assert wanted
    assert [row["sid"] for row in await everything(account, **parameters)] == wanted


@says(FILTERS, "To: Only show calls to this phone number or Client identifier.")
async def _to(account: Account) -> None:
    for value in ("+14155550100", "client:tommy"):
        await only(account, "to", value, To=value)


@says(FILTERS, "From: Only show calls from this phone number or Client identifier.")
async def _from(account: Account) -> None:
    for value in ("+12125550142", "client:tommy"):
        await only(account, "from", value, From=value)


@says(
    FILTERS,
    "Status: Only show calls currently in this status. May be queued, ringing, in-progress,"
    " canceled, completed, failed, busy, or no-answer.",
)
async def _status(account: Account) -> None:
    for value in {row["status"] for row in await everything(account)}:
        await only(account, "status", value, Status=value)


def started(row: dict[str, Any]) -> date | None:
    return moment(row["start_time"]).date() if row["start_time"] else None


@says(
    FILTERS,
    "StartTime: Only show calls that started on this date, given as YYYY-MM-DD.",
    "Also supports inequalities, such as StartTime<=YYYY-MM-DD for calls that started at or before"
    " midnight on a date, and StartTime>=YYYY-MM-DD for calls that started at or after midnight on"
    " a date.",
    remark="Midnight is the one at which the date begins, so StartTime<=D ends where D starts.",
)
async def _start_time(account: Account) -> None:
    assert account.config.now
    day = account.config.now.date() - timedelta(days=4)
    rows = await everything(account)
    on = [row["sid"] for row in rows if started(row) == day]
    before = [row["sid"] for row in rows if (found := started(row)) and found < day]
    after = [row["sid"] for row in rows if (found := started(row)) and found >= day]
    for name, wanted in (("StartTime", on), ("StartTime<", before), ("StartTime>", after)):
        assert wanted
        assert [row["sid"] for row in await everything(account, **{name: str(day)})] == wanted


@says(FILTERS, "ParentCallSid: Only show calls spawned by the call with this Sid.")
async def _parent(account: Account) -> None:
    parents = [row["parent_call_sid"] for row in await everything(account)]
    parent = max((sid for sid in parents if sid), key=parents.count)
    await only(account, "parent_call_sid", parent, ParentCallSid=parent)


async def example(account: Account, query: str) -> list[dict[str, Any]]:
    """The rows of a query as the seed writes it, with its own dates moved to the example data."""
    response = await account.client.get(f"{account.path}/Calls.json?{query}&PageSize=1000")
    rows: list[dict[str, Any]] = response.json()["calls"]
    return rows


def days(account: Account, ago: int) -> date:
    assert account.config.now
    return account.config.now.date() - timedelta(days=ago)


@says(
    EXAMPLES,
    "Only show completed calls started on Jul 06th, 2009.",
    "Only show completed calls started on or after midnight Jul 06th, 2009.",
    "Only show completed calls started between midnight Jul 04th, 2009 and midnight Jul 06th,"
    " 2009.",
)
async def _dates(account: Account) -> None:
    first, last = days(account, 5), days(account, 3)
    completed = [row for row in await everything(account) if row["status"] == "completed"]
    on = [row for row in completed if started(row) == last]
    after = [row for row in completed if (found := started(row)) and found >= last]
    between = [row for row in completed if (found := started(row)) and first <= found < last]
    query = "Status=completed&StartTime"
    assert on
    assert await example(account, f"{query}={last}") == on
    assert await example(account, f"{query}>={last}") == after
    assert await example(account, f"{query}>={first}&StartTime<={last}") == between


@says(
    EXAMPLES,
    "Only show busy calls that were made with the specified 'To' number (in E.164 format).",
)
async def _busy_to(account: Account) -> None:
    rows = await everything(account)
    busy = next(row for row in rows if row["status"] == "busy" and row["to"].startswith("+"))
    wanted = [row for row in rows if (row["status"], row["to"]) == ("busy", busy["to"])]
    number = busy["to"].replace("+", "%2B")
    assert await example(account, f"Status=busy&To={number}") == wanted


@says(EXAMPLES, "Only show calls that were made from a Twilio Client device named 'tommy'.")
async def _tommy(account: Account) -> None:
    wanted = [row for row in await everything(account) if row["from"] == "client:tommy"]
    assert wanted
    assert await example(account, "From=client:tommy") == wanted


@says(
    EXAMPLES,
    "Did you know you can append a '.csv' extension to any resource URI to get a Comma Separated"
    " Values representation? This is especially useful for call logs.",
    "GET /2010-04-01/Accounts/AC5ef87.../Calls.csv",
)
async def _csv(account: Account) -> None:
    rows = await account.rows("/Calls.json")
    response = await account.get("/Calls.csv")
    found = list(csv.DictReader(io.StringIO(response.text)))
    assert response.headers["Content-Type"].startswith("text/csv")
    assert [row["Sid"] for row in found] == [row["sid"] for row in rows]
    for part in (f"Calls/{rows[0]['sid']}", "Recordings", "Notifications"):
        assert (await account.get(f"/{part}.csv")).text.startswith("Sid,")


@says("HTTP POST to the list", "Initiate a new phone call.")
async def _make(account: Account) -> None:
    form = {"To": "client:tommy", "From": "client:amara", "Twiml": "<Response/>"}
    response = await account.post("/Calls", **form)
    assert response.status_code == 201
    assert (await everything(account))[0]["to"] == "client:tommy"
