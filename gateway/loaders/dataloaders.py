"""aiodataloader: keys in, one batch out; new for every operation.

A key is a request value, so one loader serves every edge: the request's type says which. The
loaders pass keys to one queue. It collects the requests of the whole operation, of every level,
alias and entity, and passes them to the planner as one batch. Each key resolves as soon as its own
answer is there. This module must not know GraphQL, nor which request is cheaper: the planner
decides that.

Note [Batch window]. Resolvers reach the queue some turns of the event loop apart: a level whose
rows are known is a dozen turns behind the level above it, and sending the first half alone gains
nothing. So the queue waits until no request has come for BATCH_WINDOW_TURNS turns (some 0.1 ms).
Then only answers from upstream can bring the operation forward.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable
from typing import Any, TypeVar

from aiodataloader import DataLoader

from gateway.loaders.plan_executor import PlanExecutor
from gateway.planner import KnownAnswer, Request
from gateway.telemetry.upstream_trace import UpstreamTrace
from gateway.upstream.requests import FetchRequest, ListRequest, Page
from gateway.upstream.resources import Resource
from gateway.upstream.writes import FormRequest

__all__ = ["Loaders", "settled"]

R = TypeVar("R", bound=Resource)
T = TypeVar("T")
BATCH_WINDOW_TURNS = 16


class Loader(DataLoader[Request, "asyncio.Future[Any]"]):
    """aiodataloader 0.4.3 with its repairs: no waiter can cancel or poison a key for the others.

    Its batch function returns a future for each key at once. So no key waits for another, and a
    cancelled batch leaves no waiter hanging.
    """

    def answer(
        self, request: Request, then: "Callable[[Any], T | Awaitable[T]]"
    ) -> "asyncio.Future[T]":
        """`then` of the answer to a request, read once for all equal requests of the operation.

        Each waiter has a future of its own: to cancel it costs no other waiter the answer.
        """
        own: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def follow(loaded: "asyncio.Future[asyncio.Future[Any]]") -> None:
            if loaded.cancelled() or loaded.exception():
                _pass_on(own, _same, loaded)
            else:
                loaded.result().add_done_callback(partial(_pass_on, own, then))

        self.load(request).add_done_callback(follow)
        return own


class Loaders:
    """How the resolvers of one operation read. Made inside the running loop; ends with `aclose`."""

    def __init__(self, executor: PlanExecutor) -> None:
        self._queue = BatchQueue(executor)
        self._loader = Loader(self._queue.load_batch)

    @property
    def trace(self) -> UpstreamTrace:
        """The trace of the upstream requests that these loaders cause."""
        return self._queue.trace

    async def row(self, request: FetchRequest[R], field: str) -> R | None:
        """One resource, None when there is none; `field` is the path of the requesting field.

        Raises UpstreamError or BudgetExceeded.
        """
        row: R | None = await settled(self.load(request, field, _same))
        return row

    async def page(self, request: ListRequest[R], field: str) -> Page[R]:
        """One page of a list; a first page may have more rows than requested. Raises as `row`."""
        page: Page[R] = await settled(self.load(request, field, _same))
        return page

    def load(
        self, request: Request, field: str, then: "Callable[[Any], T | Awaitable[T]]"
    ) -> T | Awaitable[T]:
        """What `then` makes of a row or page: itself where that is known, else a future of it.

        There is no task for a key, unless `then` returns an awaitable.
        """
        known = self._queue.known_answer(request)
        if known is not None:
            return then(known.value)
        self._queue.trace.note_field(request, field)
        return self._loader.answer(request, then)

    async def send(self, request: FormRequest[R], field: str) -> R:
        """The row that a mutation made or changed; nothing read before counts as known afterwards.

        Raises as PlanExecutor.send.
        """
        try:
            return await self._queue.send(request, field)
        finally:
            self._loader.clear_all()

    async def aclose(self) -> None:
        """Cancels the reads in flight: nobody waits for them any more."""
        await self._queue.aclose()


class BatchQueue:
    """Collects the operation's requests for a batch window, then executes them as one batch."""

    def __init__(self, executor: PlanExecutor) -> None:
        self.trace = executor.trace
        self._executor = executor
        self._waiting: dict[Request, asyncio.Future[Any]] = {}
        self._turns_left = 0
        self._is_closed = False
        self._rounds: set[asyncio.Task[None]] = set()

    async def send(self, request: FormRequest[R], field: str) -> R:
        """Sends a mutation at once: it waits for no batch window."""
        return await self._executor.send(request, field)

    async def load_batch(self, requests: list[Request]) -> list[asyncio.Future[Any]]:
        """The loader's batch function: a future for each request."""
        self._turns_left = BATCH_WINDOW_TURNS
        return [self._enqueue(request) for request in requests]

    async def aclose(self) -> None:
        """Cancels every round and waits until it has ended; sends nothing more."""
        self._is_closed = True
        for future in self._waiting.values():
            future.cancel()
        for round_ in self._rounds:
            round_.cancel()
        await asyncio.gather(*self._rounds, return_exceptions=True)

    def known_answer(self, request: Request) -> KnownAnswer | None:
        """The answer to a request if nothing has to be read for it."""
        return self._executor.known_answer(request)

    def _enqueue(self, request: Request) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if self._is_closed:
            future.cancel()
            return future
        future.add_done_callback(_mark_retrieved)
        if not self._waiting:
            loop.call_soon(self._wait_out_window)
        self._waiting[request] = future
        return future

    def _wait_out_window(self) -> None:
        """See Note [Batch window]."""
        if self._is_closed:
            return
        if self._turns_left > 0:
            self._turns_left -= 1
            asyncio.get_running_loop().call_soon(self._wait_out_window)
            return
        waiting, self._waiting = self._waiting, {}
        round_ = asyncio.ensure_future(self._run_round(waiting))
        self._rounds.add(round_)
        round_.add_done_callback(self._rounds.discard)

    async def _run_round(self, waiting: dict[Request, asyncio.Future[Any]]) -> None:
        def resolve(request: Request, answer: Any) -> None:
            future = waiting[request]
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        fault: Exception = RuntimeError("A request was left without an answer")
        try:
            await self._executor.execute(waiting, resolve)
        except Exception as error:
            fault = error
        except BaseException:
            for future in waiting.values():
                future.cancel()
            raise
        for future in waiting.values():  # our own fault: no waiter may hang
            if not future.done():
                future.set_exception(fault)


async def settled(value: T | Awaitable[T]) -> T:
    """The value, awaited if it is an awaitable."""
    return await value if isawaitable(value) else value


def _same(answer: Any) -> Any:
    return answer


def _pass_on(
    own: "asyncio.Future[Any]", then: "Callable[[Any], Any]", done: "asyncio.Future[Any]"
) -> None:
    """Gives a waiter, if there still is one, what has come."""
    if own.done():
        return
    if done.cancelled():
        own.cancel()
        return
    try:
        answer = then(done.result())
    except Exception as error:
        own.set_exception(error)
        return
    if not isawaitable(answer):
        own.set_result(answer)
        return
    later = asyncio.ensure_future(answer)
    later.add_done_callback(partial(_pass_on, own, _same))
    own.add_done_callback(lambda _: later.cancel())


def _mark_retrieved(future: asyncio.Future[Any]) -> None:
    """Keeps asyncio from logging an error that nobody waits for any more."""
    if not future.cancelled():
        future.exception()
