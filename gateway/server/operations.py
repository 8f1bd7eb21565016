"""Executes operations, each with its own context over an account's client.

Note [Lazily]. In passthrough anybody can make up a credential. So an operation leases its account's
client when the first resolver needs it. An operation that does not parse, or that validation or a
limit rejects, leases none and leaves nothing behind.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from graphql import ExecutionResult, GraphQLError, OperationType

from gateway.access import ANONYMOUS, Account, Caller, Scope
from gateway.errors import BadRequest
from gateway.live.subscriptions import SubscriberSlots
from gateway.loaders.dataloaders import Loaders
from gateway.loaders.plan_executor import PlanExecutor
from gateway.planner import OperationCache, Policy
from gateway.schema import (
    Context,
    PreparedOperation,
    cursor_key,
    execute,
    open_subscription,
    prepare,
)
from gateway.server.account_clients import AccountClient, AccountClientPool
from gateway.server.event_results import EventResults
from gateway.server.results import (
    before_expiry,
    record_response,
    rejected,
    response_map,
    timed_out,
    with_explanation,
)
from gateway.server.webhook_keys import callback_url
from gateway.settings import CacheControl, PlannerMode, Settings, SettingsError, Switch
from gateway.telemetry.hooks import OperationOutcome, Telemetry
from gateway.telemetry.samples import ProcessSample
from gateway.telemetry.upstream_trace import Explain, UpstreamTrace
from gateway.upstream.calls import CallResource
from gateway.upstream.client import Priority, UpstreamClient, utc_now

__all__ = ["DEFAULT_OPTIONS", "Gateway", "OperationOptions"]

# Seconds after an operation's deadline to build the response from what was read. An operation that
# takes longer is cancelled.
RESPONSE_GRACE = 1.5


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
        telemetry: Telemetry | None = None,
        slots: SubscriberSlots | None = None,
    ) -> None:
        self.settings = settings
        self.telemetry = telemetry or Telemetry()
        self._own = own
        self._now = now
        self._pool = pool
        self._slots = slots
        self._callback_url = callback_url(settings)
        self._cache_control = settings.server.cache_control
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

    def sample(self, lag: float = 0.0) -> ProcessSample:
        """The state of this process for its gauges; `lag` is the event loop's, in seconds."""
        clients = self._pool.clients() if self._pool else []
        clients += [self._own] if self._own else []
        samples = {id(one.client): one.client.sample() for one in clients}
        return ProcessSample(samples, self._slots.count if self._slots else 0, lag)

    def prepare(self, query: str, operation_name: str | None = None) -> PreparedOperation:
        """The operation of that name. Raises GraphQLError (no GraphQL) or BadRequest (no such)."""
        return prepare(query, operation_name, self.settings.documents)

    async def execute(
        self,
        operation: PreparedOperation,
        variables: Mapping[str, Any] | None = None,
        options: OperationOptions = DEFAULT_OPTIONS,
        *,
        caller: Caller,
        outcome: OperationOutcome | None = None,
    ) -> ExecutionResult:
        """The result of a query or mutation. Its upstream work ends with it, even if cancelled.

        `outcome` gets the trace of its upstream requests.
        """
        trace = self.trace(caller, options)
        if outcome is not None:
            outcome.trace, outcome.priority = trace, options.priority.name.lower()
        try:
            async with (
                asyncio.timeout(self._timeout(options) + RESPONSE_GRACE),
                RunningOperation(self, caller, options, trace) as context,
            ):
                result = await execute(operation, variables or {}, context)
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
        outcome: OperationOutcome | None = None,
    ) -> AsyncGenerator[ExecutionResult, None]:
        """The results of any operation: one, or those of a subscription until it ends.

        A reader that stops early must close it. A result without data is the last one. Raises
        CredentialExpired when a subscriber's credential expires. It tells the outcome at the end.
        """
        clock = asyncio.get_running_loop().time
        outcome = outcome or OperationOutcome("websocket", clock(), caller=caller.public_name)
        results = self._results(
            query, variables, operation_name, options, caller, may_mutate, outcome
        )
        try:
            async with aclosing(results):
                async for result in results:
                    outcome.results += 1
                    if result.errors or outcome.results == 1:
                        record_response(outcome, response_map(result))
                    yield result
                    del result  # while it waits, a subscriber keeps none
        finally:
            outcome.seconds = clock() - outcome.began
            self.telemetry.on_operation(outcome)

    async def _results(
        self,
        query: str,
        variables: Mapping[str, Any] | None,
        operation_name: str | None,
        options: OperationOptions,
        caller: Caller,
        may_mutate: bool,
        outcome: OperationOutcome,
    ) -> AsyncGenerator[ExecutionResult, None]:
        try:
            operation = self.prepare(query, operation_name)
        except (GraphQLError, BadRequest) as error:
            yield rejected(error)
            return
        outcome.type = operation.type.value
        if operation.type is not OperationType.SUBSCRIPTION:
            if operation.type is OperationType.MUTATION and not may_mutate:
                yield rejected(BadRequest("A mutation needs POST"))
            else:
                yield await self.execute(
                    operation, variables, options, caller=caller, outcome=outcome
                )
            return
        expires_at = self.expires_at(caller)
        request = query, msgspec.json.encode(variables, order="sorted"), operation_name, options
        key = (*request, caller.scopes) if options.explain is Explain.NOTHING else None
        async with RunningOperation(self, caller, options, self.trace(caller, options)) as context:
            source = await open_subscription(operation, variables or {}, context)
            if isinstance(source, ExecutionResult):
                yield source
                return
            results = EventResults(
                source, context.account, key, options.explain, self.telemetry, self._now
            )
            del context, source  # equal subscribers share one
            async with aclosing(results.updates):
                while (result := await before_expiry(expires_at, results.next())) is not None:
                    yield result
                    del result  # while it waits, a subscriber keeps none

    async def execute_as_operator(
        self,
        query: str,
        variables: Mapping[str, Any],
        operation_name: str | None,
        options: OperationOptions = DEFAULT_OPTIONS,
    ) -> dict[str, Any]:
        """The response map of one operation that the operator runs: errors, if any, and data."""
        try:
            operation = self.prepare(query, operation_name)
            if operation.type is OperationType.SUBSCRIPTION:
                raise BadRequest("A subscription needs a stream")
            result = await self.execute(operation, variables, options, caller=ANONYMOUS)
        except (GraphQLError, BadRequest) as error:
            result = rejected(error)
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

    def trace(self, caller: Caller, options: OperationOptions) -> UpstreamTrace:
        """The trace of a new operation or event."""
        return UpstreamTrace(
            asyncio.get_running_loop().time,
            plans=[] if self.telemetry.wants_traces else None,
            max_age=None if self._cache_control is CacheControl.OFF else math.inf,
            shows_personal=caller.may(Scope.PII),
            is_explained=options.explain is not Explain.NOTHING,
        )

    def connect(self, caller: Caller, leases: ExitStack) -> AccountClient:
        """The caller's account client, leased until `leases` ends. Raises RateLimited."""
        if caller.account is None:
            return self.own
        assert self._pool  # noqa: S101 (open_gateway passes one; own is never lent)
        return leases.enter_context(self._pool.lease(caller.account, caller.address))

    def context(self, running: "RunningOperation", trace: UpstreamTrace) -> Context:
        """The context of an operation."""
        account = running.caller.account
        return Context(
            caller=running.caller,
            connect=running.connect,
            make_loaders=running.make_loaders,
            make_event_loaders=running.make_event_loaders,
            trace=trace,
            make_cursor_key=partial(_cursor_key, self.settings, account or self.client.account),
            # Twilio signs callbacks with the account's auth token, which only the caller knows.
            on_mutation=self.telemetry.on_mutation,
            callback_url=None if account else self._callback_url,
            page_budget=self.settings.operation.page_budget,
            row_budget=self.settings.operation.row_budget,
            limits=self.settings.documents,
            compiles=self.settings.operation.compiled_execution is Switch.ON,
        )

    def loaders(
        self,
        account_client: AccountClient,
        options: OperationOptions,
        trace: UpstreamTrace,
        row: CallResource | None = None,
    ) -> Loaders:
        """Loaders with their own deadline and budget, whose cache holds this row already."""
        allowed = self.settings.operation.request_budget
        concurrency = account_client.client.concurrency
        if concurrency != self._policy.concurrency:  # which changes seldom
            self._policy = replace(self._policy, concurrency=concurrency)
        cache = OperationCache(self._now())
        cache.record(row)
        executor = PlanExecutor(
            account_client.client,
            cache,
            account_client.costs,
            self._policy,
            trace,
            asyncio.get_running_loop().time() + self._timeout(options),
            min(options.request_budget or allowed, allowed),
            is_dry=options.explain is Explain.PLAN,
            priority=options.priority,
        )
        return Loaders(executor)


