"""Cursors cannot be forged, and each is valid for its account, host and list only."""

import base64
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidCursor
from gateway.schema.cursors import (
    VERSION,
    Cursor,
    PositionKind,
    RowPosition,
    canonical,
    cursor_key,
    read_cursor,
    write_cursor,
)
from gateway.server import open_gateway
from gateway.settings import Secret
from gateway.upstream.calls import CallStatus, ListCalls
from gateway.upstream.date_ranges import DateTimeRange
from gateway.upstream.notifications import ListNotifications, NotificationLevel
from gateway.upstream.recordings import ListRecordings
from gateway.upstream.requests import ListRequest, PageRef
from tests.conftest import Client, connect
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, sid
from tests.settings import settings_of

HOST = "https://api.twilio.com"
KEY = cursor_key(TOKEN, HOST, ACCOUNT)
LISTS = [ListCalls(to="+16175550101")]
SIDS = st.none() | st.integers(0, 99).map(lambda number: sid("CA", number))
DATES = st.none() | st.datetimes(timezones=st.just(UTC))
CURSORS = st.builds(
    Cursor,
    stream=st.integers(0, 8),
    is_row=st.booleans(),
    key=DATES,
    positions=st.lists(
        st.builds(
            RowPosition,
            kind=st.sampled_from(PositionKind),
            index=st.integers(0, 99),
            token=st.none() | st.text(max_size=40),
            page_size=st.integers(1, 1000),
            after=SIDS,
            above=SIDS,
            date=DATES,
        ),
        min_size=1,
        max_size=8,
    ).map(tuple),
)
CURSOR = Cursor(
    stream=0,
    is_row=True,
    key=None,
    positions=(
        RowPosition(
            kind=PositionKind.NAMED,
            index=1,
            token="PA" + sid("CA", 0),
            page_size=51,
            after=sid("CA", 1),
            date=datetime(2026, 3, 10, tzinfo=UTC),
        ),
    ),
)
# What a gateway of version 2 wrote for the first of two calls, of one list of all calls.
OF_VERSION_2 = (
    "E11dGJ0XLUJAVbJGKdeZZgJbIkNBMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDEiLCIyMDI2LTAzLTEwVDEy"
    "OjAwOjAwWiIsMCxmYWxzZSxbWzEsIlBBQ0EwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMSIsMV1dXQ"
)


@given(CURSORS)
def test_a_cursor_is_read_as_it_was_written(position: Cursor) -> None:
    assert read_cursor(write_cursor(position, KEY, LISTS), KEY, LISTS) == position


@given(CURSORS, st.data())
def test_a_cursor_of_which_any_byte_was_changed_is_refused(
    position: Cursor, data: st.DataObject
) -> None:
    raw = bytearray(base64.urlsafe_b64decode(write_cursor(position, KEY, LISTS) + "=="))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    forged = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    with pytest.raises(InvalidCursor):
        read_cursor(forged, KEY, LISTS)


def test_a_cursor_with_a_changed_byte_is_refused() -> None:
    """Every byte, flipped in each of its bits."""
    raw = base64.urlsafe_b64decode(write_cursor(CURSOR, KEY, LISTS) + "==")
    for position in range(len(raw)):
        for bit in range(8):
            forged = bytearray(raw)
            forged[position] ^= 1 << bit
            text = base64.urlsafe_b64encode(forged).rstrip(b"=").decode()
            with pytest.raises(InvalidCursor):
                read_cursor(text, KEY, LISTS)


@pytest.mark.parametrize("change", ["longer", "shorter", "padded", "spaced", "other letters"])
def test_the_text_of_a_cursor_is_the_only_one(change: str) -> None:
    """Base64 can spell some bytes in several ways; a cursor has one spelling."""
    text = write_cursor(CURSOR, KEY, LISTS)
    changed = {
        "longer": text + "A",
        "shorter": text[:-1],
        "padded": text + "=" * (-len(text) % 4 or 4),
        "spaced": text[:8] + "\n" + text[8:],
        "other letters": text.replace("-", "+").replace("_", "/") + "+",
    }

    with pytest.raises(InvalidCursor):
        read_cursor(changed[change], KEY, LISTS)


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_whatever_else_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidCursor):
        read_cursor(text, KEY, LISTS)


def test_a_text_too_long_to_be_a_cursor_is_none() -> None:
    """It is not even decoded."""
    with pytest.raises(InvalidCursor):
        read_cursor("A" * 100_000, KEY, LISTS)


OTHERS: dict[str, tuple[bytes, list[Any]]] = {
    "account": (cursor_key(TOKEN, HOST, "AC" + "b" * 32), LISTS),
    "host": (cursor_key(TOKEN, "http://169.254.169.254", ACCOUNT), LISTS),
    "secret": (cursor_key(TOKEN + "0", HOST, ACCOUNT), LISTS),
    "filter": (KEY, [ListCalls(to="+16175550102")]),
    "no filter": (KEY, [ListCalls()]),
    "parent": (KEY, [ListCalls(to="+16175550101", parent_call_sid=sid("CA", 1))]),
    "kind": (KEY, [ListRecordings(call_sid=sid("CA", 1))]),
    "more lists": (KEY, LISTS * 2),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_cursor_of_another_account_host_or_list_is_refused(what: str) -> None:
    """In both directions."""
    key, lists = OTHERS[what]
    with pytest.raises(InvalidCursor):
        read_cursor(write_cursor(CURSOR, key, lists), KEY, LISTS)
    with pytest.raises(InvalidCursor):
        read_cursor(write_cursor(CURSOR, KEY, LISTS), key, lists)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ListCalls(to="+16175550101"), ListCalls(to="+16175550101", page_size=7)),
        (
            ListRecordings(call_sid=sid("CA", 1)),
            ListRecordings(call_sid=sid("CA", 1), with_track=True),
        ),
    ],
    ids=["page size", "with track"],
)
def test_how_the_list_is_read_does_not_matter(
    one: ListRequest[Any], other: ListRequest[Any]
) -> None:
    """The next page may be larger, or select another property."""
    assert read_cursor(write_cursor(CURSOR, KEY, [one]), KEY, [other]) == CURSOR


