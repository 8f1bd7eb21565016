"""The gateway proper: an upstream client, and a context for each operation over it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Hashable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
)
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
from graphql import GraphQLError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from gateway.app.callbacks import callback_url
from gateway.app.stores import open_store
from gateway.errors import DryRun, UpstreamTimeout
from gateway.executor import Executor
from gateway.journal import Explain, Journal
from gateway.live.once import Acts
from gateway.live.shared import Shared
from gateway.live.store import MemoryStore, Store
from gateway.live.watching import Watching
from gateway.loaders import Loaders
from gateway.planner import Costs, Known, Policy
from gateway.sandbox import SandboxConfig
from gateway.sandbox import create_app as create_sandbox
from gateway.schema import Context, schema
from gateway.settings import PlannerMode, Secret, Settings, Switch
from gateway.upstream.client import Account, Limits, Priority, UpstreamClient
from gateway.upstream.resources import CallResource

__all__ = ["Gateway", "Terms", "open_gateway", "response_map"]

# Past an operation's deadline nothing is read any more; what was read is put together in this many
# seconds, or the operation is given up: no answer takes longer.
GRACE = 1.5
QUERIES = (OperationType.QUERY,)
QUERIES_AND_MUTATIONS = (OperationType.QUERY, OperationType.MUTATION)
NO_SUCH_OPERATION = "The document has no operation of that name"


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Terms:
    """How one operation wants to be answered.

    `request_budget` and `timeout` (seconds) lower the settings for this operation. `priority` BULK
    lets others go first upstream.
    """

    explain: Explain = Explain.NOTHING
    request_budget: int | None = None
    timeout: float | None = None
    priority: Priority = Priority.INTERACTIVE


DEFAULT_TERMS = Terms()


class Gateway:
    """Executes operations. Each has loaders and a deadline of its own; `now` is when it begins."""

    def __init__(
        self,
        settings: Settings,
        client: UpstreamClient,
        store: Store | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.store: Store = store or MemoryStore()
        self.acts = Acts(self.store)
        self._results: Shared[Any] = Shared()
        self.watching = Watching.of(client, self.store, settings.max_subscribers, now)
        self._callback_url = callback_url(settings)
        self._now = now
        self.settings = settings
        self.client = client
        self._costs = Costs()
        self._policy = Policy(
            adaptive=settings.planner is PlannerMode.ADAPTIVE,
            scan_child_calls=settings.scan_child_calls is Switch.ON,
        )

    async def execute(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        terms: Terms = DEFAULT_TERMS,
        *,
        may_mutate: bool = True,
    ) -> ExecutionResult:
        """The result of one operation; its upstream work ends with it, also when it is cancelled.

        Raises Strawberry's CannotGetOperationTypeError where no operation has that name, and
        InvalidOperationTypeError for a subscription, and for a mutation where none may be.
        """
        journal = Journal(asyncio.get_running_loop().time)
        try:
            async with (
                asyncio.timeout(self._seconds(terms) + GRACE),
                self._operation(terms, journal) as context,
            ):
                result = await schema.execute(
                    query,
                    variable_values=dict(variables or {}),
                    context_value=context,
                    operation_name=operation_name,
                    allowed_operation_types=QUERIES_AND_MUTATIONS if may_mutate else QUERIES,
                )
        except TimeoutError:
            result = ExecutionResult(None, [_too_late()])
        return explained(result, journal, terms.explain)

    def _seconds(self, terms: Terms) -> float:
        """How long an operation on these terms may read."""
        allowed = self.settings.operation_timeout
        return min(terms.timeout or allowed, allowed)

    async def stream(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        terms: Terms = DEFAULT_TERMS,
        *,
        may_mutate: bool = True,
    ) -> AsyncGenerator[ExecutionResult, None]:
        """The results of any operation: one, or those of a subscription until it ends.

        Whoever stops reading before its end closes it. A result without data is the last.
        """
        try:
            yield await self.execute(query, variables, operation_name, terms, may_mutate=may_mutate)
        except CannotGetOperationTypeError:
            yield _refusal(NO_SUCH_OPERATION)
        except InvalidOperationTypeError as error:
            if error.operation_type is not OperationType.SUBSCRIPTION:
                yield _refusal("GET answers no mutations")
                return
            events = self._subscribe(query, variables, operation_name, terms)
            async with aclosing(events):
                async for result in events:
                    yield result

    async def _subscribe(
        self,
        query: str,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
        terms: Terms,
    ) -> AsyncGenerator[ExecutionResult, None]:
        journal = Journal(asyncio.get_running_loop().time)
        sharing = query, msgspec.json.encode(variables, order="sorted"), operation_name, terms
        is_shared = terms.explain is Explain.NOTHING
        async with self._operation(terms, journal, sharing if is_shared else None) as context:
            results = await schema.subscribe(
                query,
                variable_values=dict(variables or {}),
                context_value=context,
                operation_name=operation_name,
            )
            async with aclosing(results):
                async for result in results:
                    assert isinstance(result, ExecutionResult)  # noqa: S101 (nothing is deferred)
                    yield explained(result, context.loaders.journal, terms.explain)

    async def answer(
        self,
        query: str,
        variables: Mapping[str, Any],
        operation_name: str | None,
        terms: Terms = DEFAULT_TERMS,
    ) -> dict[str, Any]:
        """The response map of one operation: errors where there are any, and data."""
        try:
            result = await self.execute(query, variables, operation_name, terms)
        except CannotGetOperationTypeError:
            return {"errors": [{"message": NO_SUCH_OPERATION}]}
        except InvalidOperationTypeError:
            return {"errors": [{"message": "A subscription has no single answer"}]}
        return response_map(result)

    @asynccontextmanager
    async def _operation(
        self, terms: Terms, journal: Journal, sharing: Hashable = None
    ) -> AsyncIterator[Context]:
        """What one operation carries."""

        def open_loaders(row: CallResource) -> AbstractAsyncContextManager[Loaders]:
            return self._loaders(terms, Journal(asyncio.get_running_loop().time), row)

        async with self._loaders(terms, journal) as loaders:
            yield Context(
                loaders=loaders,
                open_loaders=open_loaders,
                store=self.store,
                watching=self.watching,
                acts=self.acts,
                deadline=asyncio.get_running_loop().time() + self._seconds(terms),
                callback_url=self._callback_url,
                account_sid=self.client.account_sid,
                page_budget=self.settings.page_budget,
                row_budget=self.settings.row_budget,
                results=self._results,
                sharing=sharing,
            )

    @asynccontextmanager
    async def _loaders(
        self, terms: Terms, journal: Journal, row: CallResource | None = None
    ) -> AsyncIterator[Loaders]:
        """Loaders with a deadline and a budget of their own, which know this row already."""
        allowed = self.settings.request_budget
        known = Known(self._now())
        known.note(row)
        executor = Executor(
            self.client,
            known,
            self._costs,
            replace(self._policy, concurrency=self.client.concurrency),
            journal,
            asyncio.get_running_loop().time() + self._seconds(terms),
            min(terms.request_budget or allowed, allowed),
            is_dry=terms.explain is Explain.PLAN,
            priority=terms.priority,
        )
        loaders = Loaders(executor)
        try:
            yield loaders
        finally:
            await loaders.aclose()


def _refusal(message: str) -> ExecutionResult:
    return PreExecutionError(data=None, errors=[GraphQLError(message)])


def explained(result: ExecutionResult, journal: Journal, explain: Explain) -> ExecutionResult:
    """The result with `extensions.upstream` as far as it was asked for.

    A dry run has one error that says so, in place of one for each field that was not read.
    """
    if explain is Explain.NOTHING or not _was_executed(result):
        return result
    result.extensions = {**(result.extensions or {}), "upstream": journal.explain(explain)}
    if explain is Explain.PLAN:
        error = DryRun("A dry run: what would be asked upstream is in extensions.upstream")
        result.errors = [GraphQLError(str(error), extensions=error.extensions)]
    return result


def _too_late() -> GraphQLError:
    error = UpstreamTimeout("The operation was not put together in time")
    return GraphQLError(str(error), original_error=error, extensions=error.extensions)


def _was_executed(result: ExecutionResult) -> bool:
    """False where the request itself was at fault: no field was resolved."""
    return result.data is not None or any(
        error.path or isinstance(error.original_error, UpstreamTimeout)
        for error in result.errors or ()
    )


def response_map(result: ExecutionResult) -> dict[str, Any]:
    """GraphQL's response format: no `data` where the request itself was at fault."""
    body: dict[str, Any] = {}
    if result.errors:
        body["errors"] = [error.formatted for error in result.errors]
    if _was_executed(result):
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    return body