class RunningOperation:
    """One operation while it runs: what it opens ends with it. See Note [Lazily]."""

    def __init__(
        self, gateway: Gateway, caller: Caller, options: OperationOptions, trace: UpstreamTrace
    ) -> None:
        self.caller, self.options = caller, options
        self._gateway, self._trace = gateway, trace
        self._client: AccountClient | None = None
        self._loaders: Loaders | None = None
        self._leases = ExitStack()

    async def __aenter__(self) -> Context:
        return self._gateway.context(self, self._trace)

    async def __aexit__(self, *_: object) -> None:
        with self._leases:
            if self._loaders is not None:
                await self._loaders.aclose()

    def connect(self) -> AccountClient:
        """See Context."""
        if self._client is None:
            self._client = self._gateway.connect(self.caller, self._leases)
        return self._client

    def make_loaders(self) -> Loaders:
        """See Context, which calls it once."""
        self._loaders = self._gateway.loaders(self.connect(), self.options, self._trace)
        return self._loaders

    def make_event_loaders(self, row: CallResource) -> Loaders:
        """See Context."""
        trace = self._gateway.trace(self.caller, self.options)
        return self._gateway.loaders(self.connect(), self.options, trace, row)


def _cursor_key(settings: Settings, account: Account) -> bytes:
    secret = settings.operation.cursor_secret or account.password
    return cursor_key(secret.reveal(), settings.upstream.base_url, account.sid)
