"""Executes the planner's plan for one operation.

It sends requests, passes pages to scans, resolves each key as soon as its rows are certain, and
requests per key what a scan leaves. This module must not know which strategy is cheaper, nor
GraphQL.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
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
from gateway.telemetry.upstream_trace import PlanRecord, RequestRecord, UpstreamTrace
from gateway.upstream.calls import CallResource
from gateway.upstream.client import Priority, RequestContext, UpstreamClient
from gateway.upstream.requests import ListRequest, Page
from gateway.upstream.resources import Resource
from gateway.upstream.writes import FormRequest

__all__ = ["PlanExecutor"]

R = TypeVar("R", bound=Resource)
WRITE = "mutation"
Resolve = Callable[[Request, Any], None]
DEADLINE_PASSED = "The operation's deadline passed before this was read"


class PlanExecutor:
    """Executes one operation. `deadline` is a time of the loop's clock, `budget` a request count.

    A dry run reads only the first page of a list, from which the rest can be planned.
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
        self.deadline = deadline
        self._budget = budget
        self._is_dry = is_dry
        self._context = RequestContext(object(), priority, deadline)

    def known_answer(self, request: Request) -> KnownAnswer | None:
        """The answer if no request is needed; always None where the policy is not adaptive."""
        if not self._policy.adaptive:
            return None
        answer = self._known.answer(request)
        self.trace.known += answer is not None
        return answer or self._cached(request)

    def _cached(self, request: Request) -> KnownAnswer | None:
        """An answer that an earlier operation has read and that cannot have changed."""
        found = self._client.cached(request)
        return None if found is None else self._use_cached(*found)

    def _use_cached(self, value: Any, seconds: float) -> KnownAnswer:
        self.trace.keep_for(seconds)
        self.trace.cached += 1
        self._known.record(value)
        return KnownAnswer(value)

    async def _recall(self, batch: list[Request], resolve: Resolve) -> list[Request]:
        """Resolves what another gateway has read and shared; the requests that are left."""
        found = await self._client.recall({request: self._owner(request) for request in batch})
        for request, cached in found.items():
            resolve(request, self._use_cached(*cached).value)
        return [request for request in batch if request not in found]

    async def send(self, request: FormRequest[R], field: str) -> R:
        """Posts a mutation; `field` is the path of the requesting field.

        Rows read before may be outdated then: only the new row is known. Raises UpstreamError or
        BudgetExceeded, and DryRun in a dry run.
        """
        self.trace.note_field(request, field)
        record = self.trace.begin(request, WRITE, [request], (1, 0.0))
        if self._is_dry:
            raise DryRun("A dry run: this is planned and was not sent")
        clock = asyncio.get_running_loop().time
        if clock() >= self.deadline:
            raise UpstreamTimeout("The operation's deadline passed before this was sent")
        self._spend_budget()
        record.began = clock()
        self._known = OperationCache(self._known.now)
        try:
            row = await self._client.send(request, record.on_attempt, self._context)
        except Exception as error:
            record.end(clock(), 0, _error_code(error))
            raise
        record.end(clock(), 1)
        record.used = 1
        self._known.record(row)
        return row

    async def execute(self, requests: Iterable[Request], resolve: Resolve) -> None:
        """Plans a batch and resolves each of its requests with the answer or an Exception."""
        batch = list(requests)
        if self._client.shares_cache and self._policy.adaptive:
            batch = await self._recall(batch, resolve)
            if not batch:
                return
        steps = self._planned(batch)
        if self._is_dry:
            for step in steps:
                if not _is_first_page(step):
                    self._record_plan(step, resolve)
            steps = [step for step in steps if _is_first_page(step)]
        if len(steps) == 1:  # the usual case needs no task
            await self._executed(steps[0], resolve)
            return
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(self._executed(step, resolve))
                if isinstance(step, Scan):
                    await asyncio.sleep(0)  # first in the queue: the round waits longest for it

    def _planned(self, batch: list[Request]) -> Sequence[Send | Scan]:
        clock = asyncio.get_running_loop().time
        began = clock()
        steps = plan(batch, self._known, self._costs, self._policy)
        if self.trace.plans is not None:
            scans = sum(isinstance(step, Scan) for step in steps)
            requests = sum(step.predicted.requests for step in steps)
            seconds = max((step.predicted.seconds for step in steps), default=0.0)
            self.trace.plans.append(
                PlanRecord(began, clock(), len(batch), scans, requests, seconds)
            )
        return steps

    def _executed(self, step: Send | Scan, resolve: Resolve) -> Coroutine[Any, Any, None]:
        return self._scan(step, resolve) if isinstance(step, Scan) else self._send(step, resolve)

    def _record_plan(self, step: Send | Scan, resolve: Resolve) -> None:
        keys = step.keys if isinstance(step, Scan) else step.serves
        for request in step.next_requests() if isinstance(step, Scan) else [step.request]:
            self._begin_record(request, step, keys)
        for key in keys:
            resolve(key, DryRun("A dry run: this is planned and was not read"))

    async def _send(self, step: Send, resolve: Resolve) -> None:
        record = self._begin_record(step.request, step, step.serves)
        try:
            answer: Any = await self._read(step.request, record)
        except Exception as error:  # any error: no waiter may hang
            answer = error
        else:
            record.used = len(answer.rows) if isinstance(answer, Page) else record.rows
        for request in step.serves:
            resolve(request, answer)

    def _begin_record(
        self, request: Request, step: Send | Scan, keys: Iterable[Request]
    ) -> RequestRecord:
        strategy = Strategy.SCAN if isinstance(step, Scan) else Strategy.PER_KEY
        predicted = (step.predicted.requests, step.predicted.seconds)
        return self.trace.begin(request, strategy, keys, predicted)

    async def _scan(self, scan: Scan, resolve: Resolve) -> None:
        try:
            await self._read_scan(scan, resolve)
        except Exception as error:  # our own fault fails the keys of this scan only
            for key in scan.remaining:
                resolve(key, error)
            return
        self.trace.scanned += len(scan.keys) - len(scan.remaining)
        async with asyncio.TaskGroup() as group:
            for step in per_key(scan.remaining, self._costs, self._policy):
                group.create_task(self._send(step, resolve))

    async def _read_scan(self, scan: Scan, resolve: Resolve) -> None:
        in_flight: dict[asyncio.Task[Page[Any] | None], RequestRecord] = {}
        try:
            while scan.remaining:
                reads = {
                    request: self._begin_record(request, scan, scan.keys)
                    for request in scan.next_requests()
                }
                if len(reads) == 1 and not in_flight:  # the usual case needs no task
                    ((request, record),) = reads.items()
                    page = await self._read_scan_page(request, record)
                    self._resolve_certain(scan, page, record, resolve)
                    continue
                for request, record in reads.items():
                    in_flight[asyncio.ensure_future(self._read_scan_page(request, record))] = record
                if not in_flight:
                    break
                done, _ = await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._resolve_certain(scan, task.result(), in_flight.pop(task), resolve)
        finally:
            for task in in_flight:
                task.cancel()

    @staticmethod
    def _resolve_certain(
        scan: Scan, page: Page[Any] | None, record: RequestRecord, resolve: Resolve
    ) -> None:
        for request, answer in (scan.receive(page) if page else {}).items():
            record.used = (record.used or 0) + len(answer.value.rows)
            resolve(request, answer.value)

    async def _read_scan_page(
        self, request: ListRequest[Any], record: RequestRecord
    ) -> Page[Any] | None:
        """A page of a scan; None where it failed, so that its keys are requested per key."""
        try:
            page: Page[Any] = await self._read(request, record)
        except (UpstreamError, BudgetExceeded):
            return None
        return page

    async def _read(self, request: Request, record: RequestRecord) -> Any:
        clock = asyncio.get_running_loop().time
        try:
            if clock() >= self.deadline:
                raise TimeoutError
            self._spend_budget()
            record.began = clock()
            async with asyncio.timeout_at(self.deadline):
                answer = await self._sent(request, record)
        except TimeoutError:
            record.end(clock(), 0, UpstreamTimeout.code)
            raise UpstreamTimeout(DEADLINE_PASSED) from None
        except Exception as error:
            record.end(clock(), 0, _error_code(error))
            raise
        record.end(
            clock(), answer.rows_read if isinstance(answer, Page) else int(answer is not None)
        )
        if self.trace.max_age is not None:
            self.trace.keep_for(self._client.lifetime(request, answer, self._owner(request)))
        if isinstance(answer, Page):
            self._costs.learn(answer)
        self._known.record(answer)
        return answer

    def _spend_budget(self) -> None:
        if self._budget <= 0:
            raise BudgetExceeded("This operation takes more upstream requests than it may send")
        self._budget -= 1

    def _sent(self, request: Request, record: RequestRecord) -> Awaitable[Any]:
        if not isinstance(request, ListRequest):
            return self._client.fetch(request, record.on_attempt, self._context)
        owner = self._owner(request)
        return self._client.page(request, record.on_attempt, self._context, owner)

    def _owner(self, request: Request) -> CallResource | None:
        """The call whose list it is, as far as the operation knows it."""
        owner = request.owner if isinstance(request, ListRequest) else None
        return self._known.call(owner) if owner else None


def _error_code(error: Exception) -> str:
    """The error's code; an error outside our own hierarchy is an internal error."""
    return error.code if isinstance(error, GatewayError) else GatewayError.code


def _is_first_page(step: Send | Scan) -> bool:
    """True for the top of a list that is no call's edge: edges can be planned from its rows."""
    request = step.request if isinstance(step, Send) else None
    return isinstance(request, ListRequest) and edge_of(request) is None
