"""Rows are read leniently: a bad value costs its own field, never the row.

See docs/design/schema.md#6-values.
"""

import json
import logging
import types
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamInvalid
from gateway.settings import Secret
from gateway.upstream.calls import AnsweredBy, CallDirection, CallResource, CallStatus
from gateway.upstream.client import Account
from gateway.upstream.notifications import NotificationLevel, NotificationResource
from gateway.upstream.recordings import RecordingResource, RecordingSource
from gateway.upstream.resources import LazyField, Resource, row_type
from tests.plain_twilio import ACCOUNT, TOKEN, call, sid
from tests.settings import settings_of
from tests.upstream.stage import row

FIVE_PM = datetime(2019, 10, 18, 17, tzinfo=UTC)
PROPERTIES = [
    "account_sid", "date_created", "date_updated", "uri", "parent_call_sid", "to", "from_",
    "phone_number_sid", "start_time", "end_time", "duration", "price", "price_unit",
    "answered_by", "forwarded_from", "caller_name",
]  # fmt: skip
ALWAYS = {"status": CallStatus.UNKNOWN, "direction": CallDirection.UNKNOWN}


@pytest.mark.parametrize("name", PROPERTIES)
def test_empty_null_and_absent_mean_null(name: str) -> None:
    assert getattr(row(CallResource, **{name: ""}), name) is None
    assert getattr(row(CallResource, **{name: None}), name) is None
    assert getattr(row(CallResource), name) is None


@pytest.mark.parametrize("name", ALWAYS)
@pytest.mark.parametrize("value", ["", None, ..., 4, ["busy"], {"a": 1}, True], ids=str)
def test_what_every_call_has_is_unknown_where_upstream_does_not_tell_it(
    name: str, value: Any
) -> None:
    read = row(CallResource, **({} if value is ... else {name: value}))

    assert getattr(read, name) is ALWAYS[name]
    with pytest.raises(UpstreamInvalid):
        getattr(CallResource, name).strict_value(read)


def test_what_upstream_tells_is_told() -> None:
    read = row(CallResource, status="busy", direction="sideways", caller_name="")

    assert CallResource.status.strict_value(read) is CallStatus.BUSY
    assert CallResource.direction.strict_value(read) is CallDirection.UNKNOWN
    assert CallResource.caller_name.strict_value(read) is None


def test_absent_is_told_from_empty_where_it_matters() -> None:
    """The account's form of a recording has no `track` at all: it must be fetched, not null."""
    assert RecordingResource.track.is_absent(row(RecordingResource))
    assert not RecordingResource.track.is_absent(row(RecordingResource, track=None))
    assert not RecordingResource.track.is_absent(row(RecordingResource, track=""))


def test_a_call_as_twilio_sends_it() -> None:
    sent = call(7, answered_by="machine_start", parent_call_sid=sid("CA", 3), price="-0.03000")
    read = msgspec.json.decode(json.dumps(sent).encode(), type=CallResource)

    assert (read.sid, read.id) == (sid("CA", 7), sid("CA", 7))
    assert read.account_sid == ACCOUNT
    assert read.parent_call_sid == sid("CA", 3)
    assert (read.to, read.from_) == ("+18005550100", "+16175550101")
    assert (read.status, read.direction) == (CallStatus.COMPLETED, CallDirection.INBOUND)
    assert read.answered_by is AnsweredBy.MACHINE_START
    assert read.start_time == datetime(2026, 3, 10, 12, tzinfo=UTC)
    assert read.duration == 60
    assert str(read.price) == "-0.03000"
    assert read.forwarded_from is None


@pytest.mark.parametrize("text", ["-0.03000", "-0.200", "0", "+1.5", "123456789012345.000001"])
def test_money_keeps_every_digit(text: str) -> None:
    assert row(CallResource, price=text).price == Decimal(text)
    assert str(row(CallResource, price=text).price) == text.lstrip("+")


