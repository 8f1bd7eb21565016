"""The example calls a newcomer sees: two weeks of a call centre, deterministic and of any size.

Knows when contacts happen; what happens in one is told in scenes, by whom in people. It yields
rows in the order they were created, or near it, so that any size fits in memory.
"""

from collections.abc import Iterator
from itertools import accumulate
from random import Random

from gateway.sandbox import scenes
from gateway.sandbox.resources import CallRow, Row
from gateway.sandbox.scenes import FixtureBuilder, Scene

HOUR = 3600
DAYS = 14
SHOWN = 30 * 60
"""Seconds before now that are laid out by hand, so that the newest page shows every kind."""

_HOURS = (2, 1, 1, 1, 1, 1, 2, 6, 14, 22, 25, 24, 26, 38, 52, 60, 58, 54, 50, 48, 40, 28, 12, 5)
"""Contacts by hour of the day, UTC: London in the morning, New York from 13 h."""
_WEEKDAYS = (1.2, 1.1, 1.0, 1.0, 0.95, 0.3, 0.18)
_BY_DAY: dict[Scene, int] = {
    scenes.answered: 34,
    scenes.campaign: 22,
    scenes.abandoned: 10,
    scenes.hunted: 8,
    scenes.transferred: 7,
    scenes.browser: 7,
    scenes.voicemail: 4,
    scenes.broken: 2,
    scenes.trunked: 2,
    scenes.undialable: 1,
    scenes.misused: 1,
    scenes.conference: 1,
    scenes.orphaned: 1,
}
_BY_NIGHT: dict[Scene, int] = {scenes.voicemail: 60, scenes.abandoned: 25, scenes.answered: 15}
_SHOWCASE: tuple[tuple[int, Scene], ...] = (
    (2, lambda stage, at: scenes.campaign(stage, at, "completed", queue_time=7000)),
    (4, scenes.answered),
    (9, scenes.hunted),
    (14, lambda stage, at: scenes.campaign(stage, at, "no-answer", queue_time=0)),
    (22, scenes.transferred),
    (35, scenes.browser),
    (50, scenes.answered),
    (65, scenes.voicemail),
    (80, lambda stage, at: scenes.campaign(stage, at, "busy")),
    (95, scenes.hunted),
    (120, scenes.trunked),
    (140, lambda stage, at: scenes.campaign(stage, at, "canceled")),
    (150, scenes.transferred),
    (170, lambda stage, at: scenes.campaign(stage, at, "failed")),
    (190, scenes.answered),
    (240, scenes.broken),
    (290, scenes.conference),
    (320, lambda stage, at: scenes.campaign(stage, at, "completed")),
    (360, scenes.undialable),
    (420, scenes.voicemail),
    (480, scenes.orphaned),
    (540, scenes.transferred),
    (660, scenes.hunted),
    (720, lambda stage, at: scenes.campaign(stage, at, "completed")),
    (780, scenes.misused),
    (840, scenes.answered),
    (960, scenes.browser),
    (1080, lambda stage, at: scenes.campaign(stage, at, "no-answer")),
    (1200, scenes.answered),
    (1380, scenes.transferred),
    (1560, scenes.abandoned),
    (1740, scenes.hunted),
)


def example_rows(calls: int, seed: int, now: int) -> Iterator[Row]:
    """Exactly so many calls with their recordings and notifications, in the two weeks to now.

    The same three values always give the same rows. ``now`` is in seconds since 1970, UTC.
    """
    stage = FixtureBuilder(Random(f"{seed}/{calls}/{now}"), now)  # noqa: S311 - examples are no secrets
    shown = _showcase(stage, calls)
    yield from _history(stage, calls - _calls(shown))
    yield from shown


def _calls(rows: list[Row]) -> int:
    return sum(isinstance(row, CallRow) for row in rows)


def _showcase(stage: FixtureBuilder, calls: int) -> list[Row]:
    """The last half hour: newest scenes first, as long as they fit, then in order of time."""
    shown, left = list[list[Row]](), calls
    for ago, scene in _SHOWCASE:
        rows = scene(stage, stage.now - ago)
        if _calls(rows) <= left:
            shown.append(rows)
            left -= _calls(rows)
    return [row for rows in reversed(shown) for row in rows]


def _history(stage: FixtureBuilder, calls: int) -> Iterator[Row]:
    """The time before, hour by hour: each hour fills up to its share of all calls."""
    hours = range(stage.now - SHOWN - DAYS * 24 * HOUR, stage.now - SHOWN, HOUR)
    shares = list(accumulate(_busyness(hour) for hour in hours))
    made = 0
    for hour, share in zip(hours, shares, strict=True):
        due = round(calls * share / shares[-1])
        while made < due:
            begin = hour + stage.rng.randrange(HOUR)
            rows = _scene(stage, hour)(stage, begin)
            if made + _calls(rows) > calls:
                rows = scenes.abandoned(stage, begin)
            made += _calls(rows)
            yield from rows


def _busyness(moment: int) -> float:
    day, hour = divmod(moment // HOUR, 24)
    return _HOURS[hour] * _WEEKDAYS[(day + 3) % 7]  # 1970 began on a Thursday


def _scene(stage: FixtureBuilder, moment: int) -> Scene:
    kinds = _BY_DAY if _busyness(moment) > 6 else _BY_NIGHT
    return stage.rng.choices(tuple(kinds), tuple(kinds.values()))[0]
