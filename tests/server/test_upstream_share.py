"""Heartbeats: what a gateway records, whom it believes gone, and what a 429 does to all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from gateway.errors import StoreUnavailable
from gateway.server.upstream_share import GONE_AFTER, UpstreamShare
from gateway.upstream.concurrency import (
    CEILING_SECONDS,
    AdaptiveLimit,
    AdmissionQueue,
    Priority,
    Waiter,
)
from gateway.upstream.shares import FIRST_SHARE, Member
from tests.waiting import until_in_loop

CAP, HEARTBEAT, LATER = 100, 0.01, 1e9


class PlainTable:
    """The table in memory. It counts replacements; while `is_away`, nothing can be read."""

    def __init__(self) -> None:
        self.content = b""
        self.is_away = False
        self.replaced = 0
        self.conflicts = 0
        """So many replacements fail because another gateway was faster."""

    @property
    def members(self) -> list[Member]:
        """The records of all members."""
        return list(msgspec.json.decode(self.content or b"{}", type=dict[str, Member]).values())

    def add(self, id_: str, member: Member) -> None:
        """Records another gateway's heartbeat."""
        table = msgspec.json.decode(self.content or b"{}")
        self.content = msgspec.json.encode(table | {id_: member})

    async def table(self) -> bytes:
        """See Table."""
        if self.is_away:
            raise StoreUnavailable("away")
        return self.content

    async def replace_table(self, old: bytes, new: bytes) -> bool:
        """See Table."""
        if self.is_away:
            raise StoreUnavailable("away")
        if self.conflicts or old != self.content:
            self.conflicts = max(self.conflicts - 1, 0)
            return False
        self.content = new
        self.replaced += 1
        return True


class Gateway:
    """A queue with a share of the account."""

    def __init__(self, table: PlainTable, gone_after: float, cap: int) -> None:
        self.queue = AdmissionQueue(AdaptiveLimit(cap), max_queued=1000)
        self.share = UpstreamShare(self.queue, table, HEARTBEAT, gone_after)
        self._held: list[asyncio.Task[Waiter]] = []

    @property
    def cap(self) -> int:
        """What it may run at most."""
        return self.queue.limit.cap

    def want(self, requests: int) -> None:
        """So many requests run or wait from now on."""
        self._held += [
            asyncio.ensure_future(self.queue.acquire("calls", Priority.BULK, number, LATER))
            for number in range(requests)
        ]

    def want_nothing(self) -> None:
        """All requests end."""
        for held in self._held:
            if not held.done():
                held.cancel()
            else:
                self.queue.release(held.result())
        self._held.clear()

    async def aclose(self) -> None:
        """Ends the heartbeats."""
        self.want_nothing()
        await self.share.aclose()
        self.queue.close()


@asynccontextmanager
async def gateways(
    number: int, table: PlainTable, gone_after: float = GONE_AFTER, cap: int = CAP
) -> AsyncIterator[Sequence[Gateway]]:
    """So many gateways with one table."""
    several = [Gateway(table, gone_after, cap) for _ in range(number)]
    try:
        yield several
    finally:
        for gateway in several:
            await gateway.aclose()


async def test_before_the_first_heartbeat_a_gateway_has_the_floor() -> None:
    table = PlainTable()
    table.is_away = True
    async with gateways(1, table) as (one,):
        assert one.cap == one.queue.limit.value == FIRST_SHARE
        table.is_away = False
        await until_in_loop(lambda: one.cap == CAP)


async def test_with_equal_needs_all_have_the_same_and_who_ends_leaves_its_own() -> None:
    table = PlainTable()
    async with gateways(3, table) as several:
        await until_in_loop(lambda: [gateway.cap for gateway in several] == [33, 33, 33])
        await several[0].share.aclose()
        await until_in_loop(lambda: [gateway.cap for gateway in several[1:]] == [50, 50])
    assert table.members == []


async def test_a_share_is_given_back_only_when_its_requests_have_ended() -> None:
    table = PlainTable()
    async with gateways(2, table, cap=10) as (busy, other):
        busy.want(20)
        await until_in_loop(lambda: busy.cap == 8)
        for number in range(8):  # answers, so that the limit grows
            busy.queue.limit.answered("calls", 0.1, number, in_flight=1, is_full=True)
        busy.queue.dispatch()
        assert busy.queue.in_flight == 8
        other.want(20)
        await until_in_loop(lambda: busy.cap == 5)
        replaced = table.replaced
        await until_in_loop(lambda: table.replaced > replaced + 6)
        assert (busy.queue.in_flight, other.cap) == (8, 2)
        busy.want_nothing()
        await until_in_loop(lambda: other.cap == 8)


