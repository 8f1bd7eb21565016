"""The example data: two weeks of a call centre up to the last midnight (UTC), of any size.

This module decides when contacts happen; fixtures has what happens in each, parties who takes
part. It yields rows roughly in order of creation, so that any size fits in memory.
"""

from collections.abc import Iterator
from itertools import accumulate
from random import Random

from gateway.sandbox import fixtures
from gateway.sandbox.fixture_builder import FixtureBuilder
from gateway.sandbox.fixtures import Fixture
from gateway.sandbox.resources import CallRow, Row

HOUR = 3600
DAY = 24 * HOUR
DAYS = 14
SHOWN = 30 * 60
"""The last seconds before midnight are laid out by hand: they are the first page."""

_HOURS = (2, 1, 1, 1, 1, 1, 2, 6, 14, 22, 25, 24, 26, 38, 52, 60, 58, 54, 50, 48, 40, 28, 12, 5)
"""Contacts by hour of the day, UTC: London in the morning, New York from 13 h."""
_WEEKDAYS = (1.2, 1.1, 1.0, 1.0, 0.95, 0.3, 0.18)
_BY_DAY: dict[Fixture, int] = {
    fixtures.answered: 34,
    fixtures.campaign: 22,
    fixtures.abandoned: 10,
    fixtures.hunted: 8,
    fixtures.transferred: 7,
    fixtures.browser: 7,
    fixtures.voicemail: 4,
    fixtures.broken: 2,
    fixtures.trunked: 2,
    fixtures.undialable: 1,
    fixtures.misused: 1,
    fixtures.conference: 1,
    fixtures.orphaned: 1,
}
_BY_NIGHT: dict[Fixture, int] = {
    fixtures.voicemail: 60,
    fixtures.abandoned: 25,
    fixtures.answered: 15,
}
_SHOWCASE: tuple[tuple[int, Fixture], ...] = (
    (400, fixtures.escalated),
    (450, lambda builder, at: fixtures.campaign(builder, at, "completed", queue_time=7000)),
    (470, fixtures.answered),
    (500, fixtures.hunted),
    (525, lambda builder, at: fixtures.campaign(builder, at, "no-answer", queue_time=0)),
    (540, fixtures.waiting),
    (560, fixtures.broken),
    (580, fixtures.answered),
    (610, fixtures.browser),
    (640, lambda builder, at: fixtures.campaign(builder, at, "busy")),
    (670, fixtures.voicemail),
    (700, fixtures.trunked),
    (730, lambda builder, at: fixtures.campaign(builder, at, "completed")),
    (760, fixtures.undialable),
    (800, fixtures.answered),
    (840, fixtures.conference),
    (880, fixtures.hunted),
    (930, lambda builder, at: fixtures.campaign(builder, at, "failed")),
    (960, lambda builder, at: fixtures.campaign(builder, at, "canceled")),
    (1000, fixtures.answered),
    (1060, fixtures.transferred),
    (1110, fixtures.voicemail),
    (1150, fixtures.browser),
    (1190, fixtures.answered),
    *((1230 + 30 * number, fixtures.abandoned) for number in range(12)),
)
"""Seconds before midnight, and what happens then: 53 to 58 calls. The contacts of one call come
last, so that a page of 50 ends among them and no leg on it has its parent on the next."""


def example_rows(calls: int, seed: int, now: int) -> Iterator[Row]:
    """Exactly ``calls`` calls with their recordings and notifications, up to the last midnight.

    ``now`` is in seconds since 1970, UTC; only its day matters. SIDs are the same on every day.
    """
    midnight = now // DAY * DAY
    showcase = _showcase(seed, calls, midnight)
    yield from history_rows(calls - _count_calls(showcase), seed, midnight - SHOWN)
    yield from showcase


def _count_calls(rows: list[Row]) -> int:
    return sum(isinstance(row, CallRow) for row in rows)


def _showcase(seed: int, calls: int, midnight: int) -> list[Row]:
    """The last half hour in order of time. If ``calls`` is small, only the newest fixtures fit."""
    rng = Random(f"{seed}/showcase")  # noqa: S311 - examples are no secrets
    builder = FixtureBuilder(rng, midnight, is_shown=True)
    chosen, remaining = list[list[Row]](), calls
    for ago, fixture in _SHOWCASE:
        rows = fixture(builder, midnight - ago)
        if _count_calls(rows) <= remaining:
            chosen.append(rows)
            remaining -= _count_calls(rows)
    return [row for rows in reversed(chosen) for row in rows]


def history_rows(calls: int, seed: int, end: int) -> Iterator[Row]:
    """Exactly ``calls`` finished calls, whose contacts begin in the two weeks to ``end``.

    Each day has its own generator, chosen by its place in a calendar of two weeks. So a day keeps
    its contacts while it grows older, and comes back after two weeks.
    """
    days = range(end - DAYS * DAY, end, DAY)
    quotas = _quotas(days, calls)
    for day in days:
        number = _day_number(day)
        rng = Random(f"{seed}/{calls}/{number}")  # noqa: S311 - examples are no secrets
        yield from _day(FixtureBuilder(rng, end + SHOWN), day, quotas[number])


def _day_number(day: int) -> int:
    return day // DAY % DAYS


def _quotas(days: range, calls: int) -> dict[int, int]:
    """How many calls each day has, by its number; the same whichever day is the first."""
    ordered = sorted(days, key=_day_number)
    busyness = [sum(map(_busyness, range(day, day + DAY, HOUR))) for day in ordered]
    shares = [0.0, *accumulate(busyness)]
    due = [round(calls * share / shares[-1]) for share in shares]
    return {_day_number(day): due[at + 1] - due[at] for at, day in enumerate(ordered)}


def _day(builder: FixtureBuilder, day: int, calls: int) -> Iterator[Row]:
    """A day's calls: each hour fills up to its cumulative share of them."""
    hours = range(day, day + DAY, HOUR)
    shares = list(accumulate(map(_busyness, hours)))
    count = 0
    for hour, share in zip(hours, shares, strict=True):
        due = round(calls * share / shares[-1])
        while count < due:
            begin = hour + builder.rng.randrange(HOUR)
            rows = _fixture(builder, hour)(builder, begin)
            if count + _count_calls(rows) > calls:
                rows = fixtures.abandoned(builder, begin)
            count += _count_calls(rows)
            yield from rows


def _busyness(moment: int) -> float:
    day, hour = divmod(moment // HOUR, 24)
    return _HOURS[hour] * _WEEKDAYS[(day + 3) % 7]  # 1970 began on a Thursday


def _fixture(builder: FixtureBuilder, moment: int) -> Fixture:
    kinds = _BY_DAY if _busyness(moment) > 6 else _BY_NIGHT
    return builder.rng.choices(tuple(kinds), tuple(kinds.values()))[0]
