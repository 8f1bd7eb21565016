"""What the tests of subscriptions share: live calls over a plain account, without a server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.live.polling import Poller
from gateway.live.snapshots import SnapshotReader
from gateway.live.store import MemoryStore, Store
from gateway.live.subscriptions import CallUpdate, SubscriberSlots, SubscriptionManager
from gateway.settings import Secret, UpstreamSettings
from gateway.upstream.client import Account, UpstreamClient
from tests.live.stage import NOW
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, sid


async def settle() -> None:
    """Lets every ready task run."""
    for _ in range(300):
        await asyncio.sleep(0)


@dataclass
class LiveGateway:
    """The live part of one gateway. It polls only in `poll`.

    Its clock shows NOW and moves only in `poll`.
    """

    twilio: PlainTwilio
    store: Store = field(default_factory=MemoryStore)
    limit: int = 100
    now: float = 0.0

    def __post_init__(self) -> None:
        account = Account(ACCOUNT, ACCOUNT, Secret(TOKEN))
        self.client = UpstreamClient(account, UpstreamSettings(max_attempts=1), self.twilio)
        self.reader = SnapshotReader(self.client, self.store, self.utc)
        self.poller = Poller(self.reader, self.store, lambda: self.now)
        self.subscriptions = SubscriptionManager(
            self.reader, self.poller, self.store, SubscriberSlots(self.limit), self.utc
        )

    def utc(self) -> datetime:
        """The time in UTC."""
        return NOW + timedelta(seconds=self.now)

    def set_status(self, number: int, status: str, **given: str) -> None:
        """Upstream shows the call with this status from now on."""
        (row,) = (row for row in self.twilio.calls if row["sid"] == sid("CA", number))
        row.update(given, status=status)

    async def poll(self, seconds: float = 0) -> list[str]:
        """Moves the clock and polls what is due; the names that were due."""
        self.now += seconds
        due = self.poller.start_round()
        await self.poller.poll(due)
        return due


@asynccontextmanager
async def live(twilio: PlainTwilio, **given: object) -> AsyncIterator[LiveGateway]:
    """A LiveGateway; at its end no subscription may be left."""
    gateway = LiveGateway(twilio, **given)  # type: ignore[arg-type]
    yield gateway
    await gateway.client.aclose()
    assert gateway.subscriptions.count == 0


class Subscriber:
    """A subscriber that takes an update for each permit of `take`."""

    def __init__(self, updates: AsyncGenerator[CallUpdate, None]) -> None:
        self.updates: list[CallUpdate] = []
        self._permits = asyncio.Semaphore(0)
        self._task = asyncio.ensure_future(self._receive(updates))

    async def _receive(self, updates: AsyncGenerator[CallUpdate, None]) -> None:
        async with aclosing(updates):
            async for update in updates:
                self.updates.append(update)
                await self._permits.acquire()

    def take(self, count: int = 1) -> None:
        """Permits `count` more updates."""
        for _ in range(count):
            self._permits.release()

    async def end(self) -> None:
        """Waits until the updates have ended by themselves."""
        self.take(1000)
        await asyncio.wait_for(self._task, 10)

    @property
    def is_over(self) -> bool:
        """True when the updates have ended by themselves, or failed."""
        return self._task.done()

    @property
    def statuses(self) -> list[str]:
        """The statuses received so far."""
        return [update.row.status.value for update in self.updates]

    async def until_received(self, count: int) -> None:
        """Waits for `count` updates."""
        async with asyncio.timeout(10):
            while len(self.updates) < count:  # noqa: ASYNC110 (nothing to await)
                await asyncio.sleep(0.01)

    async def leave(self) -> None:
        """Cancels the subscription."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
