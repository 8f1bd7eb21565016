"""The example data: two weeks of a call centre, deterministic and of any size.

This module decides when contacts happen; fixtures has what happens in each, parties who takes
part. It yields rows roughly in order of creation, so that any size fits in memory.
"""

from collections.abc import Iterator
from itertools import accumulate
from random import Random

from gateway.sandbox import fixtures
from gateway.sandbox.fixtures import Fixture, FixtureBuilder
from gateway.sandbox.resources import CallRow, Row

HOUR = 3600
DAYS = 14
SHOWN = 30 * 60
"""The last seconds before now are laid out by hand, so that the newest page has every kind."""

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
    (2, lambda builder, at: fixtures.campaign(builder, at, "completed", queue_time=7000)),
    (4, fixtures.answered),
    (9, fixtures.hunted),
    (14, lambda builder, at: fixtures.campaign(builder, at, "no-answer", queue_time=0)),
    (22, fixtures.transferred),
    (35, fixtures.browser),
    (50, fixtures.answered),
    (65, fixtures.voicemail),
    (80, lambda builder, at: fixtures.campaign(builder, at, "busy")),
    (95, fixtures.hunted),
    (120, fixtures.trunked),
    (140, lambda builder, at: fixtures.campaign(builder, at, "canceled")),
    (150, fixtures.transferred),
    (170, lambda builder, at: fixtures.campaign(builder, at, "failed")),
    (190, fixtures.answered),
    (240, fixtures.broken),
    (290, fixtures.conference),
    (320, lambda builder, at: fixtures.campaign(builder, at, "completed")),
    (360, fixtures.undialable),
    (420, fixtures.voicemail),
    (480, fixtures.orphaned),
    (540, fixtures.transferred),
    (660, fixtures.hunted),
    (720, lambda builder, at: fixtures.campaign(builder, at, "completed")),
    (780, fixtures.misused),
    (840, fixtures.answered),
    (960, fixtures.browser),
    (1080, lambda builder, at: fixtures.campaign(builder, at, "no-answer")),
    (1200, fixtures.answered),
    (1380, fixtures.transferred),
    (1560, fixtures.abandoned),
    (1740, fixtures.hunted),
)


def example_rows(calls: int, seed: int, now: int) -> Iterator[Row]:
    """Exactly ``calls`` calls with their recordings and notifications, in the two weeks to now.

    The same arguments always give the same rows. ``now`` is in seconds since 1970, UTC.
    """
    builder = FixtureBuilder(Random(f"{seed}/{calls}/{now}"), now)  # noqa: S311 - examples are no secrets
    showcase = _showcase(builder, calls)
    yield from _history(builder, calls - _count_calls(showcase))
    yield from showcase


def _count_calls(rows: list[Row]) -> int:
    return sum(isinstance(row, CallRow) for row in rows)


def _showcase(builder: FixtureBuilder, calls: int) -> list[Row]:
    """The last half hour in order of time. If ``calls`` is small, only the newest fixtures fit."""
    chosen, remaining = list[list[Row]](), calls
    for ago, fixture in _SHOWCASE:
        rows = fixture(builder, builder.now - ago)
        if _count_calls(rows) <= remaining:
            chosen.append(rows)
            remaining -= _count_calls(rows)
    return [row for rows in reversed(chosen) for row in rows]


def _history(builder: FixtureBuilder, calls: int) -> Iterator[Row]:
    """The time before the showcase: each hour fills up to its cumulative share of the calls."""
    hours = range(builder.now - SHOWN - DAYS * 24 * HOUR, builder.now - SHOWN, HOUR)
    shares = list(accumulate(_busyness(hour) for hour in hours))
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
