"""Looks at the calls that are watched, for the webhooks that never come.

When is `Schedule`'s to say: pure, on a clock that it is handed. The poller reads what is due, the
cheapest way, and publishes what it finds; watchers hear of it as of any news. This module must not
know who watches.

Note [Cheap looks]. A call is looked at once for all its watchers: soon after a change, then ever
more seldom, and hardly at all while its webhooks come. Few calls are asked for one by one; many by
the lists of live calls, three requests for up to a thousand calls each. With several gateways
whoever holds the lease of a call, or of the lists, looks for all: the others hear of it by the
store, and look themselves when the lease has run out.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from secrets import token_hex

from gateway.errors import BudgetExceeded, GatewayError
from gateway.live.events import FINAL, CallNotice, Source
from gateway.live.fresh import LIVE, Rows, status_of
from gateway.live.store import Store
from gateway.upstream.requests import ListCalls
from gateway.upstream.resources import CallResource

__all__ = ["Poller", "Schedule"]

log = logging.getLogger(__name__)

SOONEST = 1.0
"""Seconds from a change that nobody told of to the next look."""
GROWTH = 1.5
SELDOM = 15.0
"""Seconds between two looks at a call that does not change."""
CALM = 60.0
"""Seconds from a webhook to a look: the next webhook is expected before."""
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
class Turn:
    """When a call is looked at next, and how long after that again; in seconds."""

    due: float
    pause: float = SOONEST
    found: object = None


class Schedule:
    """Which calls to look at when. `now` is any clock in seconds that does not go back."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._turns

    def add(self, name: str, now: float) -> None:
        """To be looked at from now on."""
        self._turns.setdefault(name, Turn(now + SOONEST))

    def drop(self, name: str) -> None:
        """Not to be looked at any more."""
        self._turns.pop(name, None)

    def heard(self, name: str, now: float) -> None:
        """A webhook told of it: the next one is waited for."""
        turn = self._turns.get(name)
        if turn is not None:
            turn.due, turn.pause = now + CALM, CALM

    def looked(self, name: str, found: object, now: float) -> None:
        """It was looked at, and this found; None where it could not be seen."""
        turn = self._turns.get(name)
        if turn is None:
            return
        if found is not None and found != turn.found:
            turn.pause, turn.found = SOONEST, found
        else:
            turn.pause = max(turn.pause, min(turn.pause * GROWTH, SELDOM))
        turn.due = now + turn.pause

    def pause(self, name: str) -> float:
        """Seconds between two looks at it, as things are."""
        turn = self._turns.get(name)
        return turn.pause if turn else SOONEST

    def due(self, now: float) -> list[str]:
        """What is to be looked at now, the longest overdue first."""
        names = [name for name, turn in self._turns.items() if turn.due <= now]
        return sorted(names, key=lambda name: self._turns[name].due)

    def next_due(self) -> float | None:
        """When something is due next; None when there is nothing to look at."""
        return min((turn.due for turn in self._turns.values()), default=None)


class Poller:
    """Looks at what is followed while `run` runs."""

    def __init__(self, rows: Rows, store: Store, clock: Callable[[], float]) -> None:
        self._rows = rows
        self._store = store
        self._clock = clock
        self._holder = token_hex(8)
        self._schedule = Schedule()
        self._followers: Counter[str] = Counter()
        self._found: set[str] = set()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._has_changed = asyncio.Event()

    @contextmanager
    def following(self, sid: str) -> Iterator[None]:
        """While somebody watches this call."""
        self._followers[sid] += 1
        self._add(sid)
        try:
            yield
        finally:
            self._followers[sid] -= 1
            self._let_go(sid)

    @contextmanager
    def following_all(self) -> Iterator[None]:
        """While somebody watches all calls."""
        try:
            with self.following(EVERYTHING):
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

    def heard(self, notice: CallNotice) -> None:
        """A watcher was told news of a call."""
        if notice.is_final:
            self._found.discard(notice.call_sid)
            self._let_go(notice.call_sid)
            return
        self.found(notice.call_sid)
        if notice.source is Source.WEBHOOK:
            self._schedule.heard(notice.call_sid, self._clock())

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._until_due()
            await self.look_at_due()

    async def look_at_due(self) -> list[str]:
        """Looks at what is due, the sooner again the more it changes; what that was. Never raises.

        What is not looked at here (by another gateway, or not in this round) has its turn later.
        """
        due = self._schedule.due(self._clock() + SLACK)
        try:
            await self._look(due)
        except GatewayError as error:
            log.info("watched calls could not be looked at: %s", type(error).__name__)
        except Exception:  # whatever it is, those who watch wait for the next look
            log.exception("internal error while looking at watched calls")
        for name in set(due).intersection(self._schedule.due(self._clock() + SLACK)):
            self._schedule.looked(name, None, self._clock())
        return due

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
        if EVERYTHING in due and await self._may_look(EVERYTHING):
            await self._look_at_newest()
        left = self._schedule.due(self._clock() + SLACK)  # without what was among the newest
        sids = [name for name in due if name in left and name != EVERYTHING]
        if len(sids) <= FEW:
            await self._look_at_each(sids)
        elif await self._may_look(LISTS):
            await self._look_at_lists(sids)

    async def _may_look(self, name: str) -> bool:
        seconds = 2 * self._schedule.pause(name) + 1
        return await self._store.lease(f"look:{name}", self._holder, seconds)

    async def _look_at_each(self, sids: Iterable[str]) -> None:
        mine = [sid for sid in sids if await self._may_look(sid)]
        for fresh in await asyncio.gather(*(self._rows.current(sid) for sid in mine)):
            if fresh is not None:
                self._saw(fresh.row)

    async def _look_at_lists(self, sids: Sequence[str]) -> None:
        """A call that is in none of the lists has ended, most likely: it is asked for by itself."""
        left = dict.fromkeys(sids)
        with suppress(BudgetExceeded):
            async for row in self._rows.live([ListCalls()]):
                if row.sid in left:
                    del left[row.sid]
                    self._saw((await self._rows.note(row)).row)
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
                    self._saw((await self._rows.note(row)).row)
            self._remember(new)
            if is_first or len(new) < len(page.rows):
                break
        self._schedule.looked(EVERYTHING, newest, self._clock())

    def _remember(self, sids: Iterable[str]) -> None:
        self._known.update(dict.fromkeys(sids))
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def _saw(self, row: CallResource) -> None:
        self._schedule.looked(row.sid, status_of(row), self._clock())
        if status_of(row) in FINAL:
            self._found.discard(row.sid)
            self._let_go(row.sid)

    def _add(self, name: str) -> None:
        self._schedule.add(name, self._clock())
        self._has_changed.set()

    def _let_go(self, name: str) -> None:
        if self._followers[name] <= 0 and name not in self._found:
            del self._followers[name]
            self._schedule.drop(name)
