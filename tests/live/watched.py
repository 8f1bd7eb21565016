"""What the tests of watching share: the room over a plain account, without a server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.live.polling import Poller
from gateway.live.snapshots import SnapshotReader, status_of
from gateway.live.store import MemoryStore, Store
from gateway.live.subscriptions import CallUpdate, SubscriberSlots, SubscriptionManager
from gateway.settings import Secret, UpstreamSettings
from gateway.upstream.client import Account, UpstreamClient
from tests.live.stage import NOW
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, sid


async def settle() -> None:
    """Lets everything run that can run."""
    for _ in range(300):
        await asyncio.sleep(0)


@dataclass
class Room:
    """One gateway's room; its poller looks only when it is told to.

    Its clock shows NOW and stands still, except for what `look` lets pass.
    """

    twilio: PlainTwilio
    store: Store = field(default_factory=MemoryStore)
    limit: int = 100
    now: float = 0.0

    def __post_init__(self) -> None:
        account = Account(ACCOUNT, ACCOUNT, Secret(TOKEN))
        self.client = UpstreamClient(account, UpstreamSettings(max_attempts=1), self.twilio)
        self.rows = SnapshotReader(self.client, self.store, self.utc)
        self.poller = Poller(self.rows, self.store, lambda: self.now)
        self.watching = SubscriptionManager(
            self.rows, self.poller, self.store, SubscriberSlots(self.limit), self.utc
        )

    def utc(self) -> datetime:
        """The time of day."""
        return NOW + timedelta(seconds=self.now)

    def becomes(self, number: int, status: str, **given: str) -> None:
        """Upstream shows the call in this state from now on."""
        (row,) = (row for row in self.twilio.calls if row["sid"] == sid("CA", number))
        row.update(given, status=status)

    async def look(self, seconds: float = 0) -> list[str]:
        """Time passes, and what is due then is looked at; what was."""
        self.now += seconds
        due = self.poller.begin_round()
        await self.poller.execute(due)
        return due


@asynccontextmanager
async def room(twilio: PlainTwilio, **given: object) -> AsyncIterator[Room]:
    """A room; at its end nobody may be left watching."""
    there = Room(twilio, **given)  # type: ignore[arg-type]
    yield there
    await there.client.aclose()
    assert there.watching.count == 0


class Watcher:
    """Somebody who watches, and takes an update whenever `take` lets them."""

    def __init__(self, updates: AsyncGenerator[CallUpdate, None]) -> None:
        self.told: list[CallUpdate] = []
        self._may_take = asyncio.Semaphore(0)
        self._task = asyncio.ensure_future(self._watch(updates))

    async def _watch(self, updates: AsyncGenerator[CallUpdate, None]) -> None:
        async with aclosing(updates):
            async for update in updates:
                self.told.append(update)
                await self._may_take.acquire()

    def take(self, count: int = 1) -> None:
        """Lets so many more updates through."""
        for _ in range(count):
            self._may_take.release()

    async def end(self) -> None:
        """Until the updates have ended by themselves."""
        self.take(1000)
        await asyncio.wait_for(self._task, 10)

    @property
    def is_over(self) -> bool:
        """True when the updates have ended by themselves, or failed."""
        return self._task.done()

    @property
    def statuses(self) -> list[str]:
        """What was told so far."""
        return [status_of(update.row).value for update in self.told]

    async def until_told(self, count: int) -> None:
        """Until so many updates were told."""
        async with asyncio.timeout(10):
            while len(self.told) < count:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.01)

    async def leave(self) -> None:
        """Does not wait for the end."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