CANONICAL: list[tuple[list[ListRequest[Any]], str]] = [
    ([ListCalls(page_size=7, page=PageRef(1, "PAx"))], '[["calls",{}]]'),
    (
        [
            ListCalls(
                to="+1",
                from_="client:a",
                status=CallStatus.NO_ANSWER,
                start_time=DateTimeRange(datetime(2026, 3, 10, 1, tzinfo=UTC), None),
                end_time=DateTimeRange.day(date(2026, 3, 10)),
                parent_call_sid=sid("CA", 1),
            )
        ],
        '[["calls",{"end_time":["2026-03-10T00:00:00+00:00","2026-03-11T00:00:00+00:00"],'
        '"from_":"client:a","parent_call_sid":"' + sid("CA", 1) + '",'
        '"start_time":["2026-03-10T01:00:00+00:00",null],"status":"no-answer","to":"+1"}]]',
    ),
    (
        [ListRecordings(call_sid=sid("CA", 1), with_track=True)],
        '[["recordings",{"call_sid":"' + sid("CA", 1) + '"}]]',
    ),
    (
        [ListNotifications(log=NotificationLevel.ERROR), ListNotifications()],
        '[["notifications",{"log":"0"}],["notifications",{}]]',
    ),
]


@pytest.mark.parametrize(("lists", "text"), CANONICAL)
def test_what_is_signed_of_a_list_is_written_down_here(
    lists: list[ListRequest[Any]], text: str
) -> None:
    """A change of these texts invalidates all existing cursors: then increase VERSION."""
    assert VERSION == 3
    assert canonical(lists).decode() == text


@dataclass(frozen=True, kw_only=True)
class LaterListCalls(ListCalls):
    """The list of calls of a later gateway, with one more filter."""

    group_sid: str | None = None


def test_a_new_filter_invalidates_no_cursor_but_tells_lists_apart() -> None:
    cursor = write_cursor(CURSOR, KEY, LISTS)

    assert read_cursor(cursor, KEY, [LaterListCalls(to="+16175550101")]) == CURSOR
    with pytest.raises(InvalidCursor):
        read_cursor(cursor, KEY, [LaterListCalls(to="+16175550101", group_sid="GP1")])


def test_a_cursor_of_an_earlier_version_is_refused_in_words_that_say_so() -> None:
    with pytest.raises(InvalidCursor, match="earlier gateway version: start again"):
        read_cursor(OF_VERSION_2, KEY, LISTS)


def test_a_cursor_shows_neither_secret_nor_filter() -> None:
    raw = base64.urlsafe_b64decode(write_cursor(CURSOR, KEY, LISTS) + "==")

    assert TOKEN.encode() not in raw
    assert b"6175550101" not in raw
    assert msgspec.json.decode(raw[17:], type=Cursor) == CURSOR


WALK = """query($after: String) {
    calls(first: 1, after: $after) { nodes { sid } pageInfo { endCursor } } }"""


async def end_cursor(client: Client) -> str:
    """The first row's cursor."""
    cursor: str = (await client.data(WALK))["calls"]["pageInfo"]["endCursor"]
    return cursor


async def next_sid(client: Client, cursor: str) -> str:
    """The row after the cursor."""
    after: str = (await client.data(WALK, after=cursor))["calls"]["nodes"][0]["sid"]
    return after


def account() -> PlainTwilio:
    """Two calls."""
    return PlainTwilio(calls=[call(2), call(1)])


async def test_a_cursor_survives_a_restart_and_is_valid_at_every_gateway_of_the_account() -> None:
    async with connect(account()) as one, connect(account()) as other:
        cursor = await end_cursor(one)
        assert await next_sid(other, cursor) == sid("CA", 1)
    async with connect(account()) as later:
        assert await next_sid(later, cursor) == sid("CA", 1)


async def test_with_a_secret_of_its_own_a_cursor_outlives_a_change_of_the_credential() -> None:
    secret = Secret("a secret for cursors")
    changed = settings_of(
        account_sid=ACCOUNT,
        api_key="SK" + "c" * 32,
        api_secret=Secret("another"),
        cursor_secret=secret,
    )
    async with connect(account(), cursor_secret=secret) as client:
        cursor = await end_cursor(client)
    async with open_gateway(changed, account()) as gateway:
        assert await next_sid(Client(gateway), cursor) == sid("CA", 1)


async def test_without_one_a_change_of_the_credential_ends_it_and_nothing_is_sent() -> None:
    changed = settings_of(account_sid=ACCOUNT, auth_token=Secret("another"))
    async with connect(account()) as client:
        cursor = await end_cursor(client)
    twilio = account()
    async with open_gateway(changed, twilio) as gateway:
        error = await Client(gateway).error(WALK, after=cursor)

    assert error["extensions"] == {"code": "INVALID_CURSOR"}
    assert twilio.asked() == []
