"""The results of a subscription, each executed once for all subscribers that get the same.

This module must not know where events come from, nor how results reach a client.

Note [One execution for all]. A thousand subscribers of one page execute the same document for the
same event: a thousand times the work, and repeated upstream reads of the edges. So subscribers of
one credential with an equal `key` (operation, options and scopes) share one operation. Of an
operation and an update there is one result, kept for a moment longer, and encoded once.
`previousStatus` is part of the update, so a slow subscriber that missed a status does not share a
result with the others.
"""

from collections.abc import AsyncGenerator, Callable, Hashable
from datetime import datetime

from graphql import ExecutionResult

from gateway.live.subscriptions import CallUpdate
from gateway.schema.context import LiveAccount
from gateway.schema.event_execution import EventOperation, Source
from gateway.server.results import (
    SharedResult,
    record_response,
    response_map,
    with_explanation,
)
from gateway.telemetry.hooks import OperationOutcome, Telemetry
from gateway.telemetry.upstream_trace import Explain, UpstreamTrace

__all__ = ["EventResults"]


class EventResults:
    """One subscriber's results. Close `updates`.

    Without a `key` the subscriber shares its operation with nobody. `now` is the clock (UTC).
    """

    __slots__ = ("_account", "_explain", "_now", "_operation", "_telemetry", "updates")

    def __init__(
        self,
        source: Source,
        account: LiveAccount,
        key: Hashable,
        explain: Explain,
        telemetry: Telemetry,
        now: Callable[[], datetime],
    ) -> None:
        self.updates: AsyncGenerator[CallUpdate, None] = source.updates
        self._account = account
        self._explain = explain
        self._telemetry = telemetry
        self._now = now
        self._operation: EventOperation = source.operation
        if key is not None:
            self._operation = account.operations.setdefault(key, source.operation)

    async def next(self) -> ExecutionResult | None:
        """The next result, None after the last. One without data is the last."""
        try:
            update = await anext(self.updates, None)
            if update is None:
                return None
            result: ExecutionResult = await self._account.results.result(
                (self._operation, update), lambda: self._operation.execute(update, self._finish)
            )
        except Exception as error:
            return self._operation.failure(error)
        if self._telemetry.wants_events and update.source is not None:
            late = (self._now() - update.at).total_seconds()
            self._telemetry.on_event(update.source.value, late)
        return result

    def _finish(self, result: ExecutionResult, trace: UpstreamTrace) -> ExecutionResult:
        if self._telemetry.wants_traces:
            outcome = OperationOutcome("event", trace.began, type="subscription", trace=trace)
            outcome.seconds = trace.clock() - trace.began
            record_response(outcome, response_map(result))
            self._telemetry.on_event_execution(outcome)
        return with_explanation(SharedResult(result.data, result.errors), trace, self._explain)