@pytest.mark.parametrize(
    "text",
    [
        "Fri, 18 Oct 2019 17:00:00 +0000",
        "Fri, 18 Oct 2019 18:00:00 +0100",
        "Fri, 18 Oct 2019 12:30:00 -0430",
        "Fri, 18 Oct 2019 17:00:00 GMT",
        "Fri, 18 Oct 2019 17:00:00 -0000",
        "Fri, 18 Oct 2019 17:00:00",
        "18 Oct 2019 17:00:00 +0000",
    ],
)
def test_times_are_utc_whatever_their_offset(text: str) -> None:
    """A zone is converted, not dropped; none at all is GMT, as Twilio documents.

    See docs/twilio.md#1-surprising-facts, fact 17.
    """
    moment = row(CallResource, start_time=text).start_time

    assert moment == FIVE_PM
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(("value", "seconds"), [("15", 15), ("0", 0), (15, 15), ("-1", -1)])
def test_a_duration_is_a_number_though_it_comes_as_text(value: Any, seconds: int) -> None:
    assert row(CallResource, duration=value).duration == seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start_time", "yesterday"),
        ("start_time", "2019-10-18T17:00:00Z"),
        ("start_time", "Fri, 99 Oct 2019 17:00:00 +0000"),
        ("start_time", "Fri, 18 Oct 2019 25:00:00 +0000"),
        ("start_time", "Fri, 18 Oct 2019 17:00:00 +9999"),
        ("start_time", "Fri, 31 Dec 9999 23:30:00 -0100"),
        ("start_time", 1571418000),
        ("start_time", []),
        ("start_time", {"at": 1}),
        ("duration", "fifteen"),
        ("duration", "1.5"),
        ("duration", 15.0),
        ("duration", True),
        ("duration", "9" * 30),
        ("duration", 10**30),
        ("duration", "٣"),
        ("price", "free"),
        ("price", "NaN"),
        ("price", "1e9"),
        ("price", "9" * 40),
        ("price", True),
        ("price", []),
        ("to", 18005550100),
        ("from_", {}),
        ("parent_call_sid", "CAshort"),
        ("parent_call_sid", sid("CA", 1) + "/../x"),
        ("parent_call_sid", 5),
        ("account_sid", sid("CA", 1)),
        ("uri", False),
    ],
)
def test_a_bad_value_raises_when_it_is_read_and_names_its_property_only(
    name: str, value: Any
) -> None:
    read = row(CallResource, **({"caller_name": "Alice"} | {name: value}))

    assert read.caller_name == "Alice"
    with pytest.raises(UpstreamInvalid) as caught:
        getattr(read, name)
    assert str(caught.value) == f"Upstream sent a {name.rstrip('_')} that cannot be read"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("a"), inner),
    max_leaves=3,
)  # fmt: skip
DATES = st.from_regex(
    r"([A-Z][a-z]{2}, )?[0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,5} [0-9:]{0,9} ?([+-][0-9]{0,5}|GMT)?",
    fullmatch=True,
)


@given(st.sampled_from([*PROPERTIES, *ALWAYS]), JSON | DATES)
def test_whatever_upstream_sends_is_a_value_null_or_upstream_invalid(name: str, value: Any) -> None:
    read = row(CallResource, **{name: value})
    with suppress(UpstreamInvalid):
        getattr(read, name)


USUAL = st.sampled_from(
    ["", "+15550001", "busy", "inbound", "15", "-0.0300", "Fri, 18 Oct 2019 17:00:00 +0000"]
)


@given(st.sampled_from([*PROPERTIES, *ALWAYS]), st.lists(USUAL | JSON | DATES))
def test_a_column_is_the_property_of_each_row(name: str, values: list[Any]) -> None:
    """Or it raises, where a value is unreadable; then each row is read by itself."""
    rows = [row(CallResource, **{name: value}) for value in values]
    column = COLUMNS[name]
    try:
        expected = [None if (read := getattr(each, name)) is None else str(read) for each in rows]
    except UpstreamInvalid:
        with pytest.raises((UpstreamInvalid, TypeError)):
            column(rows)
        return
    if any(isinstance(value, list | dict) for value in values):  # unreadable, but has a default
        with pytest.raises(TypeError):
            column(rows)
        return

    assert column(rows) == expected
    assert column(rows) == expected  # what is kept of the first time is the same


COLUMNS = {name: getattr(CallResource, name).column(str) for name in [*PROPERTIES, *ALWAYS]}