async def test_a_gateway_that_died_is_gone_after_a_while() -> None:
    table = PlainTable()
    table.add("dead", Member(7, CAP, CAP, CAP, CAP))
    async with gateways(1, table, gone_after=0.5) as (one,):
        await until_in_loop(lambda: table.replaced > 3)
        assert one.cap == FIRST_SHARE
        await until_in_loop(lambda: one.cap == CAP)


async def test_while_the_store_is_away_shares_stay_and_nobody_is_gone_after_it() -> None:
    table = PlainTable()
    async with gateways(2, table) as several:
        await until_in_loop(lambda: [gateway.cap for gateway in several] == [50, 50])
        table.is_away = True
        await asyncio.sleep(HEARTBEAT * 5)
        assert [gateway.cap for gateway in several] == [50, 50]
        table.is_away = False
        table.content = b""
        replaced = table.replaced
        await until_in_loop(lambda: table.replaced > replaced + 6)
        assert [gateway.cap for gateway in several] == [50, 50]


async def test_after_an_empty_restart_nobody_takes_what_silent_gateways_may_still_run() -> None:
    """The others may reach the store later than this one, and keep their shares meanwhile."""
    table = PlainTable()
    table.add("silent", Member(7, CAP, CAP, CAP, 50))
    async with gateways(1, table, gone_after=0.5) as (one,):
        one.want(CAP)
        await until_in_loop(lambda: one.cap == 50)
        table.content = b""
        replaced = table.replaced
        await until_in_loop(lambda: table.replaced > replaced + 6)
        assert one.cap == 50
        await until_in_loop(lambda: one.cap == CAP)


async def test_who_is_overtaken_by_another_heartbeat_reads_again() -> None:
    table = PlainTable()
    table.conflicts = 3
    async with gateways(1, table) as (one,):
        await until_in_loop(lambda: one.cap == CAP)
    assert table.conflicts == 0


@pytest.mark.parametrize("content", [b"{]", b"[1]", b'{"a": "b"}'])
async def test_a_table_that_nobody_can_read_is_made_anew(content: bytes) -> None:
    table = PlainTable()
    table.content = content
    async with gateways(1, table) as (one,):
        await until_in_loop(lambda: one.cap == CAP)


async def test_a_429_at_one_gateway_lowers_all_below_what_ran_and_they_grow_again() -> None:
    """Three run 4 each, and one is refused: for ten seconds, which are nearly over."""
    table = PlainTable()
    async with gateways(3, table) as several:
        await until_in_loop(lambda: [gateway.cap for gateway in several] == [33, 33, 33])
        for gateway in several:
            gateway.queue.limit.set_share(4, CAP)  # so few ran until now
            gateway.want(40)
        await until_in_loop(lambda: [one.running for one in table.members] == [4, 4, 4])
        before = asyncio.get_running_loop().time() - CEILING_SECONDS + 0.5
        several[0].queue.limit.refused(before, before, None)
        await until_in_loop(lambda: sum(gateway.cap for gateway in several) == 11)
        assert sorted(gateway.cap for gateway in several) == [3, 4, 4]
        assert {one.cap for one in table.members} == {11, CAP}
        caps: set[int] = set()

        def collected() -> int:
            caps.add(min(one.cap for one in table.members))
            return max(caps)

        await until_in_loop(lambda: collected() == CAP)
        assert len(caps) > 3


async def test_a_429_of_a_single_gateway_lowers_it_as_without_a_store() -> None:
    table = PlainTable()
    async with gateways(1, table) as (one,):
        await until_in_loop(lambda: one.cap == CAP)
        alone = AdaptiveLimit(CAP)
        alone.set_share(FIRST_SHARE, CAP)
        now = asyncio.get_running_loop().time()
        for limit in (alone, one.queue.limit):
            limit.refused(now, now, None)
        replaced = table.replaced
        await until_in_loop(lambda: table.replaced > replaced + 3)
        assert one.queue.limit.value == alone.value
        assert one.cap == alone.ceiling
