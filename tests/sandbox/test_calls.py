"""The Calls resource in JSON: one call, and the order and shape of the list."""

from tests.sandbox.conftest import OpenAccount
from tests.sandbox.rows import NOON, call, sid

ENVELOPE = {
    "page",
    "page_size",
    "start",
    "end",
    "uri",
    "first_page_uri",
    "previous_page_uri",
    "next_page_uri",
}


async def test_a_call_has_every_property_of_the_service(open_account: OpenAccount) -> None:
    row = call(
        1,
        date_updated=NOON + 62,
        parent_call_sid=sid("CA", 2),
        phone_number_sid=sid("PN", 1),
        start_time=NOON + 2,
        end_time=NOON + 62,
        duration=60,
        price="-0.03000",
        direction="outbound-dial",
        answered_by="human",
        forwarded_from="+12125550143",
        group_sid=sid("GP", 1),
        caller_name="LINDQVIST ADA",
        queue_time=1000,
        trunk_sid=sid("TK", 1),
        to="client:tommy",
    )
    account = await open_account([row])
    path = f"{account.path}/Calls/{row.sid}"

    assert (await account.get(f"/Calls/{row.sid}.json")).json() == {
        "sid": row.sid,
        "date_created": "Mon, 06 Jul 2026 12:00:00 +0000",
        "date_updated": "Mon, 06 Jul 2026 12:01:02 +0000",
        "parent_call_sid": sid("CA", 2),
        "account_sid": account.config.account_sid,
        "to": "client:tommy",
        "to_formatted": "client:tommy",
        "from": "+12125550142",
        "from_formatted": "(212) 555-0142",
        "phone_number_sid": sid("PN", 1),
        "status": "completed",
        "start_time": "Mon, 06 Jul 2026 12:00:02 +0000",
        "end_time": "Mon, 06 Jul 2026 12:01:02 +0000",
        "duration": "60",
        "price": "-0.03000",
        "price_unit": "USD",
        "direction": "outbound-dial",
        "answered_by": "human",
        "api_version": "2010-04-01",
        "forwarded_from": "+12125550143",
        "group_sid": sid("GP", 1),
        "caller_name": "LINDQVIST ADA",
        "queue_time": "1000",
        "trunk_sid": sid("TK", 1),
        "uri": f"{path}.json",
        "subresource_uris": {
            "notifications": f"{path}/Notifications.json",
            "recordings": f"{path}/Recordings.json",
            "payments": f"{path}/Payments.json",
            "events": f"{path}/Events.json",
            "siprec": f"{path}/Siprec.json",
            "streams": f"{path}/Streams.json",
            "transcriptions": f"{path}/Transcriptions.json",
            "user_defined_message_subscriptions": f"{path}/UserDefinedMessageSubscriptions.json",
            "user_defined_messages": f"{path}/UserDefinedMessages.json",
        },
    }


async def test_properties_that_a_live_call_does_not_have_yet_are_null(
    open_account: OpenAccount,
) -> None:
    account = await open_account([call(1, status="queued", start_time=None)])

    body = (await account.get(f"/Calls/{sid('CA', 1)}.json")).json()

    unknown = ("start_time", "end_time", "duration", "price", "answered_by", "parent_call_sid")
    assert [body[name] for name in unknown] == [None] * len(unknown)


async def test_the_list_runs_newest_first_and_latest_inserted_first(
    open_account: OpenAccount,
) -> None:
    rows = [call(1, NOON), call(2, NOON - 5), call(3, NOON), call(4, NOON + 1), call(5, NOON)]
    account = await open_account(rows)

    assert await account.sids("/Calls.json") == [sid("CA", n) for n in (4, 5, 3, 1, 2)]


async def test_the_envelope_has_no_further_key(open_account: OpenAccount) -> None:
    """The official client takes the one key that is not in the envelope as the rows."""
    account = await open_account([call(1)])

    for name in ("calls", "recordings", "notifications"):
        body = (await account.get(f"/{name.capitalize()}.json")).json()
        assert set(body) == ENVELOPE | {name}


async def test_an_empty_list_is_a_page_that_starts_and_ends_at_0(
    open_account: OpenAccount,
) -> None:
    account = await open_account()

    body = (await account.get("/Calls.json")).json()

    first = f"{account.path}/Calls.json?PageSize=50&Page=0"
    assert body == {
        "calls": [],
        "page": 0,
        "page_size": 50,
        "start": 0,
        "end": 0,
        "uri": first,
        "first_page_uri": first,
        "previous_page_uri": None,
        "next_page_uri": None,
    }
