"""One worker thread owns the store: all access to rows happens there.

The event loop submits functions and awaits them; requests to applications run in their own
threads. Knows no routes.

Note [Catching up]. Between requests nothing runs: before each submitted function, the simulator
plays all events that are due. Only while an event is scheduled or a request has to be sent, a
background task (``_run_background``) wakes up for it.
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

from gateway.sandbox import outbound
from gateway.sandbox.clock import Clock
from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.context import SandboxContext
from gateway.sandbox.outbound import OutboundRequest, OutboundResponse
from gateway.sandbox.repository import CallRepository
from gateway.sandbox.seed import example_rows
from gateway.sandbox.simulator import CallSimulator
from gateway.sandbox.store import SandboxDatabase

T = TypeVar("T")


@dataclass(frozen=True)
class _State:
    """The parts of an open sandbox."""

    store: SandboxDatabase
    calls: CallRepository
    simulator: CallSimulator
    clock: Clock
    config: SandboxConfig


class Sandbox:
    """The account behind the routes. The first request opens and seeds it."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox")
        self._state: _State | None = None
        self._background: asyncio.Task[None] | None = None
        self._settling = asyncio.Lock()
        self._wakeup = asyncio.Event()

    async def run(self, function: Callable[[SandboxContext], T]) -> T:
        """Plays all due events, then calls the function, both in the worker thread.

        An exception rolls the function's changes back. One function runs at a time.
        """
        result, has_work = await self._in_worker(lambda state: _catch_up_and_run(state, function))
        if has_work:
            self._start_background()
        return result

    async def step(self, seconds: float) -> None:
        """Moves the clock forward; returns when all due events have been played.

        It also waits for applications' responses, and plays the due events that they cause.
        """
        await self._in_worker(lambda state: state.clock.step(seconds))
        await self._settle()

    async def set_speed(self, speed: float) -> None:
        """Changes the speed of the clock."""
        await self._in_worker(lambda state: state.clock.set_speed(speed))
        self._start_background()

    async def aclose(self) -> None:
        """Closes the store. The sandbox cannot be used again; closing twice is harmless."""
        if self._background is not None:
            self._background.cancel()
            with suppress(asyncio.CancelledError):
                await self._background
            self._background = None
        if self._state is not None:
            await self._in_worker(lambda state: state.store.close())
            self._state = None
        self._worker.shutdown(wait=False)

    async def _in_worker(self, function: Callable[[_State], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, lambda: function(self._open_once()))

    def _open_once(self) -> _State:
        if self._state is None:
            self._state = _open(self.config)
            weakref.finalize(self, self._state.store.close)
        return self._state

    def _start_background(self) -> None:
        self._wakeup.set()
        if self._background is None or self._background.done():
            self._background = asyncio.create_task(self._run_background())

    async def _run_background(self) -> None:
        while True:
            await self._settle()
            wait = await self._in_worker(_real_seconds_to_wait)
            if wait is None:
                return
            self._wakeup.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wakeup.wait(), wait)

    async def _settle(self) -> None:
        """Plays due events and sends queued requests until there are no more."""
        async with self._settling:
            while outgoing := await self._in_worker(_catch_up):
                calls = groupby(sorted(outgoing, key=lambda request: request.sid), _sid)
                await asyncio.gather(*(self._send(list(requests)) for _, requests in calls))

    async def _send(self, requests: Iterable[OutboundRequest]) -> None:
        """Sends the requests about one call in order."""
        for request in requests:
            response = await asyncio.to_thread(
                outbound.send,
                request,
                self.config.auth_token,
                anywhere=self.config.callbacks_anywhere,
            )
            await self._in_worker(partial(_handle_response, request=request, response=response))


def _sid(request: OutboundRequest) -> str:
    return request.sid


def _open(config: SandboxConfig) -> _State:
    store = SandboxDatabase(config.database)
    start = (config.now or datetime.now(UTC)).timestamp()
    if store.is_new:
        store.load(example_rows(config.calls, config.seed, int(start)))
    calls = CallRepository(store, config.account_sid)
    simulator = CallSimulator(calls, config.calls_per_second)
    return _State(store, calls, simulator, Clock(start, config.speed), config)


def _catch_up_and_run(state: _State, function: Callable[[SandboxContext], T]) -> tuple[T, bool]:
    """The function's result, and whether the background task has work left."""
    store, now = state.store, state.clock.now()
    with store.transaction():
        state.simulator.catch_up(now)
    with store.transaction():
        result = function(SandboxContext(store, state.calls, state.simulator, state.config, now))
    return result, bool(state.calls.outbox) or store.next_due() is not None


def _catch_up(state: _State) -> list[OutboundRequest]:
    """Plays due events and empties the outbox."""
    with state.store.transaction():
        state.simulator.catch_up(state.clock.now())
    outgoing = list(state.calls.outbox)
    state.calls.outbox.clear()
    return outgoing


def _handle_response(state: _State, request: OutboundRequest, response: OutboundResponse) -> None:
    with state.store.transaction():
        state.simulator.handle_response(request, response)


def _real_seconds_to_wait(state: _State) -> float | None:
    due = state.store.next_due()
    return None if due is None else state.clock.real_seconds_until(due)