@given(st.from_regex(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} [+]0000") | DATES)
def test_dates_are_read_as_the_standard_library_reads_them(text: str) -> None:
    try:
        expected = parsedate_to_datetime(text)
    except ValueError:
        with pytest.raises(UpstreamInvalid):
            _ = row(CallResource, start_time=text or "x").start_time
        return

    moment = row(CallResource, start_time=text).start_time
    assert moment == (expected if expected.tzinfo else expected.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("kind", "name", "unknown"),
    [
        (CallResource, "status", CallStatus.UNKNOWN),
        (CallResource, "direction", CallDirection.UNKNOWN),
        (CallResource, "answered_by", AnsweredBy.UNKNOWN),
        (RecordingResource, "source", RecordingSource.UNKNOWN),
        (NotificationResource, "log", NotificationLevel.UNKNOWN),
    ],
)
def test_a_value_younger_than_this_gateway_is_unknown_with_one_log_line(
    kind: type[Resource], name: str, unknown: Enum, caplog: pytest.LogCaptureFixture
) -> None:
    new = f"teleported-{name}"  # of this test only: the line comes once in a process

    with caplog.at_level(logging.WARNING, "gateway"):
        read = [getattr(row(kind, **{name: new}), name) for _ in range(3)]

    assert read == [unknown] * 3
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"upstream sent an unknown {type(unknown).__name__}: {new!r}"]


def test_an_unknown_value_can_neither_forge_nor_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hostile = "x\nWARNING forged" + "y" * 10_000

    with caplog.at_level(logging.WARNING, "gateway"):
        assert row(CallResource, status=hostile).status is CallStatus.UNKNOWN

    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert len(record.getMessage()) < 100


@pytest.mark.parametrize("kind", [CallResource, RecordingResource, NotificationResource])
@pytest.mark.parametrize("bad", ["", "CA1", "XX" + "0" * 32, 7, None, "CA" + "0" * 32 + "\n"])
def test_a_row_without_its_sid_is_no_row(kind: type[Resource], bad: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps({"sid": bad}).encode(), type=kind)


def test_properties_that_nobody_knows_are_ignored() -> None:
    assert row(CallResource, stir_verstat="A", subresource_uris={}, sip=[1]).to is None


def test_a_row_is_made_of_a_class_body_without_annotations() -> None:
    """Since Python 3.14 no class body has `__annotations__` while the class is made (PEP 649)."""
    price = LazyField(_amount)
    body: Any = types.new_class("Made", (Resource,), {}, lambda given: given.update(price=price))
    assert "__annotations__" not in vars(body)
    made: type[Any] = row_type("CA")(body)

    text = json.dumps({"sid": sid("CA", 1), "price": "1.50", "uri": "/", "account_sid": ACCOUNT})
    read: Any = msgspec.json.decode(text, type=made)
    assert (read.sid, read.id, read.price) == (sid("CA", 1), sid("CA", 1), Decimal("1.50"))
    assert (read.uri, read.account_sid, read.date_created) == ("/", ACCOUNT, None)
    assert price.is_absent(msgspec.json.decode(json.dumps({"sid": sid("CA", 1)}), type=made))
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps({"sid": sid("RE", 1)}), type=made)


def _amount(value: Any) -> Decimal:
    return Decimal(str(value))


@pytest.mark.parametrize("kind", [CallResource, RecordingResource, NotificationResource])
def test_the_rows_that_there_are_need_none_either(kind: type[Resource]) -> None:
    body = kind.__mro__[1]

    assert (body.__name__, vars(body).get("__annotations__")) == (kind.__name__, None)
    assert kind.__doc__ == body.__doc__
    with pytest.raises(AttributeError):
        row(kind).sid = "another"
    assert not hasattr(row(kind), "__dict__")


def test_what_holds_a_secret_shows_none() -> None:
    secret = Secret(TOKEN)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        repr(Account(ACCOUNT, ACCOUNT, secret)),
        repr(settings_of(account_sid=ACCOUNT, auth_token=secret)),
        str(settings_of(account_sid=ACCOUNT, api_key="SK" + "0" * 32, api_secret=secret)),
    ]

    assert secret.reveal() == TOKEN
    assert not [text for text in shown if TOKEN in text]
    assert all("**" in text for text in shown)
