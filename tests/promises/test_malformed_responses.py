"""Odd responses of upstream: their readable part is answered, field by field.

Hostile ones that cannot be read at all are in test_hostile_answers.py.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.plain_twilio import ACCOUNT, Row, sid
from tests.promises.faults import Body, instead, mangled
from tests.promises.faulty import Fault
from tests.promises.rows import PAGE
from tests.promises.stand import Answer, Stand

FIELDS = "sid duration price startTime answeredBy callerName"
TWO = f"{{ calls(first: 2) {{ nodes {{ {FIELDS} }} pageInfo {{ hasNextPage }} }} }}"
RIGHT: Row = {
    "duration": 60,
    "price": "-0.00850",
    "answeredBy": None,
    "callerName": None,
}

pytestmark = pytest.mark.xdist_group("malformed responses")  # they share the gateway


async def query_with(here: Stand, fault: Fault, query: str = TWO) -> Answer:
    """The response to a query while the list of calls has this fault."""
    here.upstream.fail(fault, "^GET Calls[?]")
    return await here.query(query)


def first_row(**given: Any) -> Fault:
    """The first row with these properties."""

    def change(body: Body) -> Body:
        body["calls"][0] |= given
        return body

    return mangled(change)


BAD_VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "a duration that is a word": ({"duration": "long"}, "duration"),
    "a duration that is a list": ({"duration": [60]}, "duration"),
    "a price that is an object": ({"price": {"amount": 1}}, "price"),
    "a price that is no number": ({"price": "free"}, "price"),
    "a date that is none": ({"start_time": "yesterday"}, "startTime"),
    "a date beyond all calendars": (
        {"start_time": "Tue, 99 Mar 99999 12:00:00 +0000"},
        "startTime",
    ),
    "a date that is a number": ({"start_time": 1773144000}, "startTime"),
    "a name that is a number": ({"caller_name": 5}, "callerName"),
}


@pytest.mark.parametrize("name", BAD_VALUES)
async def test_an_unreadable_value_nulls_only_its_field(here: Stand, name: str) -> None:
    properties, field = BAD_VALUES[name]
    answer = await query_with(here, first_row(**properties))

    one, two = answer.body["data"]["calls"]["nodes"]
    assert [error["path"] for error in answer.body["errors"]] == [["calls", "nodes", 0, field]]
    assert answer.codes == {"UPSTREAM_INVALID"}
    assert one[field] is None
    for known in RIGHT.keys() - {field}:
        assert one[known] == RIGHT[known]
    assert RIGHT.items() <= two.items()


NO_ROWS: dict[str, object] = {
    "a number": 5,
    "null": None,
    "a list": [],
    "without SID": {"status": "completed"},
    "with a SID that is a number": {"sid": 5},
    "with a SID that is null": {"sid": None, "status": "completed"},
}


@pytest.mark.parametrize("name", NO_ROWS)
async def test_a_malformed_row_is_left_out_and_the_others_stay(here: Stand, name: str) -> None:
    def change(body: Body) -> Body:
        return body | {"calls": [NO_ROWS[name], *body["calls"]]}

    answer = await query_with(here, mangled(change))

    assert answer.is_whole, answer.body
    assert [n["sid"] for n in answer.body["data"]["calls"]["nodes"]] == [sid("CA", 1), sid("CA", 2)]


NOTHING: dict[str, object] = {"empty": "", "null": None, "an object": {"a": 1}, "a list": [1]}


@pytest.mark.parametrize("name", NOTHING)
async def test_required_fields_of_a_call_have_a_value_whatever_upstream_sends(
    here: Stand, name: str
) -> None:
    query = "{ calls(first: 2) { nodes { sid status direction accountSid } } }"
    malformed = dict.fromkeys(("status", "direction", "account_sid"), NOTHING[name])
    answer = await query_with(here, first_row(**malformed), query)

    assert answer.is_whole, answer.body
    assert answer.body["data"]["calls"]["nodes"][0] == {
        "sid": sid("CA", 1),
        "status": "UNKNOWN",
        "direction": "UNKNOWN",
        "accountSid": ACCOUNT,
    }


async def test_an_unknown_value_of_an_enum_is_unknown(here: Stand) -> None:
    query = "{ calls(first: 2) { nodes { sid status direction answeredBy } } }"
    odd_values = {"status": "paused", "direction": "sideways", "answered_by": "parrot"}
    answer = await query_with(here, first_row(**odd_values), query)

    assert answer.is_whole, answer.body
    one, two = answer.body["data"]["calls"]["nodes"]
    assert one == {
        "sid": sid("CA", 1),
        "status": "UNKNOWN",
        "direction": "UNKNOWN",
        "answeredBy": "UNKNOWN",
    }
    assert two["status"] == "COMPLETED"


BAD_TEXTS: dict[str, tuple[bytes, str]] = {
    "a byte that is not UTF-8": (b"Ad\xe9", "Ad\ufffd"),
    "half a surrogate pair": (rb"Ada\ud83d", "Ada\ufffd"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
async def test_an_unreadable_character_is_replaced(here: Stand, name: str) -> None:
    text, read = BAD_TEXTS[name]
    row = b'{"sid": "%s", "duration": "60", "caller_name": "%s"}' % (sid("CA", 1).encode(), text)
    other = b'{"sid": "%s", "duration": "7"}' % sid("CA", 2).encode()
    answer = await query_with(here, instead(b'{"calls": [%s, %s]}' % (row, other)))

    assert answer.is_whole, answer.body
    one, two = answer.body["data"]["calls"]["nodes"]
    assert (one["callerName"], one["duration"], two["duration"]) == (read, 60, 7)


async def test_missing_properties_are_null(here: Stand) -> None:
    def change(body: Body) -> Body:
        body["calls"][0] = {"sid": sid("CA", 1)}
        return body

    answer = await query_with(here, mangled(change))

    assert answer.is_whole, answer.body
    nodes = answer.body["data"]["calls"]["nodes"]
    assert nodes[0] == {"sid": sid("CA", 1)} | dict.fromkeys(FIELDS.split()[1:])
    assert nodes[1]["duration"] == 60


async def test_unknown_properties_are_ignored(here: Stand) -> None:
    extra = {"shoe_size": 43, "__proto__": {"sid": "evil"}, "nested": [[[[]]]] * 100}
    answer = await query_with(
        here,
        mangled(
            lambda body: {"extra": extra} | body | {"calls": [r | extra for r in body["calls"]]}
        ),
    )

    assert answer.is_whole, answer.body
    assert [n["sid"] for n in answer.body["data"]["calls"]["nodes"]] == [sid("CA", 1), sid("CA", 2)]


async def test_duplicate_rows_are_shown_once(here: Stand) -> None:
    """On one page, and from page to page."""
    twice = mangled(lambda body: body | {"calls": [r for r in body["calls"] for _ in (1, 2)]})
    here.upstream.fail(twice, "^GET Calls[?]")
    answer = await here.query("{ calls(first: 300) { nodes { sid } } }")

    sids = [node["sid"] for node in answer.body["data"]["calls"]["nodes"]]
    assert len(sids) == len(set(sids))
    assert sids == [sid("CA", number) for number in range(1, len(sids) + 1)]


async def test_a_page_that_is_larger_than_requested(here: Stand) -> None:
    """Upstream sends all its calls where two were requested, and says that they are two."""
    here.upstream.fail(_with_rows(here.upstream.account.calls), "^GET Calls[?]")
    answer = await here.query(TWO)

    assert answer.is_whole
    assert [n["sid"] for n in answer.body["data"]["calls"]["nodes"]] == [sid("CA", 1), sid("CA", 2)]
    assert answer.body["data"]["calls"]["pageInfo"]["hasNextPage"] is True


def _with_rows(rows: list[Row]) -> Fault:
    return mangled(lambda body: body | {"calls": rows, "page_size": 2, "end": 1})


async def test_pages_that_are_smaller_than_requested(here: Stand) -> None:
    """Twilio caps the page size silently; the gateway reads the list to its end."""
    here.upstream.account.largest_page = 20
    try:
        answer = await here.query("{ calls(first: 100) { nodes { sid } } }")
    finally:
        here.upstream.account.largest_page = 1000

    assert answer.is_whole, answer.body
    sids = [node["sid"] for node in answer.body["data"]["calls"]["nodes"]]
    assert sids == [sid("CA", number) for number in range(1, 101)]


LIES: dict[str, Callable[[Body], Body]] = {
    "page numbers that are text": lambda body: body | {"page": "first", "page_size": "many"},
    "page numbers that are negative": lambda body: body | {"page": -1, "page_size": -50, "end": -3},
    "no page numbers": lambda body: {"calls": body["calls"]},
}


@pytest.mark.parametrize("name", LIES)
async def test_the_page_numbers_of_the_envelope_are_not_trusted(here: Stand, name: str) -> None:
    answer = await query_with(here, mangled(LIES[name]))

    assert answer.is_whole, answer.body
    assert len(answer.body["data"]["calls"]["nodes"]) == 2


async def test_rows_that_do_not_match_the_request_are_left_out(here: Stand) -> None:
    """The gateway applies a filter that upstream ignores; edges get no other call's rows."""
    rows = here.upstream.account.recordings
    here.upstream.fail(
        mangled(lambda body: body | {"recordings": rows}), "^GET Calls/.*/Recordings"
    )
    here.upstream.fail(_with_rows(here.upstream.account.calls), "^GET Calls[?]")
    answer = await here.query(
        f'{{ call(sid: "{sid("CA", 10)}") {{ recordings {{ nodes {{ sid }} }} }} }}'
    )
    filtered = await here.query("{ calls(filter: {status: COMPLETED}) { nodes { status } } }")

    assert answer.body["data"]["call"]["recordings"]["nodes"] == [{"sid": sid("RE", 10)}]
    assert filtered.body["data"]["calls"]["nodes"] == [{"status": "COMPLETED"}] * PAGE


async def test_json_with_another_content_type(here: Stand) -> None:
    right = b'{"calls": [{"sid": "%s", "duration": "7"}]}' % sid("CA", 1).encode()
    answer = await query_with(here, instead(right, "text/html"))

    assert answer.is_whole or answer.codes == {"UPSTREAM_INVALID"}


async def test_a_resource_with_another_sid_is_an_error(here: Stand) -> None:
    here.upstream.fail(mangled(lambda body: body | {"sid": sid("CA", 2)}), "^GET Calls/")
    answer = await here.query(f'{{ call(sid: "{sid("CA", 1)}") {{ sid }} }}')

    assert answer.body["data"] == {"call": None}
    assert answer.codes == {"UPSTREAM_INVALID"}
