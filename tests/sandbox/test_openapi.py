"""Responses against Twilio's own OpenAPI description (see ``openapi/README.md`` for its licence).

``LENIENT`` has the few differences between the description and recorded responses (FACTS).
"""

import json
import re
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.sandbox import filters, forms
from tests.sandbox.conftest import STILL, Account, OpenAccount

SPEC: dict[str, Any] = json.loads(
    (Path(__file__).parent / "openapi/calls-openapi.json").read_text()
)
SCHEMAS = SPEC["components"]["schemas"]
BASE = "/2010-04-01/Accounts/{AccountSid}"
MANY = replace(STILL, calls=700)

LENIENT = [
    ("phone_number_sid", ""),  # docs/twilio.md#1-surprising-facts: empty is sometimes ""
    ("price", "number"),  # Calls/{sid}/Recordings: typed number, shown and served as text
    ("request_url", ""),  # docs/twilio.md#4-recording-and-notification
]
PYTHON: dict[str, Any] = {
    "string": str,
    "integer": int,
    "object": dict,
    "array": list,
    "number": (int, float),
}


def response_schema(method: str, path: str, status: str) -> dict[str, Any]:
    content = SPEC["paths"][BASE + path][method]["responses"][status]["content"]
    schema: dict[str, Any] = content["application/json"]["schema"]
    return schema


def faults(value: Any, schema: dict[str, Any], name: str = "") -> list[str]:
    """The violations of a schema by a value, as messages; empty if it conforms."""
    if "$ref" in schema:
        schema = SCHEMAS[schema["$ref"].rsplit("/", 1)[1]]
    if value is None:
        return [] if schema.get("nullable") or schema.get("type") is None else [f"{name} is null"]
    if (name, value) in LENIENT or (name, schema.get("type")) in LENIENT:
        return []
    kind = schema.get("type")
    if kind and (not isinstance(value, PYTHON[kind]) or isinstance(value, bool)):
        return [f"{name} is no {kind}: {value!r}"]
    return _text_faults(value, schema, name) + _part_faults(value, schema, name)


def _text_faults(value: Any, schema: dict[str, Any], name: str) -> list[str]:
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{name} is not listed: {value!r}")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{name} does not match: {value!r}")
    if schema.get("format") == "date-time-rfc-2822":
        moment = parsedate_to_datetime(value)
        if moment.utcoffset() is None or not value.endswith(" +0000"):
            found.append(f"{name} has no zone: {value!r}")
    return found


def _part_faults(value: Any, schema: dict[str, Any], name: str) -> list[str]:
    found = []
    if schema.get("type") == "array":
        found += [fault for item in value for fault in faults(item, schema["items"], name)]
    if "properties" in schema:
        parts = schema["properties"]
        found += [f"{name} has {key} too many" for key in value.keys() - parts.keys()]
        found += [f"{name} lacks {key}" for key in parts.keys() - value.keys()]
        for key in parts.keys() & value.keys():
            found += faults(value[key], parts[key], key)
    return found


async def recorded_call(account: Account) -> str:
    """A call of the example data that has recordings and still exists."""
    sids = set(await account.sids("/Calls.json", PageSize="1000"))
    rows = await account.rows("/Recordings.json", PageSize="1000")
    return next(str(row["call_sid"]) for row in rows if row["call_sid"] in sids)


async def notified_call(account: Account) -> str:
    """A call of the example data that has notifications."""
    rows = await account.rows("/Notifications.json", PageSize="1000")
    return next(str(row["call_sid"]) for row in rows if row["call_sid"])


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("/Calls", None),
        ("/Recordings", None),
        ("/Notifications", None),
        ("/Calls/{CallSid}/Recordings", recorded_call),
        ("/Calls/{CallSid}/Notifications", notified_call),
    ],
)
async def test_lists_and_instances_conform(open_account: OpenAccount, path: str, call: Any) -> None:
    account = await open_account(config=MANY)
    url = path.replace("{CallSid}", await call(account) if call else "")

    body = (await account.get(url + ".json", PageSize="1000")).json()
    rows = next(value for value in body.values() if isinstance(value, list))

    assert rows
    assert faults(body, response_schema("get", path + ".json", "200")) == []
    instance = response_schema("get", path + "/{Sid}.json", "200")
    for row in rows[:40]:
        alone = (await account.client.get(row["uri"])).json()
        assert faults(alone, instance) == []


async def test_responses_to_post_conform(open_account: OpenAccount) -> None:
    account = await open_account()
    form = {"To": "client:tommy", "From": "client:amara", "Twiml": "<Response><Pause/></Response>"}

    made = (await account.post("/Calls.json", **form)).json()
    await account.step(5)
    path = f"/Calls/{made['sid']}"
    recording = (await account.post(path + "/Recordings.json")).json()
    stopped = await account.post(f"{path}/Recordings/{recording['sid']}.json", Status="stopped")
    changed = (await account.post(path + ".json", Status="completed")).json()

    recordings = "/Calls/{CallSid}/Recordings"
    assert faults(made, response_schema("post", "/Calls.json", "201")) == []
    assert faults(changed, response_schema("post", "/Calls/{Sid}.json", "200")) == []
    assert faults(recording, response_schema("post", recordings + ".json", "201")) == []
    assert faults(stopped.json(), response_schema("post", recordings + "/{Sid}.json", "200")) == []


def parameters(path: str) -> set[str]:
    paging = {"PageSize", "Page", "PageToken"}
    described = SPEC["paths"][BASE + path]["get"]["parameters"]
    return {parameter["name"] for parameter in described if parameter["in"] == "query"} - paging


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/Calls.json", filters.CALLS),
        ("/Recordings.json", filters.RECORDINGS),
        ("/Notifications.json", filters.NOTIFICATIONS),
        ("/Calls/{CallSid}/Recordings.json", filters.CALL_RECORDINGS),
        ("/Calls/{CallSid}/Notifications.json", filters.NOTIFICATIONS),
    ],
)
def test_the_filters_are_exactly_those_of_the_description(path: str, known: Any) -> None:
    assert set(known) == parameters(path)


async def test_every_operation_exists_but_deleting_calls(open_account: OpenAccount) -> None:
    account = await open_account()
    missing = []

    for path, operations in SPEC["paths"].items():
        for method in operations.keys() & {"get", "post", "delete"}:
            url = path.replace("{AccountSid}", account.config.account_sid)
            response = await account.client.request(
                method.upper(), re.sub(r"\{\w+\}", "XX" + "0" * 32, url)
            )
            if response.status_code == 405:
                missing.append((method, path.removeprefix(BASE)))

    assert missing == [("delete", "/Calls/{Sid}.json")]


def test_violations_are_found() -> None:
    """The check itself finds a missing, an unknown and a malformed property."""
    schema = response_schema("get", "/Calls/{Sid}.json", "200")

    found = faults({"sid": "CA1", "status": "lost", "extra": 1, "price": 0.03}, schema)

    for words in ("sid does not match", "status is not listed", "extra too many", "lacks to"):
        assert any(words in fault for fault in found), words
    assert any("price is no string" in fault for fault in found)


def test_callback_events_are_those_of_the_description() -> None:
    assert set(SCHEMAS["call_enum_event"]["enum"]) >= set(forms.EVENTS)
