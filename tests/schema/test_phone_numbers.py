"""A phone number's calls: Twilio's filters To and From, one list for each number."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.access import Scope
from tests.conftest import connect
from tests.plain_twilio import PlainTwilio, call, sid
from tests.schema.test_cost import cost
from tests.schema.test_personal import asked_by
from tests.schema.test_refine import sids_of

ANN, BOB, DESK = "+16175550101", "+16175550102", "+18005550100"
CALLS_OF = """query($r: [_Any!]!, $f: CallFilter, $refine: CallRefinement) {
  _entities(representations: $r) { ... on PhoneNumber {
    number
    callsTo(filter: $f, refine: $refine) { nodes { sid } }
    callsFrom(first: 2, filter: $f) { nodes { sid } pageInfo { hasNextPage } } } } }"""


def account() -> PlainTwilio:
    """Ann and Bob call the desk; the desk calls Bob back."""
    return PlainTwilio(
        calls=[
            call(1, at=-1) | {"from": ANN},
            call(2, at=-2, to=BOB, status="busy", duration="0") | {"from": DESK},
            call(3, at=-3, status="no-answer", duration="0") | {"from": BOB},
            call(4, at=-4) | {"from": ANN},
            call(5, at=-5) | {"from": ANN},
        ]
    )


def number(text: str) -> dict[str, str]:
    """The reference that another subgraph gives."""
    return {"__typename": "PhoneNumber", "number": text}


async def test_each_number_is_asked_for_its_own_calls() -> None:
    twilio = account()
    async with connect(twilio) as client:
        ann, bob = (await client.data(CALLS_OF, r=[number(ANN), number(BOB)]))["_entities"]

    assert (ann["number"], bob["number"]) == (ANN, BOB)
    assert [sids_of(each["callsTo"]) for each in (ann, bob)] == [[], [2]]
    assert [sids_of(each["callsFrom"]) for each in (ann, bob)] == [[1, 4], [3]]
    assert [each["callsFrom"]["pageInfo"]["hasNextPage"] for each in (ann, bob)] == [True, False]
    assert twilio.asked() == [
        f"GET Calls?{name}={text}&PageSize=51" for name in ("From", "To") for text in (ANN, BOB)
    ]


async def test_all_other_filters_go_with_the_number() -> None:
    twilio = account()
    filter_ = {"status": ["BUSY"], "startTime": {"on": "2026-03-10"}}
    async with connect(twilio) as client:
        (bob,) = (await client.data(CALLS_OF, r=[number(BOB)], f=filter_))["_entities"]
        asked = twilio.asked()
        refined = await client.data(CALLS_OF, r=[number(DESK)], refine={"minDuration": 60})

    assert sids_of(bob["callsTo"]) == [2]
    assert sids_of(bob["callsFrom"]) == []
    assert asked == [
        f"GET Calls?{name}={BOB}&Status=busy&StartTime=2026-03-10&PageSize=51"
        for name in ("From", "To")
    ]
    assert sids_of(refined["_entities"][0]["callsTo"]) == [1, 4, 5]
    assert twilio.asked() == [
        f"GET Calls?From={DESK}&PageSize=51",
        f"GET Calls?To={DESK}&PageSize=1000",
    ]


async def test_who_missed_a_call_and_was_called_back() -> None:
    """Reached through calls: one request for each number, though a number calls more than once."""
    twilio = account()
    query = """{ calls { nodes { sid fromEndpoint { ... on PhoneNumber {
        callsTo(first: 3) { nodes { sid from } } } } } } }"""
    async with connect(twilio) as client:
        nodes = (await client.data(query))["calls"]["nodes"]

    found = [sids_of(node["fromEndpoint"]["callsTo"]) for node in nodes]
    assert found == [[], [1, 3, 4], [2], [], []]
    assert twilio.asked() == [
        "GET Calls?PageSize=51",
        f"GET Calls?To={ANN}&PageSize=51",
        f"GET Calls?To={BOB}&PageSize=51",
        f"GET Calls?To={DESK}&PageSize=51",
    ]


async def test_without_pii_a_numbers_calls_are_refused_also_through_a_call() -> None:
    """Nothing is asked about the number; the call keeps its other fields."""
    async with asked_by(Scope.READ) as (twilio, kim):
        answer = await kim.ask(
            f"""{{ call(sid: "{sid("CA", 1)}") {{ sid toEndpoint {{ ... on PhoneNumber {{
                number callsTo {{ nodes {{ sid }} }} callsFrom {{ nodes {{ sid }} }} }} }} }} }}"""
        )

    assert answer["data"]["call"] == {
        "sid": sid("CA", 1),
        "toEndpoint": {"number": "+1617•••1212", "callsTo": None, "callsFrom": None},
    }
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"] * 2
    assert twilio.asked() == [f"GET Calls/{sid('CA', 1)}"]


@pytest.mark.parametrize(("field", "name"), [("callsTo", "to"), ("callsFrom", "from")])
async def test_the_filter_that_the_field_sets_is_refused(field: str, name: str) -> None:
    twilio = account()
    query = f"""query($r: [_Any!]!) {{ _entities(representations: $r) {{ ... on PhoneNumber {{
        {field}(filter: {{{name}: "{DESK}"}}) {{ nodes {{ sid }} }} }} }} }}"""
    async with connect(twilio) as client:
        error = await client.error(query, r=[number(ANN)])

    assert error["message"] == f"{name}: the field itself sets it; omit it in the filter"
    assert error["extensions"]["code"] == "INVALID_FILTER"
    assert twilio.asked() == []


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("{ calls(first: 10) { nodes { toEndpoint { ... on PhoneNumber { number } } } } }", 10),
        (
            "{ calls(first: 10) { nodes { toEndpoint { ... on PhoneNumber { "
            "callsFrom(first: 7) { nodes { sid } } } } } } }",
            10 + 10 * 7,
        ),
        (
            "{ _entities(representations: [1, 2]) { ... on PhoneNumber { "
            "callsTo { nodes { recordings { nodes { sid } } } } } } }",
            2 + 2 * (50 + 50 * 2),
        ),
    ],
)
def test_a_numbers_calls_cost_their_full_page(query: str, rows: int) -> None:
    """A number may have any number of calls; a call has few of anything."""
    assert cost(query) == rows


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([ANN, BOB]), st.sampled_from([ANN, DESK])), max_size=12),
    st.integers(1, 5),
    st.sampled_from([None, "CANCELED", "COMPLETED"]),
)
async def test_a_walk_through_a_numbers_calls_is_that_of_the_filter(
    pairs: list[tuple[str, str]], size: int, status: str | None
) -> None:
    rows = [
        call(place, at=-place, to=to, status=["completed", "canceled"][place % 2]) | {"from": from_}
        for place, (from_, to) in enumerate(pairs, 1)
    ]
    wanted = status and status.lower()
    expected = [
        [
            int(row["sid"][2:], 16)
            for row in rows
            if row[name] == ANN and wanted in (None, row["status"])
        ]
        for name in ("to", "from")
    ]
    async with connect(PlainTwilio(calls=rows)) as client:
        found = [
            await walked(client, field, size, {"status": status} if status else {})
            for field in ("callsTo", "callsFrom")
        ]

    assert found == expected


async def walked(client: Any, field: str, size: int, filter_: dict[str, Any]) -> list[int]:
    """All pages of Ann's calls."""
    query = f"""query($r: [_Any!]!, $n: Int, $after: String, $f: CallFilter) {{
        _entities(representations: $r) {{ ... on PhoneNumber {{
          {field}(first: $n, after: $after, filter: $f) {{
            nodes {{ sid }} pageInfo {{ hasNextPage endCursor }} }} }} }} }}"""
    found: list[int] = []
    after = None
    while True:
        (ann,) = (await client.data(query, r=[number(ANN)], n=size, after=after, f=filter_))[
            "_entities"
        ]
        found += sids_of(ann[field])
        if not ann[field]["pageInfo"]["hasNextPage"]:
            return found
        after = ann[field]["pageInfo"]["endCursor"]
