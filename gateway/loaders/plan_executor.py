"""Carries out what the planner decides, for one operation.

It sends, hands pages to a scan, resolves each key as soon as its rows are certain, and asks per key
what a scan leaves. This module must not know which way is cheaper, nor GraphQL.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from gateway.errors import BudgetExceeded, DryRun, GatewayError, UpstreamError, UpstreamTimeout
from gateway.planner import (
    Costs,
    KnownAnswer,
    OperationCache,
    Policy,
    Request,
    Scan,
    Send,
    Strategy,
    per_key,
    plan,
)
from gateway.planner.windows import edge_of
from gateway.telemetry.upstream_trace import RequestRecord, UpstreamTrace
from gateway.upstream.client import Priority, RequestContext, UpstreamClient
from gateway.upstream.requests import ListRequest, Page
from gateway.upstream.resources import Resource
from gateway.upstream.writes import FormRequest

__all__ = ["PlanExecutor"]

R = TypeVar("R", bound=Resource)
WRITE = "mutation"
Resolve = Callable[[Request, Any], None]
TOO_LATE = "The operation's deadline passed before this was read"


class PlanExecutor:
    """One operation's way upstream. `deadline` is a time of the loop's clock, `budget` requests.

    In a dry run only the first page of a list is read, from which the rest can be planned.
    """

    def __init__(
        self,
        client: UpstreamClient,
        known: OperationCache,
        costs: Costs,
        policy: Policy,
        trace: UpstreamTrace,
        deadline: float,
        budget: int,
        *,
        is_dry: bool = False,
        priority: Priority = Priority.INTERACTIVE,
    ) -> None:
        self.trace = trace
        self._known = known
        self._client = client
        self._costs = costs
        self._policy = policy
        self._deadline = deadline
        self._budget = budget
        self._is_dry = is_dry
        self._context = RequestContext(self, priority, deadline)

    def known_answer(self, request: Request) -> KnownAnswer | None:
        """The answer where it is known without asking; never, where every key is to be asked."""
        if not self._policy.adaptive:
            return None
        answer = self._known.answer(request)
        self.trace.known += answer is not None
        return answer or self._cached(request)

    def _cached(self, request: Request) -> KnownAnswer | None:
        """What an earlier operation has read and cannot have changed."""
        value = self._client.cached(request)
        if value is None:
            return None
        self.trace.cached += 1
        self._known.note(value)
        return KnownAnswer(value)

    async def send(self, request: FormRequest[R], field: str) -> R:
        """Posts what changes something; `field` is the path of the field that wants it.

        What was read before may be out of date with that: only the new row is known. Raises
        UpstreamError or BudgetExceeded, and DryRun where nothing is to be sent.
        """
        self.trace.note_field(request, field)
        record = self.trace.begin(request, WRITE, [request], (1, 0.0))
        if self._is_dry:
            raise DryRun("A dry run: this is planned and was not sent")
        clock = asyncio.get_running_loop().time
        if clock() >= self._deadline:
            raise UpstreamTimeout("The operation's deadline passed before this was sent")
        self._spend()
        record.began = clock()
        self._known = OperationCache(self._known.now)
        try:
            row = await self._client.send(request, record.on_attempt, self._context)
        except Exception as error:
            record.end(clock(), 0, _code(error))
            raise
        record.end(clock(), 1)
        record.used = 1
        self._known.note(row)
        return row

    async def execute(self, requests: Iterable[Request], resolve: Resolve) -> None:
        """Plans a batch and resolves every request of it, with its answer or with an Exception."""
        steps = plan(requests, self._known, self._costs, self._policy)
        async with asyncio.TaskGroup() as group:
            for step in steps:
                if self._is_dry and not _is_first_page(step):
                    self._only_plan(step, resolve)
                elif isinstance(step, Scan):
                    group.create_task(self._scan(step, resolve))
                    await asyncio.sleep(0)  # first in the line: the round waits longest for it
                else:
                    group.create_task(self._send(step, resolve))

    def _only_plan(self, step: Send | Scan, resolve: Resolve) -> None:
        keys = step.keys if isinstance(step, Scan) else step.serves
        for request in step.send() if isinstance(step, Scan) else [step.request]:
            self._enter(request, step, keys)
        for key in keys:
            resolve(key, DryRun("A dry run: this is planned and was not read"))

    async def _send(self, step: Send, resolve: Resolve) -> None:
        record = self._enter(step.request, step, step.serves)
        try:
            answer: Any = await self._read(step.request, record)
        except Exception as error:  # whatever it is, nobody may be left waiting
            answer = error
        else:
            record.used = record.rows
        for request in step.serves:
            resolve(request, answer)

    def _enter(self, request: Request, step: Send | Scan, keys: Iterable[Request]) -> RequestRecord:
        way = Strategy.SCAN if isinstance(step, Scan) else Strategy.PER_KEY
        predicted = (step.predicted.requests, step.predicted.seconds)
        return self.trace.begin(request, way, keys, predicted)

    async def _scan(self, scan: Scan, resolve: Resolve) -> None:
        reading: dict[asyncio.Task[Page[Any] | None], RequestRecord] = {}
        try:
            while scan.left:
                for request in scan.send():
                    record = self._enter(request, scan, scan.keys)
                    reading[asyncio.ensure_future(self._page(request, record))] = record
                if not reading:
                    break
                done, _ = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._take(scan, task.result(), reading.pop(task), resolve)
        except Exception as error:  # a fault of ours costs the keys of this scan and no others
            for key in scan.left:
                resolve(key, error)
            return
        finally:
            for task in reading:
                task.cancel()
        async with asyncio.TaskGroup() as group:
            for step in per_key(scan.left, self._costs, self._policy):
                group.create_task(self._send(step, resolve))

    @staticmethod
    def _take(scan: Scan, page: Page[Any] | None, record: RequestRecord, resolve: Resolve) -> None:
        for request, answer in (scan.take(page) if page else {}).items():
            record.used = (record.used or 0) + len(answer.value.rows)
            resolve(request, answer.value)

    async def _page(self, request: ListRequest[Any], record: RequestRecord) -> Page[Any] | None:
        """A page of a scan; None where it failed, which leaves its keys to be asked per key."""
        try:
            page: Page[Any] = await self._read(request, record)
        except (UpstreamError, BudgetExceeded):
            return None
        return page

    async def _read(self, request: Request, record: RequestRecord) -> Any:
        clock = asyncio.get_running_loop().time
        try:
            if clock() >= self._deadline:
                raise TimeoutError
            self._spend()
            record.began = clock()
            async with asyncio.timeout_at(self._deadline):
                answer = await self._ask(request, record)
        except TimeoutError:
            record.end(clock(), 0, UpstreamTimeout.code)
            raise UpstreamTimeout(TOO_LATE) from None
        except Exception as error:
            record.end(clock(), 0, _code(error))
            raise
        record.end(
            clock(), answer.rows_read if isinstance(answer, Page) else int(answer is not None)
        )
        self._known.note(answer)
        return answer

    def _spend(self) -> None:
        if self._budget <= 0:
            raise BudgetExceeded("This operation takes more upstream requests than it may send")
        self._budget -= 1

    async def _ask(self, request: Request, record: RequestRecord) -> Any:
        if not isinstance(request, ListRequest):
            return await self._client.fetch(request, record.on_attempt, self._context)
        page = await self._client.page(request, record.on_attempt, self._context)
        self._costs.note(page)
        return page


def _code(error: Exception) -> str:
    """The error's code; what is none of our tree is an internal error."""
    return error.code if isinstance(error, GatewayError) else GatewayError.code


def _is_first_page(step: Send | Scan) -> bool:
    """True for the top of a list that is no call's edge: from it the edges can be planned."""
    request = step.request if isinstance(step, Send) else None
    return isinstance(request, ListRequest) and edge_of(request) is None
