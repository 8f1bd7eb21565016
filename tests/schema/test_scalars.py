"""DateTime and Date as inputs: all of RFC 3339, and the values that are read."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.errors import BadUserInput
from gateway.schema.scalars import SCALARS
from gateway.upstream.date_ranges import DateTimeRange
from tests.conftest import connect
from tests.plain_twilio import PlainTwilio, call

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FILTERED = "query($t: CallTimeRange) { calls(filter: {startTime: $t}) { nodes { sid } } }"


def read(text: Any) -> datetime:
    """The value that the scalar reads from a text."""
    parse = SCALARS[datetime].parse_value
    assert parse
    moment: datetime = parse(text)
    return moment


def read_day(text: Any) -> date:
    """The value that Date reads from a text."""
    parse = SCALARS[date].parse_value
    assert parse
    day: date = parse(text)
    return day


READ = {
    "2026-01-31T09:00:00Z": "2026-01-31T09:00:00+00:00",
    "2026-01-31t09:00:00z": "2026-01-31T09:00:00+00:00",
    "2026-01-31 09:00:00Z": "2026-01-31T09:00:00+00:00",
    "2026-01-31T09:00:00-00:00": "2026-01-31T09:00:00+00:00",
    "2026-01-31T09:00:00+05:30": "2026-01-31T03:30:00+00:00",
    "2026-01-31T09:00:00-23:59": "2026-02-01T08:59:00+00:00",
    "2026-01-31T09:00:00.5Z": "2026-01-31T09:00:00.500000+00:00",
    "2026-01-31T09:00:00.000001000000000000000Z": "2026-01-31T09:00:00.000001+00:00",
    "2026-01-31T09:00:00.0000011Z": "2026-01-31T09:00:00.000002+00:00",
    "2026-01-31T09:00:00." + "0" * 5000 + "1Z": "2026-01-31T09:00:00.000001+00:00",
    "2026-01-31T23:59:59.9999999Z": "2026-02-01T00:00:00+00:00",
    "2016-12-31T23:59:60Z": "2017-01-01T00:00:00+00:00",
    "2016-12-31T23:59:60.25Z": "2017-01-01T00:00:00.250000+00:00",
    "1990-12-31T15:59:60-08:00": "1991-01-01T00:00:00+00:00",
    "2015-07-01T05:29:60+05:30": "2015-07-01T00:00:00+00:00",
    "2024-02-29T00:00:00Z": "2024-02-29T00:00:00+00:00",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00+00:00",
    "0001-01-01T00:00:00-01:00": "0001-01-01T01:00:00+00:00",
    "9999-12-31T23:59:59.999999Z": "9999-12-31T23:59:59.999999+00:00",
    "9999-12-31T23:59:59+01:00": "9999-12-31T22:59:59+00:00",
}


@pytest.mark.parametrize("text", READ, ids=lambda text: text[:40])
def test_whatever_rfc_3339_allows_is_read(text: str) -> None:
    assert read(text).isoformat() == READ[text]


NO_MOMENT = [
    "", "now", "2026-01-31", "2026-01-31T09:00:00", "2026-01-31T09:00Z", "2026-01-31T09:00:00.Z",
    "2026-1-31T09:00:00Z", "20260131T090000Z", "2026-W05-6T09:00:00Z", "2026-031T09:00:00Z",
    "2026-01-31T09:00:00+0530", "2026-01-31T09:00:00+05", "2026-01-31T09:00:00+05:3",
    "2026-01-31T09:00:00,5Z", " 2026-01-31T09:00:00Z", "2026-01-31T09:00:00Z\n",
    "2026-01-31_09:00:00Z", "2026-01-31T09:00:00+24:00", "2026-01-31T09:00:00+22:60",
    "2026-01-31T24:00:00Z", "2026-01-31T09:60:00Z", "2026-01-31T09:00:61Z", "2026-02-30T09:00:00Z",
    "2026-13-01T09:00:00Z", "2026-00-01T09:00:00Z", "2026-01-00T09:00:00Z", "2025-02-29T00:00:00Z",
    "+2026-01-31T09:00:00Z", "２０２６-01-31T09:00:00Z", "2026-01-31T09:00:00Z[UTC]",
    # A minute with 61 seconds is the last of a month, in UTC.
    "2026-01-31T09:00:60Z", "2016-12-30T23:59:60Z", "2016-12-31T23:59:60-01:00",
    "2016-12-31T23:58:60Z",
    # Outside the range of dates.
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
    "9999-12-31T23:59:60Z", "9999-12-31T23:59:59.9999991Z", "10000-01-01T00:00:00Z",
]  # fmt: skip


@pytest.mark.parametrize("text", [*NO_MOMENT, None, 5, 1.5, True, [], {}], ids=repr)
async def test_an_invalid_datetime_is_bad_input(text: Any) -> None:
    """Never an internal error, in each bound; only null means that there is no bound."""
    with pytest.raises(BadUserInput):
        read(text)
    if text is not None:
        for bound in ("gte", "lt"):
            async with connect(PlainTwilio()) as client:
                answer = await client.answer(FILTERED, t={bound: text})
            assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}


@pytest.mark.parametrize("text", ["2026-01-31", "0001-01-01", "9999-12-30", "2024-02-29"])
def test_a_day_is_read(text: str) -> None:
    assert read_day(text).isoformat() == text


@pytest.mark.parametrize(
    "text", ["", "2026-02-30", "0000-01-01", "9999-12-31", "26-01-31", "2026-01-31T00:00:00Z", 5]
)
async def test_whatever_is_no_day_is_bad_input(text: Any) -> None:
    """The end of the last day cannot be represented."""
    with pytest.raises(BadUserInput):
        read_day(text)
    async with connect(PlainTwilio()) as client:
        error = await client.error(FILTERED, t={"on": text})
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, Fraction]:
    """A text that RFC 3339 allows, and its seconds since 1970 in UTC, exactly."""
    day = draw(st.dates(date(1, 1, 1), date(9999, 12, 31)))
    hour, minute, second = (draw(st.integers(0, most)) for most in (23, 59, 59))
    digits = draw(st.text("0123456789", max_size=30) | st.sampled_from(["999999", "9999999"]))
    sign = draw(st.sampled_from("+-"))
    hours, minutes = draw(st.integers(0, 23)), draw(st.integers(0, 59))
    zone = draw(st.sampled_from(["Z", "z", f"{sign}{hours:02}:{minutes:02}"]))
    ahead = 0 if zone in "Zz" else int(f"{sign}1") * (hours * 3600 + minutes * 60)
    if draw(st.booleans()):  # a leap second: the last of a month in UTC
        end = (day.replace(day=1) + timedelta(days=31)).replace(day=1) if day.year < 9999 else None
        if end is not None and end.year > 1:
            local = datetime(end.year, end.month, 1, tzinfo=UTC) + timedelta(seconds=ahead - 60)
            day, hour, minute, second = local.date(), local.hour, local.minute, 60
    separator = draw(st.sampled_from("Tt "))
    fraction = f".{digits}" if digits else ""
    text = f"{day.isoformat()}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{zone}"
    days = day.toordinal() - date(1970, 1, 1).toordinal()
    whole = days * 86400 + hour * 3600 + minute * 60 + second - ahead
    return text, whole + Fraction(int(digits or 0), 10 ** len(digits))


@given(texts())
def test_a_moment_is_the_first_microsecond_that_is_not_before_the_text(
    drawn: tuple[str, Fraction],
) -> None:
    text, exact = drawn
    try:
        moment = read(text)
    except BadUserInput:
        first = (date.min - EPOCH.date()).days * 86400
        end = ((date.max - EPOCH.date()).days + 1) * 86400
        assert not first <= exact <= end - Fraction(1, 10**6)
        return
    assert (moment - EPOCH) // MICROSECOND == ceil(exact * 10**6)
    assert moment.utcoffset() == timedelta(0)


@given(texts(), st.integers(-2, 2))
def test_both_bounds_are_exact(drawn: tuple[str, Fraction], steps: int) -> None:
    """For each moment that upstream could tell of, near the bound: as if all digits were kept."""
    text, exact = drawn
    try:
        bound = read(text)
        moment = bound + steps * MICROSECOND
    except (BadUserInput, OverflowError):
        assume(False)
    at = Fraction((moment - EPOCH) // MICROSECOND, 10**6)

    assert DateTimeRange(gte=bound).contains(moment) == (at >= exact)
    assert DateTimeRange(lt=bound).contains(moment) == (at < exact)


@given(st.from_regex(re.compile(r"[0-9]{4}-[0-1][0-9]-[0-3][0-9][Tt ][0-9:.]{8,14}[Zz+-][0-9:]*")))
def test_any_text_is_a_moment_or_bad_input(text: str) -> None:
    with suppress(BadUserInput):
        assert read(text).tzinfo is UTC


EDGES = {
    "from the first": ({"gte": "0001-01-01T00:00:00Z"}, [1], "StartTime>=0001-01-01"),
    "to the last": ({"lt": "9999-12-31T23:59:59Z"}, [1], ""),
    "to the last day": ({"lt": "9999-12-31T00:00:00Z"}, [1], "StartTime<=9999-12-31"),
    "from the last": ({"gte": "9999-12-31T23:59:59Z"}, [], "StartTime>=9999-12-31"),
    "on the first": ({"on": "0001-01-01"}, [], "StartTime=0001-01-01"),
    "on the last that has an end": ({"on": "9999-12-30"}, [], "StartTime=9999-12-30"),
    "all of it": (
        {"gte": "0001-01-01T00:00:00Z", "lt": "9999-12-31T23:59:59.999999Z"},
        [1],
        "StartTime>=0001-01-01",
    ),
}


@pytest.mark.parametrize("name", EDGES)
async def test_the_edges_of_the_range_of_dates_are_asked_for(name: str) -> None:
    range_, expected, asked = EDGES[name]
    twilio = PlainTwilio(calls=[call(1)])
    async with connect(twilio) as client:
        data = await client.data(FILTERED, t=range_)

    assert len(data["calls"]["nodes"]) == len(expected)
    (request,) = twilio.asked()
    assert asked in request
    assert ("StartTime" in request) == bool(asked)


async def test_a_call_at_the_second_is_in_the_range_by_the_digits_that_are_lost() -> None:
    """One that started at 12:00:00 is before, not at or after, 12:00:00.0000001."""
    twilio = PlainTwilio(calls=[call(1)])
    (row,) = twilio.calls
    async with connect(twilio) as client:
        query = "{ calls { nodes { startTime } } }"
        (found,) = (await client.data(query))["calls"]["nodes"]
        later = found["startTime"].replace("Z", ".0000001Z")
        after = await client.data(FILTERED, t={"gte": later})
        before = await client.data(FILTERED, t={"lt": later})

    assert row["sid"] not in str(after)
    assert row["sid"] in str(before)
