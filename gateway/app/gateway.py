"""The gateway proper: an upstream client, and a context for each operation over it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx
from graphql import GraphQLError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from gateway.access import ANYONE, Account, Caller, Scope
from gateway.app.upstreams import Upstream, UpstreamPool
from gateway.errors import DryRun, UpstreamTimeout
from gateway.executor import Executor
from gateway.journal import Explain, Journal
from gateway.loaders import Loaders
from gateway.planner import Known, Policy
from gateway.sandbox import SandboxConfig
from gateway.sandbox import create_app as create_sandbox
from gateway.schema import Context, schema
from gateway.settings import PlannerMode, Secret, Settings, SettingsError, Switch
from gateway.upstream.client import Limits, Priority, UpstreamClient

__all__ = ["Gateway", "Terms", "open_gateway", "response_map"]

# Past an operation's deadline nothing is read any more; what was read is put together in this many
# seconds, or the operation is given up: no answer takes longer.
GRACE = 1.5
QUERIES = (OperationType.QUERY,)
QUERIES_AND_MUTATIONS = (OperationType.QUERY, OperationType.MUTATION)


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
    """Executes operations. Each has loaders and a deadline of its own; `now` is when it begins.

    `client` is of the gateway's own account, None where only callers bring one; theirs are in
    `pool`.
    """

    def __init__(
        self,
        settings: Settings,
        client: UpstreamClient | None,
        now: Callable[[], datetime] = _utc_now,
        pool: UpstreamPool | None = None,
    ) -> None:
        self._now = now
        self.settings = settings
        self._own = Upstream(client) if client else None
        self._pool = pool
        self._policy = Policy(
            adaptive=settings.planner is PlannerMode.ADAPTIVE,
            scan_child_calls=settings.scan_child_calls is Switch.ON,
        )

    @property
    def client(self) -> UpstreamClient:
        """The client of the gateway's own account. Raises SettingsError where there is none."""
        return self._of_its_own().client

    @property
    def has_account(self) -> bool:
        """True when the gateway has an account of its own."""
        return self._own is not None

    def _of_its_own(self) -> Upstream:
        if self._own is None:
            raise SettingsError("TWILIO_ACCOUNT_SID: is missing; in passthrough, callers have one")
        return self._own

    async def execute(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        terms: Terms = DEFAULT_TERMS,
        *,
        caller: Caller,
        may_mutate: bool = True,
    ) -> ExecutionResult:
        """The result of one operation; its upstream work ends with it, also when it is cancelled.

        Raises Strawberry's CannotGetOperationTypeError where no operation has that name, and
        InvalidOperationTypeError for a subscription, and for a mutation where none may be.
        """
        journal = Journal(asyncio.get_running_loop().time, shows_personal=caller.may(Scope.PII))
        try:
            async with (
                asyncio.timeout(self._seconds(terms) + GRACE),
                self._upstream(caller) as upstream,
                self._operation(upstream, caller, journal, terms) as context,
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

    async def answer(
        self,
        query: str,
        variables: Mapping[str, Any],
        operation_name: str | None,
        terms: Terms = DEFAULT_TERMS,
    ) -> dict[str, Any]:
        """The response map of one operation that the operator asks: errors, if any, and data."""
        try:
            result = await self.execute(query, variables, operation_name, terms, caller=ANYONE)
        except CannotGetOperationTypeError:
            return {"errors": [{"message": "The document has no operation of that name"}]}
        except InvalidOperationTypeError:
            return {"errors": [{"message": "A subscription has no single answer"}]}
        return response_map(result)

    @asynccontextmanager
    async def _upstream(self, caller: Caller) -> AsyncIterator[Upstream]:
        """The way upstream with the caller's own credential, else with the gateway's."""
        if caller.account is None:
            yield self._of_its_own()
            return
        assert self._pool  # noqa: S101 (open_gateway gives one; the own is never lent instead)
        async with self._pool.upstream(caller.account) as upstream:
            yield upstream

    @asynccontextmanager
    async def _operation(
        self, upstream: Upstream, caller: Caller, journal: Journal, terms: Terms
    ) -> AsyncIterator[Context]:
        """What one operation carries."""
        allowed = self.settings.request_budget
        deadline = asyncio.get_running_loop().time() + self._seconds(terms)
        executor = Executor(
            upstream.client,
            Known(self._now()),
            upstream.costs,
            replace(self._policy, concurrency=upstream.client.concurrency),
            journal,
            deadline,
            min(terms.request_budget or allowed, allowed),
            is_dry=terms.explain is Explain.PLAN,
            priority=terms.priority,
        )
        loaders = Loaders(executor)
        try:
            yield Context(
                caller=caller,
                loaders=loaders,
                account_sid=upstream.client.account_sid,
                page_budget=self.settings.page_budget,
                row_budget=self.settings.row_budget,
            )
        finally:
            await loaders.aclose()


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
    settings: Settings,
    transport: httpx.AsyncBaseTransport | None = None,
    now: Callable[[], datetime] = _utc_now,
) -> AsyncIterator[Gateway]:
    """A gateway to the account of the settings, or to an embedded sandbox where none is set.

    `transport` takes the place of the network, `now` of the clock (tests).
    """
    async with AsyncExitStack() as stack:
        if settings.uses_sandbox:
            sandbox = create_sandbox(
                SandboxConfig(calls=settings.sandbox_calls, seed=settings.sandbox_seed)
            )
            stack.push_async_callback(sandbox.state.sandbox.aclose)
            in_process = httpx.ASGITransport(app=sandbox, raise_app_exceptions=False)
            transport = transport or in_process
        pool = UpstreamPool(
            lambda account: _client(settings, account, transport), settings.passthrough_clients
        )
        stack.push_async_callback(pool.aclose)
        account = _account(settings)
        client = _client(settings, account, transport) if account else None
        if client is not None:
            stack.push_async_callback(client.aclose)
        yield Gateway(settings, client, now, pool)


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


def _client(
    settings: Settings, account: Account, transport: httpx.AsyncBaseTransport | None
) -> UpstreamClient:
    return UpstreamClient(account, settings.base_url, transport, _limits(settings))


def _account(settings: Settings) -> Account | None:
    """The gateway's own: of the settings, the sandbox's, or none where only callers bring one."""
    if settings.uses_sandbox:
        sandbox = SandboxConfig()
        return Account(sandbox.account_sid, sandbox.account_sid, Secret(sandbox.auth_token))
    if settings.account_sid is None:
        return None
    if settings.api_key and settings.api_secret:
        return Account(settings.account_sid, settings.api_key, settings.api_secret)
    assert settings.auth_token  # noqa: S101 (Settings sees to it)
    return Account(settings.account_sid, settings.account_sid, settings.auth_token)