@asynccontextmanager
async def open_gateway(
    settings: Settings, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[Gateway]:
    """A gateway to the account of the settings, or to an embedded sandbox where none is set.

    `transport` takes the place of the network (tests).
    """
    async with AsyncExitStack() as stack:
        account = _account(settings)
        if settings.uses_sandbox:
            sandbox = create_sandbox(
                SandboxConfig(calls=settings.sandbox_calls, seed=settings.sandbox_seed)
            )
            stack.push_async_callback(sandbox.state.sandbox.aclose)
            in_process = httpx.ASGITransport(app=sandbox, raise_app_exceptions=False)
            transport = transport or in_process
        client = UpstreamClient(account, settings.base_url, transport, _limits(settings))
        stack.push_async_callback(client.aclose)
        store = await stack.enter_async_context(open_store(settings, account.sid))
        gateway = Gateway(settings, client, store)
        stack.push_async_callback(gateway.acts.aclose)
        await stack.enter_async_context(_running(gateway.watching.run()))
        yield gateway


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work that goes on beside, until the end."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _limits(settings: Settings) -> Limits:
    return Limits(
        connect=settings.connect_timeout,
        attempt=settings.try_timeout,
        read=settings.read_timeout,
        in_flight=settings.max_in_flight,
        waiting=settings.max_waiting,
        tries=settings.tries,
        retry_share=settings.retry_share / 100,
        cache_bytes=settings.cache_size * 1024 * 1024,
    )


def _account(settings: Settings) -> Account:
    if settings.account_sid is None:
        sandbox = SandboxConfig()
        return Account(sandbox.account_sid, sandbox.account_sid, Secret(sandbox.auth_token))
    if settings.api_key and settings.api_secret:
        return Account(settings.account_sid, settings.api_key, settings.api_secret)
    assert settings.auth_token  # noqa: S101 (Settings sees to it)
    return Account(settings.account_sid, settings.account_sid, settings.auth_token)
