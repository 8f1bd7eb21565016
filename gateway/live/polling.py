"""Looks at the calls that are watched, for the webhooks that never come.

When is `Schedule`'s to say: pure, on a clock that it is handed. The poller reads what is due, the
cheapest way, and publishes what it finds; watchers hear of it as of any news. This module must not
know who watches.

Note [Cheap looks]. A call is looked at once for all its watchers: soon after a change, then ever
more seldom, and hardly at all while its webhooks come. Few calls are asked for one by one; many by
the lists of live calls, three requests for up to a thousand calls each. With several gateways
whoever holds the lease of a call, or of the lists, looks for all: the others hear of it by the
store, and look themselves when the lease has run out. A look that fails or takes its time costs
itself only: rounds overlap, and a call that is being looked at is in no other round.

Note [Gone]. A call that upstream has shown is gone when two reads that are further apart than
READ_LAG answer 404, and none between them shows it; one that upstream never showed is gone at the
first 404 that is no lag (Note [Lag] in `snapshots`). A call of unknown status, or one that cannot
be read, can end unseen: a day after its status was known last, which is longer than a call lasts,
nobody looks any more.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from secrets import token_hex

from cachetools import FIFOCache

from gateway.errors import BudgetExceeded, CallNotFound, GatewayError
from gateway.live.events import FINAL, CallStatusEvent, EventSource
from gateway.live.snapshots import LIVE, READ_LAG, CallSnapshot, SnapshotReader, status_of
from gateway.live.store import Store
from gateway.upstream.calls import CallStatus, ListCalls

__all__ = ["Poller", "Schedule"]

log = logging.getLogger(__name__)
End = Callable[[GatewayError | None], None]

SOONEST = 1.0
"""Seconds from a change that nobody told of to the next look."""
GROWTH = 1.5
SELDOM = 15.0
"""Seconds between two looks at a call that does not change."""
CALM = 60.0
"""Seconds from a webhook to a look: the next webhook is expected before."""
LONGEST_UNKNOWN = 24 * 3600.0
"""Seconds for which a call of unknown status is looked at: no call lasts longer."""
FEW = 3
"""So many calls are asked for one by one; more by the three lists of live calls."""
AT_ONCE = 50
"""So many calls that have left the lists are looked at in one round; the rest later."""
NEWEST = 50
"""Rows of a page of the newest calls, where calls are looked for that nobody told of."""
MAX_KNOWN = 1000
SLACK = 0.3
"""What is due within so many seconds is looked at together."""
EVERYTHING, LISTS = "newest", "lists"
"""What is looked at, and leased, besides the single calls."""


@dataclass
class PollSlot:
    """When a call is looked at next, and how long after that again; in seconds.

    `missing_since` is the first 404 since upstream showed it, None while it does. `known_at` is
    when its status was known last.
    """

    due: float
    known_at: float
    pause: float = SOONEST
    found: object = None
    missing_since: float | None = -math.inf
    is_under_way: bool = False


class Schedule:
    """Which calls to look at when. `now` is any clock in seconds that does not go back."""

    def __init__(self) -> None:
        self._turns: dict[str, PollSlot] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._turns

    def add(self, name: str, now: float) -> None:
        """To be looked at from now on."""
        self._turns.setdefault(name, PollSlot(now + SOONEST, now))

    def drop(self, name: str) -> None:
        """Not to be looked at any more."""
        self._turns.pop(name, None)

    def recent_call(self, name: str, now: float) -> None:
        """A webhook told of it: the next one is waited for."""
        turn = self._turns.get(name)
        if turn is not None:
            turn.due, turn.pause, turn.known_at = now + CALM, CALM, now

    def shown(self, name: str) -> None:
        """Upstream has shown it."""
        turn = self._turns.get(name)
        if turn is not None:
            turn.missing_since = None

    def begin(self, now: float) -> list[str]:
        """What is to be looked at now, the longest overdue first; under way from now on."""
        due = self.due(now)
        for name in due:
            self._turns[name].is_under_way = True
        return due

    def is_under_way(self, name: str) -> bool:
        """True from `begin` until it was looked at."""
        turn = self._turns.get(name)
        return turn is not None and turn.is_under_way

    def looked(self, name: str, found: object, now: float) -> None:
        """It was looked at, and this found; None where it could not be seen."""
        turn = self._turns.get(name)
        if turn is None:
            return
        turn.is_under_way = False
        if found is CallStatus.UNKNOWN:
            turn.pause, turn.found = max(turn.pause, SELDOM), found
        elif found is not None and found != turn.found:
            turn.pause, turn.found = SOONEST, found
        else:
            turn.pause = max(turn.pause, min(turn.pause * GROWTH, SELDOM))
        if found not in {None, CallStatus.UNKNOWN}:
            turn.known_at = now
        turn.due = now + turn.pause

    def missed(self, name: str, now: float) -> bool:
        """Upstream answered 404; True where that makes it gone. See Note [Gone]."""
        turn = self._turns.get(name)
        if turn is None:
            return False
        if turn.missing_since is None:
            turn.missing_since = now
        return now - turn.missing_since > READ_LAG

    def is_unknown_for_too_long(self, name: str, now: float) -> bool:
        """True where its status was not known for longer than a call lasts."""
        turn = self._turns.get(name)
        return turn is not None and now - turn.known_at > LONGEST_UNKNOWN

    def pause(self, name: str) -> float:
        """Seconds between two looks at it, as things are."""
        turn = self._turns.get(name)
        return turn.pause if turn else SOONEST

    def due(self, now: float) -> list[str]:
        """What is to be looked at now and not under way, the longest overdue first."""
        waiting = [(turn.due, name) for name, turn in self._waiting() if turn.due <= now]
        return [name for _, name in sorted(waiting, key=lambda pair: pair[0])]

    def next_due(self) -> float | None:
        """When something is due next; None when there is nothing to look at."""
        return min((turn.due for _, turn in self._waiting()), default=None)

    def _waiting(self) -> Iterator[tuple[str, PollSlot]]:
        return ((name, turn) for name, turn in self._turns.items() if not turn.is_under_way)


class Poller:
    """Looks at what is followed while `run` runs."""

    def __init__(self, rows: SnapshotReader, store: Store, clock: Callable[[], float]) -> None:
        self._rows = rows
        self._store = store
        self._clock = clock
        self._holder = token_hex(8)
        self._schedule = Schedule()
        self._followers: dict[str, list[End]] = {}
        self._found: set[str] = set()
        self._known: FIFOCache[str, None] = FIFOCache(MAX_KNOWN)
        self._has_changed = asyncio.Event()

    @contextmanager
    def following(self, sid: str, end: End) -> Iterator[None]:
        """While somebody watches this call. `end` is called when there is nothing left to watch.

        With CallNotFound where the call is gone, with what reading it raises where it stays
        unreadable, with None where its status stays unknown. See Note [Gone].
        """
        self._followers.setdefault(sid, []).append(end)
        self._add(sid)
        try:
            yield
        finally:
            self._followers[sid].remove(end)
            self._let_go(sid)

    @contextmanager
    def following_all(self) -> Iterator[None]:
        """While somebody watches all calls."""
        try:
            with self.following(EVERYTHING, _never):
                yield
        finally:
            if EVERYTHING not in self._schedule:
                found, self._found = self._found, set()
                self._known.clear()
                for sid in found:
                    self._let_go(sid)

    def found(self, sid: str) -> None:
        """A live call that those who watch all calls were told of."""
        if EVERYTHING in self._schedule:
            self._found.add(sid)
            self._add(sid)

    def shown(self, sid: str) -> None:
        """A watcher was told of this call as upstream shows it."""
        self._schedule.shown(sid)

    def recent_call(self, event: CallStatusEvent) -> None:
        """A watcher was told news of a call."""
        if event.is_final:
            self._found.discard(event.call_sid)
            self._let_go(event.call_sid)
            return
        self.found(event.call_sid)
        if event.source is EventSource.WEBHOOK:
            self._schedule.recent_call(event.call_sid, self._clock())

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as rounds:
            while True:
                await self._until_due()
                rounds.create_task(self.execute(self.begin_round()))

    def begin_round(self) -> list[str]:
        """What is due, and in no other round until `carry_out` is done with it."""
        return self._schedule.begin(self._clock() + SLACK)

    async def execute(self, due: Sequence[str]) -> None:
        """Looks at what is due, the sooner again the more it changes. Never raises.

        What is not looked at here (by another gateway, or not in this round) has its turn later.
        """
        await _alone(self._look(due))
        for name in filter(self._schedule.is_under_way, due):
            self._looked(name, None)

    async def _until_due(self) -> None:
        while True:
            self._has_changed.clear()
            due = self._schedule.next_due()
            patience = None if due is None else due - self._clock()
            if patience is not None and patience <= 0:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_changed.wait(), patience)

    async def _look(self, due: Sequence[str]) -> None:
        async with asyncio.TaskGroup() as looks:
            if EVERYTHING in due and await self._may_look(EVERYTHING):
                newest = looks.create_task(_alone(self._look_at_newest()))
                await asyncio.wait([newest], timeout=SOONEST)
            left = filter(self._schedule.is_under_way, due)  # without what was among the newest
            sids = [name for name in left if name != EVERYTHING]
            if len(sids) <= FEW:
                await self._look_at_each(sids)
            elif await self._may_look(LISTS):
                await _alone(self._look_at_lists(sids))

    async def _may_look(self, name: str) -> bool:
        seconds = 2 * self._schedule.pause(name) + 1
        return await self._store.lease(f"look:{name}", self._holder, seconds)

    async def _look_at_each(self, sids: Iterable[str]) -> None:
        mine = [sid for sid in sids if await self._may_look(sid)]
        await asyncio.gather(*(_alone(self._look_at(sid)) for sid in mine))

    async def _look_at(self, sid: str) -> None:
        with self._ending([sid]):
            fresh = await self._rows.current(sid)
        if fresh is not None and fresh.is_read:
            self._saw(fresh)
        elif self._schedule.missed(sid, self._clock()) and fresh is None:
            self._end(sid, CallNotFound("There is no call with this SID (any more)"))
        else:
            self._looked(sid, None)

    async def _look_at_lists(self, sids: Sequence[str]) -> None:
        """A call that is in none of the lists has ended, most likely: it is asked for by itself."""
        left = dict.fromkeys(sids)
        with self._ending(sids), suppress(BudgetExceeded):
            async for row in self._rows.live([ListCalls()]):
                if row.sid in left:
                    del left[row.sid]
                    self._saw(await self._rows.note(row))
        await self._look_at_each(list(left)[:AT_ONCE])

    async def _look_at_newest(self) -> None:
        """The calls that came since the last time. The first time, what has ended is no news."""
        is_first, newest = not self._known, None
        async for page in self._rows.pages(ListCalls(page_size=NEWEST)):
            newest = newest or next((row.sid for row in page.rows), None)
            new = {row.sid for row in page.rows if row.sid not in self._known}
            for row in page.rows:
                if status_of(row) in LIVE or (row.sid in new and not is_first):
                    self.found(row.sid)
                if row.sid in self._schedule:
                    self._saw(await self._rows.note(row))
            self._known.update(dict.fromkeys(new))
            if is_first or len(new) < len(page.rows):
                break
        self._looked(EVERYTHING, newest)

    def _saw(self, fresh: CallSnapshot) -> None:
        sid, status = fresh.row.sid, status_of(fresh.row)
        self._schedule.shown(sid)
        self._looked(sid, status if fresh.state else CallStatus.UNKNOWN)
        if status in FINAL:
            self._found.discard(sid)
            self._let_go(sid)
        elif self._schedule.is_unknown_for_too_long(sid, self._clock()):
            self._end(sid, None)

    @contextmanager
    def _ending(self, sids: Iterable[str]) -> Iterator[None]:
        """Where reading these calls fails, those that end by it do. See Note [Gone]."""
        try:
            yield
        except GatewayError as error:
            for sid in sids:
                if self._schedule.is_unknown_for_too_long(sid, self._clock()):
                    self._end(sid, error)
            raise

    def _looked(self, name: str, found: object) -> None:
        self._schedule.looked(name, found, self._clock())
        self._has_changed.set()

    def _end(self, sid: str, error: GatewayError | None) -> None:
        """Nobody looks at this call any more, and whoever watches it alone is let go."""
        self._found.discard(sid)
        self._schedule.drop(sid)
        for end in self._followers.get(sid, ()):
            end(error)

    def _add(self, name: str) -> None:
        self._schedule.add(name, self._clock())
        self._has_changed.set()

    def _let_go(self, name: str) -> None:
        if not self._followers.get(name) and name not in self._found:
            self._followers.pop(name, None)
            self._schedule.drop(name)


async def _alone(look: Awaitable[None]) -> None:
    """One look, which whatever goes wrong with it costs no other: watchers wait for the next."""
    try:
        await look
    except GatewayError as error:
        log.info("watched calls could not be looked at: %s", type(error).__name__)
    except Exception:
        log.exception("internal error while looking at watched calls")


def _never(_: GatewayError | None) -> None:
    """All calls never end."""
