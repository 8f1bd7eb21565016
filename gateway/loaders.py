"""aiodataloader: keys in, one batch out; fresh for every operation.

A key is a request value, so one loader serves every edge: which relation is meant is the request's
type. The loaders hand keys over; one queue collects what the whole operation asks and gives it to
the planner at once, whatever level, alias or entity it comes from. Each key resolves as soon as its
own answer is there. This module must not know GraphQL, nor which request is cheaper: that is the
planner's.

Note [Quiet]. Resolvers reach the queue some turns of the event loop apart: a level whose rows are
known is a dozen turns behind the level above it, and nothing is gained by sending the first half
alone. So the queue waits until nobody has asked anything for PATIENCE turns (some 0.1 ms), which
is when only answers from upstream can bring the operation forward.
"""

import asyncio
from typing import Any, TypeVar

from aiodataloader import DataLoader

from gateway.errors import UpstreamTimeout
from gateway.planner import Known, Request, Step, plan
from gateway.upstream.client import UpstreamClient
from gateway.upstream.requests import FetchRequest, ListRequest, Page
from gateway.upstream.resources import Resource

__all__ = ["Loaders"]

R = TypeVar("R", bound=Resource)
PATIENCE = 16


class Loader(DataLoader[Request, "asyncio.Future[Any]"]):
    """aiodataloader 0.4.3 with its repairs: no waiter can cancel or poison a key for the others.

    Its batch function answers at once with a future for each key, so no key waits for
    another and no cancelled batch leaves anybody hanging.
    """

    async def answer(self, request: Request) -> Any:
        """The answer to a request, shared with everybody in the operation who asks the same."""
        shared = await asyncio.shield(self.load(request))
        return await asyncio.shield(shared)


class Loaders:
    """How the resolvers of one operation read. Made inside the running loop; ends with `aclose`.

    `deadline` is a time of the event loop's clock (seconds); what is not read by then raises
    UpstreamTimeout.
    """

    def __init__(self, client: UpstreamClient, deadline: float) -> None:
        self._queue = Queue(client, deadline)
        self._loader = Loader(self._queue.ask_all)

    async def row(self, request: FetchRequest[R]) -> R | None:
        """One resource, None when there is none. Raises an UpstreamError."""
        row: R | None = await self._loader.answer(request)
        return row

    async def page(self, request: ListRequest[R]) -> Page[R]:
        """One page of a list; of the first page possibly more rows than asked. Raises likewise."""
        page: Page[R] = await self._loader.answer(request)
        return page

    async def aclose(self) -> None:
        """Cancels what is still being read: nobody is left to read it for."""
        await self._queue.aclose()


class Queue:
    """What the operation asks, collected until it is quiet, planned as a whole and sent."""

    def __init__(self, client: UpstreamClient, deadline: float) -> None:
        self._client = client
        self._deadline = deadline
        self._known = Known()
        self._waiting: dict[Request, asyncio.Future[Any]] = {}
        self._patience = 0
        self._reads: set[asyncio.Task[None]] = set()

    async def ask_all(self, requests: list[Request]) -> list[asyncio.Future[Any]]:
        """The loader's batch function: a future for each request."""
        self._patience = PATIENCE
        return [self._ask(request) for request in requests]

    async def aclose(self) -> None:
        """Cancels every read and waits until it has ended."""
        for read in self._reads:
            read.cancel()
        await asyncio.gather(*self._reads, return_exceptions=True)

    def _ask(self, request: Request) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        known = self._known.answer(request)
        if known is not None:
            future.set_result(known.value)
            return future
        future.add_done_callback(_mark_retrieved)
        if not self._waiting:
            loop.call_soon(self._wait_for_quiet)
        self._waiting[request] = future
        return future

    def _wait_for_quiet(self) -> None:
        """See Note [Quiet]."""
        if self._patience > 0:
            self._patience -= 1
            asyncio.get_running_loop().call_soon(self._wait_for_quiet)
            return
        waiting, self._waiting = self._waiting, {}
        for step in plan(waiting):
            self._begin(step, [waiting[request] for request in step.serves])

    def _begin(self, step: Step, futures: list[asyncio.Future[Any]]) -> None:
        read = asyncio.ensure_future(self._read(step, futures))
        self._reads.add(read)
        read.add_done_callback(self._reads.discard)

    async def _read(self, step: Step, futures: list[asyncio.Future[Any]]) -> None:
        try:
            if asyncio.get_running_loop().time() >= self._deadline:
                raise TimeoutError
            async with asyncio.timeout_at(self._deadline):
                answer = await self._send(step.request)
        except TimeoutError:
            _reject(
                futures, UpstreamTimeout("The operation's deadline passed before this was read")
            )
        except Exception as error:  # whatever it is, nobody may be left waiting
            _reject(futures, error)
        else:
            self._known.note(answer)
            for future in futures:
                future.set_result(answer)
        finally:
            for future in futures:
                future.cancel()

    async def _send(self, request: Request) -> Any:
        if isinstance(request, ListRequest):
            return await self._client.page(request)
        return await self._client.fetch(request)


def _reject(futures: list[asyncio.Future[Any]], error: Exception) -> None:
    for future in futures:
        future.set_exception(error)


def _mark_retrieved(future: asyncio.Future[Any]) -> None:
    """An answer that nobody waits for any more may fail in silence."""
    if not future.cancelled():
        future.exception()
