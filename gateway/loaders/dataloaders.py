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
from types import CoroutineType
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
Then = Callable[[Any], Any]
"""What a waiter makes of an answer: a value, or a coroutine that returns one."""


class Answer:
    """The answer to one request, once it is there, for all who wait for it."""

    def __init__(self) -> None:
        self._waiters: list[tuple[asyncio.Future[Any], Then]] = []
        self._outcome: list[Any] = []

    @property
    def is_there(self) -> bool:
        """False while the request is waiting or in flight."""
        return bool(self._outcome)

    def add(self, waiter: "asyncio.Future[Any]", then: "Then") -> None:
        """Gives the waiter what `then` makes of the answer, now or as soon as it is there."""
        if self._outcome:
            _give(waiter, then, self._outcome[0])
        else:
            self._waiters.append((waiter, then))

    def put(self, outcome: Any) -> None:
        """Gives all waiters the row or page, the exception, or the cancellation."""
        self._outcome.append(outcome)
        waiters, self._waiters = self._waiters, []
        for waiter, then in waiters:
            _give(waiter, then, outcome)


class Loaders:
    """How the resolvers of one operation read. Made inside the running loop; ends with `aclose`.

    `deadline` is a time of the loop's clock, after which nothing is read.
    """

    def __init__(self, executor: PlanExecutor) -> None:
        self._loop = asyncio.get_running_loop()
        self.deadline = executor.deadline
        self._answers: dict[Request, Answer] = {}
        self._queue = BatchQueue(executor, self._answers)
        self._loader: DataLoader[Request, None] = DataLoader(self._queue.load_batch, cache=False)

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

        A request is read once for all equal ones of the operation. Each waiter has a future of its
        own: to cancel it costs no other waiter the answer. There is no task for a key, unless
        `then` returns a coroutine.
        """
        known = self._queue.known_answer(request)
        if known is not None:
            return then(known.value)
        self._queue.trace.note_field(request, field)
        waiter: asyncio.Future[T] = self._loop.create_future()
        answer = self._answers.get(request)
        if answer is None:
            answer = self._answers[request] = Answer()
            self._loader.load(request)
        answer.add(waiter, then)
        return waiter

    async def send(self, request: FormRequest[R], field: str) -> R:
        """The row that a mutation made or changed; nothing read before counts as known afterwards.

        Raises as PlanExecutor.send.
        """
        try:
            return await self._queue.send(request, field)
        finally:
            for key in [key for key, answer in self._answers.items() if answer.is_there]:
                del self._answers[key]

    async def aclose(self) -> None:
        """Cancels the reads in flight: nobody waits for them any more."""
        await self._queue.aclose()


class BatchQueue:
    """Collects the operation's requests for a batch window, then executes them as one batch.

    aiodataloader collects the keys of a turn. Each key has an Answer of its own, so no key waits
    for another, and a cancelled batch leaves no waiter hanging.
    """

    def __init__(self, executor: PlanExecutor, answers: dict[Request, Answer]) -> None:
        self.trace = executor.trace
        self._executor = executor
        self._answers = answers
        self._call_soon = asyncio.get_running_loop().call_soon
        self._waiting: dict[Request, Answer] = {}
        self._turns_left = 0
        self._is_closed = False
        self._rounds: dict[asyncio.Future[None], dict[Request, Answer]] = {}

    async def send(self, request: FormRequest[R], field: str) -> R:
        """Sends a mutation at once: it waits for no batch window."""
        return await self._executor.send(request, field)

    async def load_batch(self, requests: list[Request]) -> list[None]:
        """aiodataloader's batch function: the answers come later, each by itself."""
        if self._is_closed:
            for request in requests:
                self._answers[request].put(asyncio.CancelledError())
            return [None] * len(requests)
        self._turns_left = BATCH_WINDOW_TURNS
        if not self._waiting:
            self._call_soon(self._wait_out_window)
        self._waiting.update({request: self._answers[request] for request in requests})
        return [None] * len(requests)

    async def aclose(self) -> None:
        """Cancels every round that still reads, and waits until it has ended; sends nothing more.

        A round that has given its answers ends by itself: a cancellation would leave a reference
        cycle of its traceback, and all that the operation has read.
        """
        self._is_closed = True
        running = [round_ for round_ in self._rounds if not round_.done()]
        for round_ in running:
            if not all(answer.is_there for answer in self._rounds[round_].values()):
                round_.cancel()
        if running:
            await asyncio.gather(*running, return_exceptions=True)
        for answer in self._waiting.values():
            answer.put(asyncio.CancelledError())

    def known_answer(self, request: Request) -> KnownAnswer | None:
        """The answer to a request if nothing has to be read for it."""
        return self._executor.known_answer(request)

    def _wait_out_window(self) -> None:
        """See Note [Batch window]."""
        if self._is_closed:
            return
        if self._turns_left > 0:
            self._turns_left -= 1
            self._call_soon(self._wait_out_window)
            return
        waiting, self._waiting = self._waiting, {}

        def resolve(request: Request, outcome: Any) -> None:
            waiting[request].put(outcome)

        def end(round_: "asyncio.Future[None]") -> None:
            """After our own fault, or a cancellation, no waiter may hang."""
            del self._rounds[round_]
            rest: BaseException = asyncio.CancelledError()
            if not round_.cancelled():
                rest = round_.exception() or RuntimeError("A request was left without an answer")
            for answer in waiting.values():
                if not answer.is_there:
                    answer.put(rest)

        round_ = asyncio.ensure_future(self._executor.execute(waiting, resolve))
        self._rounds[round_] = waiting
        round_.add_done_callback(end)


async def settled(value: T | Awaitable[T]) -> T:
    """The value, awaited if it is an awaitable."""
    return await value if isawaitable(value) else value


def _same(answer: Any) -> Any:
    return answer


def _give(waiter: "asyncio.Future[Any]", then: Then, outcome: Any) -> None:
    """Gives a waiter, if there still is one, what `then` makes of the outcome."""
    if waiter.done():
        return
    if isinstance(outcome, asyncio.CancelledError):
        waiter.cancel()
        return
    if isinstance(outcome, Exception):
        waiter.set_exception(outcome)
        return
    try:
        value = then(outcome)
    except Exception as error:
        waiter.set_exception(error)
        return
    if type(value) is not CoroutineType:
        waiter.set_result(value)
        return
    later = asyncio.ensure_future(value)
    later.add_done_callback(partial(_pass_on, waiter))
    waiter.add_done_callback(lambda _: later.cancel())


def _pass_on(waiter: "asyncio.Future[Any]", done: "asyncio.Future[Any]") -> None:
    outcome: Any = asyncio.CancelledError()
    if not done.cancelled():
        outcome = done.exception() or done.result()
    _give(waiter, _same, outcome)
