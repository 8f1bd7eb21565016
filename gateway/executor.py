"""Carries out what the planner decides, for one operation.

It sends, hands pages to a scan, resolves each key as soon as its rows are certain, and asks per key
what a scan leaves. This module must not know which way is cheaper, nor GraphQL.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from gateway.errors import BudgetExceeded, UpstreamError, UpstreamTimeout
from gateway.planner import Answer, Costs, Known, Policy, Request, Scan, Send, per_key, plan
from gateway.upstream.client import UpstreamClient
from gateway.upstream.requests import ListRequest, Page

__all__ = ["Executor"]

Resolve = Callable[[Request, Any], None]
TOO_LATE = "The operation's deadline passed before this was read"


class Executor:
    """One operation's way upstream. `deadline` is a time of the loop's clock, `budget` requests."""

    def __init__(
        self,
        client: UpstreamClient,
        known: Known,
        costs: Costs,
        policy: Policy,
        deadline: float,
        budget: int,
    ) -> None:
        self._known = known
        self._client = client
        self._costs = costs
        self._policy = policy
        self._deadline = deadline
        self._budget = budget

    def known_answer(self, request: Request) -> Answer | None:
        """The answer where it is known without asking; never, where every key is to be asked."""
        return self._known.answer(request) if self._policy.adaptive else None

    async def carry_out(self, requests: Iterable[Request], resolve: Resolve) -> None:
        """Plans a batch and resolves every request of it, with its answer or with an Exception."""
        steps = plan(requests, self._known, self._costs, self._policy)
        async with asyncio.TaskGroup() as group:
            for step in steps:
                if isinstance(step, Scan):
                    group.create_task(self._scan(step, resolve))
                else:
                    group.create_task(self._send(step, resolve))

    async def _send(self, step: Send, resolve: Resolve) -> None:
        try:
            answer: Any = await self._read(step.request)
        except Exception as error:  # whatever it is, nobody may be left waiting
            answer = error
        for request in step.serves:
            resolve(request, answer)

    async def _scan(self, scan: Scan, resolve: Resolve) -> None:
        reading: set[asyncio.Task[Page[Any] | None]] = set()
        try:
            while scan.left:
                reading |= {asyncio.ensure_future(self._page(request)) for request in scan.send()}
                if not reading:
                    break
                done, reading = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
                for page in filter(None, (task.result() for task in done)):
                    for request, answer in scan.take(page).items():
                        resolve(request, answer.value)
        finally:
            for task in reading:
                task.cancel()
        async with asyncio.TaskGroup() as group:
            for step in per_key(scan.left, self._costs, self._policy):
                group.create_task(self._send(step, resolve))

    async def _page(self, request: ListRequest[Any]) -> Page[Any] | None:
        """A page of a scan; None where it failed, which leaves its keys to be asked per key."""
        try:
            page: Page[Any] = await self._read(request)
        except (UpstreamError, BudgetExceeded):
            return None
        return page

    async def _read(self, request: Request) -> Any:
        if asyncio.get_running_loop().time() >= self._deadline:
            raise UpstreamTimeout(TOO_LATE)
        if self._budget <= 0:
            raise BudgetExceeded("This operation takes more upstream requests than it may send")
        self._budget -= 1
        try:
            async with asyncio.timeout_at(self._deadline):
                answer = await self._ask(request)
        except TimeoutError:
            raise UpstreamTimeout(TOO_LATE) from None
        self._known.note(answer)
        return answer

    async def _ask(self, request: Request) -> Any:
        if not isinstance(request, ListRequest):
            return await self._client.fetch(request)
        page = await self._client.page(request)
        self._costs.note(page)
        return page
