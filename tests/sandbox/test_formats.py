"""XML, CSV and JSON of the same rows: the suffix selects the format, also of errors."""

import csv
import io
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox import formats
from gateway.sandbox.formats import Instance
from tests.sandbox.conftest import OpenAccount
from tests.sandbox.rows import NOON, call, notification, recording, sid

ROWS = [
    call(1, to="sip:a&b@pbx.example.com", caller_name='"QUOTED" <ADA>', end_time=NOON + 5),
    call(2, status="queued", start_time=None),
    recording(1, 1),
    notification(1, 1),
]
LISTS = ["/Calls", "/Recordings", "/Notifications"]
LISTS_OF_A_CALL = [f"/Calls/{sid('CA', 1)}{name}" for name in LISTS[1:]]
INSTANCES = [
    f"/Calls/{sid('CA', 1)}",
    f"/Recordings/{sid('RE', 1)}",
    f"/Notifications/{sid('NO', 1)}",
]


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 - the sandbox's own response


def pascal(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def text(value: object) -> str:
    return "" if value is None else str(value)


@pytest.mark.parametrize("resource", LISTS + LISTS_OF_A_CALL + INSTANCES)
@pytest.mark.parametrize("suffix", ["", ".xml"])
async def test_xml_is_the_default_and_has_the_content_of_json(
    open_account: OpenAccount, resource: str, suffix: str
) -> None:
    account = await open_account(ROWS)

    response = await account.get(resource + suffix)
    body = (await account.get(resource + ".json")).json()

    assert response.headers["Content-Type"] == "application/xml"
    (root,) = parsed(response.text)
    rows = next((value for value in body.values() if isinstance(value, list)), None)
    elements = [root] if rows is None else list(root)
    for element, row in zip(elements, [body] if rows is None else rows, strict=True):
        assert [child.tag for child in element] == [pascal(name) for name in row]
        for child, value in zip(element, row.values(), strict=True):
            if isinstance(value, dict):
                assert [part.tag for part in child] == [pascal(name) for name in value]
                assert [part.text for part in child] == [
                    uri.removesuffix(".json") for uri in value.values()
                ]
            else:
                assert (child.text or "") == text(value).removesuffix(".json")


async def test_an_xml_list_has_its_paging_in_attributes(open_account: OpenAccount) -> None:
    account = await open_account([call(n, to="+14155550100") for n in range(3)])

    response = await account.get("/Calls", PageSize="2", To="+14155550100")

    (calls,) = parsed(response.text)
    query = "To=%2B14155550100&PageSize=2&Page="
    assert calls.tag == "Calls"
    assert calls.attrib == {
        "page": "0",
        "pagesize": "2",
        "start": "0",
        "end": "1",
        "uri": f"{account.path}/Calls?{query}0",
        "firstpageuri": f"{account.path}/Calls?{query}0",
        "previouspageuri": "",
        "nextpageuri": f"{account.path}/Calls?{query}1&PageToken=PA{sid('CA', 1)}",
    }
    assert "&amp;Page=1" in response.text


async def test_a_call_in_xml_has_the_order_of_the_recorded_answers(
    open_account: OpenAccount,
) -> None:
    account = await open_account(ROWS)

    (element,) = parsed((await account.get(f"/Calls/{sid('CA', 1)}")).text)

    recorded = [
        "Sid",
        "DateCreated",
        "DateUpdated",
        "ParentCallSid",
        "AccountSid",
        "To",
        "ToFormatted",
        "From",
        "FromFormatted",
        "PhoneNumberSid",
        "Status",
        "StartTime",
        "EndTime",
        "Duration",
        "Price",
        "PriceUnit",
        "Direction",
        "AnsweredBy",
        "ApiVersion",
        "ForwardedFrom",
        "GroupSid",
        "CallerName",
        "Uri",
        "SubresourceUris",
    ]
    assert [child.tag for child in element if child.tag in recorded] == recorded


@pytest.mark.parametrize("resource", LISTS + LISTS_OF_A_CALL + INSTANCES)
async def test_csv_has_a_row_of_names_and_a_row_per_resource(
    open_account: OpenAccount, resource: str
) -> None:
    account = await open_account(ROWS)

    response = await account.get(resource + ".csv")
    body = (await account.get(resource + ".json")).json()

    rows = next((value for value in body.values() if isinstance(value, list)), [body])
    columns = [name for name in rows[0] if name not in ("subresource_uris", "encryption_details")]
    assert response.headers["Content-Type"].startswith("text/csv")
    assert list(csv.reader(io.StringIO(response.text))) == [
        [pascal(name) for name in columns],
        *([text(row[name]).replace(".json", ".csv") for name in columns] for row in rows),
    ]


async def test_dates_in_csv_are_quoted(open_account: OpenAccount) -> None:
    account = await open_account(ROWS)

    assert '"Mon, 06 Jul 2026 12:00:00 +0000"' in (await account.get("/Calls.csv")).text


async def test_an_empty_csv_still_names_its_columns(open_account: OpenAccount) -> None:
    account = await open_account()

    assert (await account.get("/Calls.csv")).text.startswith("Sid,DateCreated,DateUpdated,")


@pytest.mark.parametrize(
    ("method", "resource", "status", "code"),
    [("GET", "/Calls/CAx", 404, 20404), ("PUT", "/Calls", 405, 20004)],
)
async def test_errors_have_the_requested_format(
    open_account: OpenAccount, method: str, resource: str, status: int, code: int
) -> None:
    account = await open_account()
    path = account.path + resource

    in_xml = await account.client.request(method, path)
    in_csv = await account.client.request(method, path + ".csv")

    (error,) = parsed(in_xml.text)
    found = {child.tag: child.text for child in error}
    assert (in_xml.status_code, in_csv.status_code) == (status, status)
    assert error.tag == "RestException"
    assert (found["Status"], found["Code"]) == (str(status), str(code))
    assert found["MoreInfo"] == f"https://www.twilio.com/docs/errors/{code}"
    (row,) = csv.DictReader(io.StringIO(in_csv.text))
    assert row == {**found, "Message": str(found["Message"]).replace("CAx ", "CAx.csv ")}


async def test_the_401_has_the_requested_format(open_account: OpenAccount) -> None:
    account = await open_account()
    account.client.auth = None

    (error,) = parsed((await account.get("/Calls")).text)

    assert error.findtext("Detail") == "Your AccountSid or AuthToken was incorrect."


async def test_the_suffix_wins_over_the_accept_header(open_account: OpenAccount) -> None:
    account = await open_account()

    response = await account.client.get(
        account.path + "/Calls", headers={"Accept": "application/json"}
    )

    assert response.headers["Content-Type"] == "application/xml"


@given(st.text())
def test_xml_keeps_all_characters_that_it_allows(value: str) -> None:
    document = formats.XML.write(Instance("Call", {"to": value}))

    (element,) = parsed(document.decode())
    allowed = "".join(
        character
        for character in value
        if character in "\t\n\r"
        or " " <= character <= "\ud7ff"
        or "\ue000" <= character <= "\ufffd"
        or character >= "\U00010000"
    )
    assert (element.findtext("To") or "") == allowed.replace("\r\n", "\n").replace("\r", "\n")
