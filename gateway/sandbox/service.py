"""One worker thread around the store: everything the sandbox does with its rows happens there.

The event loop only hands over functions and waits; requests to applications go out in threads of
their own. Knows no routes.

Note [Catching up]. Nothing runs while nobody looks: each function handed over first sees all that
has become due since the last one. Only while something is due later, or has to be sent, a task
(``_attend``) wakes up for it.
"""

import asyncio
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import TypeVar

from gateway.sandbox import errands
from gateway.sandbox.clock import Clock
from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.desk import SandboxRequest
from gateway.sandbox.errands import OutboundRequest, OutboundResponse
from gateway.sandbox.ledger import CallRepository
from gateway.sandbox.seed import example_rows
from gateway.sandbox.store import SandboxDatabase
from gateway.sandbox.switchboard import CallSimulator

T = TypeVar("T")


@dataclass(frozen=True)
class _Opened:
    """What exists once the store is open."""

    store: SandboxDatabase
    book: CallRepository
    board: CallSimulator
    clock: Clock
    config: SandboxConfig


class Sandbox:
    """The account behind the routes; opens and seeds itself when it is first asked."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox")
        self._state: _Opened | None = None
        self._attending: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self._woken = asyncio.Event()

    async def run(self, function: Callable[[SandboxRequest], T]) -> T:
        """Calls the function in the worker thread, once all that is due has happened.

        What an exception interrupts has not happened. One function runs at a time.
        """
        result, busy = await self._in_worker(lambda opened: _at_desk(opened, function))
        if busy:
            self._attend_to_the_rest()
        return result

    async def step(self, seconds: float) -> None:
        """Moves the clock forward, and returns when all that it brings has happened.

        Answers of applications are part of it: what they cause in that time has happened, too.
        """
        await self._in_worker(lambda opened: opened.clock.step(seconds))
        await self._settle()

    async def set_speed(self, speed: float) -> None:
        """Lets the clock go on at another speed."""
        await self._in_worker(lambda opened: opened.clock.run(speed))
        self._attend_to_the_rest()

    async def aclose(self) -> None:
        """Closes the store. The sandbox cannot be asked again; closing twice is harmless."""
        if self._attending is not None:
            self._attending.cancel()
            with suppress(asyncio.CancelledError):
                await self._attending
            self._attending = None
        if self._state is not None:
            await self._in_worker(lambda opened: opened.store.close())
            self._state = None
        self._worker.shutdown(wait=False)

    async def _in_worker(self, function: Callable[[_Opened], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, lambda: function(self._opened()))

    def _opened(self) -> _Opened:
        if self._state is None:
            self._state = _open(self.config)
            weakref.finalize(self, self._state.store.close)
        return self._state

    def _attend_to_the_rest(self) -> None:
        self._woken.set()
        if self._attending is None or self._attending.done():
            self._attending = asyncio.create_task(self._attend())

    async def _attend(self) -> None:
        while True:
            await self._settle()
            wait = await self._in_worker(_real_seconds_to_wait)
            if wait is None:
                return
            self._woken.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), wait)

    async def _settle(self) -> None:
        """Plays what is due and sends what waits, until there is neither."""
        async with self._sending:
            while waiting := await self._in_worker(_catch_up):
                calls = groupby(sorted(waiting, key=lambda errand: errand.sid), _sid)
                await asyncio.gather(*(self._send(list(of_call)) for _, of_call in calls))

    async def _send(self, of_call: Iterable[OutboundRequest]) -> None:
        """Sends the requests about one call, one after the other."""
        for errand in of_call:
            reply = await asyncio.to_thread(
                errands.send,
                errand,
                self.config.auth_token,
                anywhere=self.config.callbacks_anywhere,
            )
            await self._in_worker(partial(_answer, errand=errand, reply=reply))


def _sid(errand: OutboundRequest) -> str:
    return errand.sid


def _open(config: SandboxConfig) -> _Opened:
    store = SandboxDatabase(config.database)
    start = (config.now or datetime.now(UTC)).timestamp()
    if store.is_new:
        store.load(example_rows(config.calls, config.seed, int(start)))
    book = CallRepository(store, config.account_sid)
    board = CallSimulator(book, config.calls_per_second)
    return _Opened(store, book, board, Clock(start, config.speed), config)


def _at_desk(opened: _Opened, function: Callable[[SandboxRequest], T]) -> tuple[T, bool]:
    """The function's result, and whether something is left to do without being asked."""
    store, now = opened.store, opened.clock.now()
    with store.transaction():
        opened.board.catch_up(now)
    with store.transaction():
        result = function(SandboxRequest(store, opened.book, opened.board, opened.config, now))
    return result, bool(opened.book.outbox) or store.next_due() is not None


def _catch_up(opened: _Opened) -> list[OutboundRequest]:
    """Plays what is due and takes what has to be sent."""
    with opened.store.transaction():
        opened.board.catch_up(opened.clock.now())
    waiting = list(opened.book.outbox)
    opened.book.outbox.clear()
    return waiting


def _answer(opened: _Opened, errand: OutboundRequest, reply: OutboundResponse) -> None:
    with opened.store.transaction():
        opened.board.answered(errand, reply)


def _real_seconds_to_wait(opened: _Opened) -> float | None:
    due = opened.store.next_due()
    return None if due is None else opened.clock.wait(due)
