"""Executes operations, each with its own context over an account's client.

Note [Lazily]. In passthrough anybody can make up a credential. So an operation leases its account's
client when the first resolver needs it. An operation that does not parse, or that validation or a
limit rejects, leases none and leaves nothing behind.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Hashable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from gateway.access import ANONYMOUS, Account, Caller, Scope
from gateway.loaders.dataloaders import Loaders
from gateway.loaders.plan_executor import PlanExecutor
from gateway.planner import OperationCache, Policy
from gateway.schema import Context, cursor_key, schema
from gateway.server.account_clients import AccountClient, AccountClientPool
from gateway.server.results import rejected, response_map, timed_out, until_expiry, with_explanation
from gateway.server.webhook_keys import callback_url
from gateway.settings import PlannerMode, Settings, SettingsError, Switch
from gateway.telemetry.upstream_trace import Explain, UpstreamTrace
from gateway.upstream.calls import CallResource
from gateway.upstream.client import Priority, UpstreamClient, utc_now

__all__ = ["Gateway", "OperationOptions"]

# Seconds after an operation's deadline to build the response from what was read. An operation that
# takes longer is cancelled.
RESPONSE_GRACE = 1.5
QUERIES = (OperationType.QUERY,)
QUERIES_AND_MUTATIONS = (OperationType.QUERY, OperationType.MUTATION)
NO_SUCH_OPERATION = "The document has no operation of that name"


@dataclass(frozen=True)
class OperationOptions:
    """Options that a client sets for one operation.

    `request_budget` and `timeout` (seconds) lower the settings for this operation. With `priority`
    BULK its upstream requests queue behind those of interactive operations.
    """

    explain: Explain = Explain.NOTHING
    request_budget: int | None = None
    timeout: float | None = None
    priority: Priority = Priority.INTERACTIVE


DEFAULT_OPTIONS = OperationOptions()


class Gateway:
    """Executes operations, each with its own loaders and deadline. `now` is the clock (UTC).

    `own` is the client of the gateway's own account, or None in passthrough; callers' clients are
    in `pool`.
    """

    def __init__(
        self,
        settings: Settings,
        own: AccountClient | None,
        now: Callable[[], datetime] = utc_now,
        pool: AccountClientPool | None = None,
    ) -> None:
        self.settings = settings
        self._own = own
        self._now = now
        self._pool = pool
        self._callback_url = callback_url(settings)
        self._policy = Policy(
            adaptive=settings.operation.planner is PlannerMode.ADAPTIVE,
            scan_child_calls=settings.operation.scan_child_calls is Switch.ON,
        )

    @property
    def has_account(self) -> bool:
        """True if the gateway has an account of its own."""
        return self._own is not None

    @property
    def own(self) -> AccountClient:
        """The gateway's own account and client. Raises SettingsError if there is none."""
        if self._own is None:
            raise SettingsError("TWILIO_ACCOUNT_SID: is missing; in passthrough callers have one")
        return self._own

    @property
    def client(self) -> UpstreamClient:
        """The upstream client of the own account. Raises SettingsError if there is none."""
        return self.own.client

    async def execute(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        options: OperationOptions = DEFAULT_OPTIONS,
        *,
        caller: Caller,
        may_mutate: bool = True,
    ) -> ExecutionResult:
        """The result of one query or mutation. Its upstream work ends with it, even if cancelled.

        Raises Strawberry's CannotGetOperationTypeError if no operation has that name, and
        InvalidOperationTypeError for a subscription, or for a mutation unless `may_mutate`.
        """
        trace = _trace(caller)
        try:
            async with (
                asyncio.timeout(self._timeout(options) + RESPONSE_GRACE),
                self._operation(caller, options, trace) as context,
            ):
                result = await schema.execute(
                    query,
                    variable_values=dict(variables or {}),
                    context_value=context,
                    operation_name=operation_name,
                    allowed_operation_types=QUERIES_AND_MUTATIONS if may_mutate else QUERIES,
                )
        except TimeoutError:
            result = timed_out()
        return with_explanation(result, trace, options.explain)

    async def stream(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
        options: OperationOptions = DEFAULT_OPTIONS,
        *,
        caller: Caller,
        may_mutate: bool = True,
    ) -> AsyncGenerator[ExecutionResult, None]:
        """The results of any operation: one, or those of a subscription until it ends.

        A reader that stops early must close it. A result without data is the last one. Raises
        CredentialExpired when a subscriber's credential expires.
        """
        request = query, variables, operation_name, options
        try:
            yield await self.execute(*request, caller=caller, may_mutate=may_mutate)
        except CannotGetOperationTypeError:
            yield rejected(NO_SUCH_OPERATION)
        except InvalidOperationTypeError as error:
            if error.operation_type is not OperationType.SUBSCRIPTION:
                yield rejected("A mutation needs POST")
                return
            async with aclosing(self._subscribe(*request, caller)) as events:
                async for result in events:
                    yield result

    async def _subscribe(
        self,
        query: str,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
        options: OperationOptions,
        caller: Caller,
    ) -> AsyncGenerator[ExecutionResult, None]:
        request = query, msgspec.json.encode(variables, order="sorted"), operation_name, options
        is_shared = options.explain is Explain.NOTHING
        coalescing_key = (*request, caller.scopes) if is_shared else None
        async with self._operation(caller, options, _trace(caller), coalescing_key) as context:
            results = await schema.subscribe(
                query,
                variable_values=dict(variables or {}),
                context_value=context,
                operation_name=operation_name,
            )
            async with (
                aclosing(results),
                aclosing(until_expiry(self.expires_at(caller), results)) as valid,
            ):
                async for result in valid:
                    assert isinstance(result, ExecutionResult)  # noqa: S101 (nothing is deferred)
                    yield with_explanation(result, context.trace, options.explain)

    async def execute_as_operator(
        self,
        query: str,
        variables: Mapping[str, Any],
        operation_name: str | None,
        options: OperationOptions = DEFAULT_OPTIONS,
    ) -> dict[str, Any]:
        """The response map of one operation that the operator runs: errors, if any, and data."""
        try:
            result = await self.execute(query, variables, operation_name, options, caller=ANONYMOUS)
        except CannotGetOperationTypeError:
            result = rejected(NO_SUCH_OPERATION)
        except InvalidOperationTypeError:
            result = rejected("A subscription needs a stream")
        return response_map(result)

    def expires_at(self, caller: Caller) -> float | None:
        """When the caller's credential expires, by the loop's clock; None if it never does."""
        if caller.expires is None:
            return None
        return asyncio.get_running_loop().time() + caller.expires - self._now().timestamp()

    def _timeout(self, options: OperationOptions) -> float:
        """Seconds in which an operation with these options may read."""
        allowed = self.settings.operation.timeout
        return min(options.timeout or allowed, allowed)

    @asynccontextmanager
    async def _operation(
        self,
        caller: Caller,
        options: OperationOptions,
        trace: UpstreamTrace,
        coalescing_key: Hashable = None,
    ) -> AsyncIterator[Context]:
        """The context of one operation; see Note [Lazily]."""
        async with AsyncExitStack() as stack:

            @cache
            def connect() -> AccountClient:
                if caller.account is None:
                    return self.own
                assert self._pool  # noqa: S101 (open_gateway passes one; own is never lent)
                return stack.enter_context(self._pool.lease(caller.account, caller.address))

            def make_loaders() -> Loaders:
                loaders = self._loaders(connect(), options, trace)
                stack.push_async_callback(loaders.aclose)
                return loaders

            @asynccontextmanager
            async def open_loaders(row: CallResource) -> AsyncIterator[Loaders]:
                loaders = self._loaders(connect(), options, _trace(caller), row)
                try:
                    yield loaders
                finally:
                    await loaders.aclose()

            yield Context(
                caller=caller,
                connect=connect,
                make_loaders=make_loaders,
                open_loaders=open_loaders,
                trace=trace,
                cursor_key=_cursor_key(self.settings, caller.account or self.client.account),
                deadline=asyncio.get_running_loop().time() + self._timeout(options),
                # Twilio signs callbacks with the account's auth token, which only the caller knows.
                callback_url=None if caller.account else self._callback_url,
                page_budget=self.settings.operation.page_budget,
                row_budget=self.settings.operation.row_budget,
                limits=self.settings.documents,
                compiles=self.settings.operation.compiled_execution is Switch.ON,
                coalescing_key=coalescing_key,
            )

    def _loaders(
        self,
        account_client: AccountClient,
        options: OperationOptions,
        trace: UpstreamTrace,
        row: CallResource | None = None,
    ) -> Loaders:
        """Loaders with their own deadline and budget, whose cache holds this row already."""
        allowed = self.settings.operation.request_budget
        cache = OperationCache(self._now())
        cache.record(row)
        executor = PlanExecutor(
            account_client.client,
            cache,
            account_client.costs,
            replace(self._policy, concurrency=account_client.client.concurrency),
            trace,
            asyncio.get_running_loop().time() + self._timeout(options),
            min(options.request_budget or allowed, allowed),
            is_dry=options.explain is Explain.PLAN,
            priority=options.priority,
        )
        return Loaders(executor)


def _trace(caller: Caller) -> UpstreamTrace:
    return UpstreamTrace(asyncio.get_running_loop().time, shows_personal=caller.may(Scope.PII))


def _cursor_key(settings: Settings, account: Account) -> bytes:
    secret = settings.operation.cursor_secret or account.password
    return cursor_key(secret.reveal(), settings.upstream.base_url, account.sid)
