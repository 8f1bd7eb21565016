"""A character that cannot be read costs that character: U+FFFD stands for it."""

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamError, UpstreamInvalid
from gateway.upstream.calls import CALLS, FetchCall, ListCalls
from gateway.upstream.decoding import list_of, row_of
from gateway.upstream.notifications import FetchNotification, ListNotifications
from gateway.upstream.recordings import FetchRecording, ListRecordings
from gateway.upstream.requests import FetchRequest, ListRequest
from gateway.upstream.resources import Resource
from gateway.upstream.writes import make_call
from tests.plain_twilio import ACCOUNT, Row, call, notification, recording, sid
from tests.upstream.stage import answering, connected

BAD: dict[str, tuple[bytes, str]] = {
    "a byte that begins nothing": (b"\xff", "\ufffd"),
    "Latin-1": (b"\xe9", "\ufffd"),
    "half a character": (b"\xc3", "\ufffd"),
    "an overlong slash": (b"\xc0\xaf", "\ufffd\ufffd"),
    "a surrogate in UTF-8": (b"\xed\xa0\xbd", "\ufffd\ufffd\ufffd"),
    "the first half of a pair": (rb"\ud83d", "\ufffd"),
    "the second half of a pair": (rb"\uDE00", "\ufffd"),
    "two first halves": (rb"\ud83d\ud83d", "\ufffd\ufffd"),
    "a pair the wrong way round": (rb"\ude00\ud83d", "\ufffd\ufffd"),
    "a first half before a pair": (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
    "an escape that is none": (rb"\x", "\ufffd"),
    "an escape that is cut short": (rb"\u00z", "\ufffd00z"),
    "a bell": (b"\x07", "\x07"),
    "a line break": (b"\n", "\n"),
    "a NUL": (b"\0", "\0"),
}
GOOD: dict[str, tuple[bytes, str]] = {
    "a pair": (rb"\ud83d\ude00", "\U0001f600"),
    "four bytes": ("\U0001f600".encode(), "\U0001f600"),
    "a backslash before what looks like half a pair": (rb"\\ud83d", r"\ud83d"),
    "a quotation mark": (rb"\"", '"'),
    "the last character before the surrogates": (rb"\ud7ff", "\ud7ff"),
    "the first one after them": (rb"\ue000", "\ue000"),
}
EACH_BAD = pytest.mark.parametrize("name", BAD)
MARK = "MARK"


TEXTS = {
    "calls": (
        "to", "from", "phone_number_sid", "price_unit", "forwarded_from", "caller_name", "uri",
    ),
    "recordings": ("conference_sid", "price_unit", "media_url", "uri"),
    "notifications": (
        "message_text", "more_info", "request_method", "request_url", "request_variables",
        "response_body", "response_headers", "uri",
    ),
}  # fmt: skip


Kind = tuple[ListRequest[Any], FetchRequest[Any], Row, Row]
KINDS: dict[str, Kind] = {
    "calls": (ListCalls(), FetchCall(sid=sid("CA", 1)), call(1), call(2)),
    "recordings": (
        ListRecordings(),
        FetchRecording(sid=sid("RE", 1)),
        recording(1, of=1),
        recording(2, of=1),
    ),
    "notifications": (
        ListNotifications(),
        FetchNotification(sid=sid("NO", 1)),
        notification(1, of=1),
        notification(2, of=1),
    ),
}
EACH_TEXT = pytest.mark.parametrize(
    ("kind", "property_"), [(kind, name) for kind, names in TEXTS.items() for name in names]
)


def marked(value: Any, text: bytes) -> bytes:
    """The JSON of a row or an envelope with these bytes in place of MARK."""
    return json.dumps(value).encode().replace(MARK.encode(), text)


def attribute(row: Resource, property_: str) -> Any:
    """A property by its name on the wire."""
    return getattr(row, {"from": "from_"}.get(property_, property_))


@EACH_TEXT
@pytest.mark.parametrize("name", BAD | GOOD)
async def test_a_character_costs_itself_in_every_text_of_a_list_and_of_a_single_row(
    kind: str, property_: str, name: str
) -> None:
    wanted, single, one, two = KINDS[kind]
    text, read = (BAD | GOOD)[name]
    odd = one | dict.fromkeys(TEXTS[kind], "whole") | {property_: f"a{MARK}z"}
    async with connected(answering(200, marked({kind: [odd, two]}, text))) as client:
        page = await client.page(wanted)
    async with connected(answering(200, marked(odd, text))) as client:
        fetched = await client.fetch(single)

    assert fetched is not None
    for row in (page.rows[0], fetched):
        assert attribute(row, property_) == f"a{read}z"
        others = {attribute(row, other) for other in TEXTS[kind] if other != property_}
        assert others == {"whole"}
    assert page.rows[1].sid == two["sid"]
    assert (page.rows_read, page.left_out) == (2, 0)


@EACH_BAD
async def test_a_call_that_was_made_is_answered_whatever_its_name_is(name: str) -> None:
    """It has been placed: no character of its row makes that uncertain."""
    text, read = BAD[name]
    body = marked(call(1, caller_name=MARK), text)
    async with connected(answering(201, body)) as client:
        made = await client.send(make_call((("To", "+1"),)))

    assert (made.sid, made.caller_name) == (sid("CA", 1), read)


@EACH_BAD
async def test_a_refusal_keeps_its_numbers_whatever_it_says(name: str) -> None:
    text, _ = BAD[name]
    refusal = {"message": f"'{MARK}' is no number", "code": 21211, "more_info": f"x{MARK}"}
    async with connected(answering(400, marked(refusal, text))) as client:
        with pytest.raises(UpstreamError) as caught:
            await client.page(ListCalls())

    assert caught.value.extensions["twilioCode"] == 21211


@EACH_BAD
async def test_a_bad_character_and_a_bad_row_on_one_page(name: str) -> None:
    """Each costs its own place."""
    text, read = BAD[name]
    rows = [5, call(1, caller_name=MARK), {"sid": MARK}, call(2, status=MARK), call(3, price=MARK)]
    async with connected(answering(200, marked({"calls": rows}, text))) as client:
        page = await client.page(ListCalls())

    assert [row.sid for row in page.rows] == [sid("CA", n) for n in (1, 2, 3)]
    assert (page.rows[0].caller_name, page.left_out) == (read, 2)
    assert page.rows[1].status.value == "unknown"
    with pytest.raises(UpstreamInvalid):
        _ = page.rows[2].price


async def test_a_byte_order_mark_before_the_body_costs_nothing() -> None:
    body = b"\xef\xbb\xbf" + json.dumps({"calls": [call(1)]}).encode()
    async with connected(answering(200, body)) as client:
        assert [row.sid for row in (await client.page(ListCalls())).rows] == [sid("CA", 1)]


NO_ESCAPES = (rb"\x", rb"\u00z")  # which the standard library refuses
PIECES = st.lists(
    st.one_of(
        st.sampled_from([text for text, _ in (BAD | GOOD).values() if text not in NO_ESCAPES]),
        st.text(st.characters(exclude_characters='"\\', codec="utf-8")).map(str.encode),
        st.binary(max_size=4).map(lambda text: text.translate(None, b'"\\')),
    ),
    max_size=8,
).map(b"".join)


def plain(text: bytes) -> str:
    """The standard library's reading, which takes everything but bad bytes; the oracle."""
    lenient = json.loads(f'"{text.decode("utf-8", "replace")}"', strict=False)
    return re.sub("[\ud800-\udfff]", "\ufffd", str(lenient))


@given(PIECES, st.booleans())
def test_a_text_is_read_as_the_plain_way_reads_it(text: bytes, is_pretty: bool) -> None:
    value = {"calls": [call(1, caller_name=MARK, to="x\\y"), call(2, caller_name=f"{MARK}!")]}
    body = json.dumps(value, indent=2 if is_pretty else None).encode()
    one, two = list_of(CALLS, body.replace(MARK.encode(), text), ACCOUNT).rows

    assert one.caller_name == (plain(text) or None)
    assert two.caller_name == plain(text) + "!"
    assert (one.to, two.to) == ("x\\y", "+18005550100")
    (one.caller_name or "").encode()


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_whatever_the_bytes_are_they_are_rows_or_upstream_invalid(one: bytes, two: bytes) -> None:
    row = json.dumps(call(1)).encode()
    for body in (one, b'{"calls": [' + row + one + row + two + b"]}", one + row + two):
        with suppress(UpstreamInvalid):
            list_of(CALLS, body, ACCOUNT)
        with suppress(UpstreamInvalid):
            row_of(CALLS, body, None, ACCOUNT)


@pytest.mark.timeout(20)
def test_a_long_body_of_nothing_but_escapes_is_read_in_time() -> None:
    """No way of reading is quadratic: not even where the text never ends."""
    beginning = b'{"calls": ["\x07'
    for body in (beginning + rb"\"" * 500_000, beginning + rb"\ud83d" * 200_000):
        with pytest.raises(UpstreamInvalid):
            list_of(CALLS, body, ACCOUNT)
