"""Executes the events of subscriptions, each with its own loaders.

This module must not know where events come from, nor who shares a result.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from graphql import ExecutionResult, GraphQLError, GraphQLField, GraphQLObjectType

from gateway.execution import CompilingExecutor, Shortcut
from gateway.live.feeds import CallUpdate
from gateway.schema.context import Context
from gateway.schema.error_codes import presentable
from gateway.schema.shortcuts import shortcut
from gateway.schema.strawberry_internals import GraphQLCoreExecution
from gateway.telemetry.upstream_trace import UpstreamTrace

__all__ = ["EventExecutor", "EventOperation", "Source"]

T = TypeVar("T")
Finish = Callable[[ExecutionResult, UpstreamTrace], T]


class EventExecutor(CompilingExecutor, GraphQLCoreExecution):
    """The executor of every operation, and of events, whose root value is a CallUpdate."""

    @property
    def compiles(self) -> bool:
        """False if the setting turns compiled execution off."""
        return bool(getattr(self.context_value, "compiles", True))

    def shortcut(self, field: GraphQLField) -> Shortcut | None:
        """See gateway.schema.shortcuts."""
        return shortcut(field)

    def checks_class_only(self, type_: GraphQLObjectType) -> bool:
        """True: every type of the schema, and Strawberry's own check, looks at the class."""
        return True


class EventOperation:
    """A subscription's operation. It has nothing of its subscriber but caller and options."""

    def __init__(self, executor: EventExecutor) -> None:
        self._executor = executor

    def execute(self, update: CallUpdate, finish: Finish[T]) -> T | Awaitable[T]:
        """What `finish` makes of one event's result; an awaitable of it if something is read.

        It gets the result and the trace of its upstream requests.
        """
        context: Context = self._executor.context_value.for_event(update.row)
        executor = self._executor.build_per_event_executor(update)
        executor.context_value = context
        result: Any = executor.execute_operation(False)
        if executor.is_awaitable(result):
            return _finish_later(result, context, finish)
        return finish(_presentable(result, context), context.trace)

    def failure(self, error: Exception) -> ExecutionResult:
        """The last result of a subscription whose updates or execution raised this."""
        located = GraphQLError(str(error), original_error=error)
        limits = self._executor.context_value.limits
        return ExecutionResult(None, presentable([located], limits))


@dataclass(frozen=True, slots=True)
class Source:
    """An opened subscription: an update for each event, and what to execute for it."""

    operation: EventOperation
    updates: Any  # AsyncGenerator[CallUpdate, None]; close it


async def _finish_later(result: Awaitable[Any], context: Context, finish: Finish[T]) -> T:
    try:
        return finish(_presentable(await result, context), context.trace)
    finally:
        await context.loaders.aclose()


def _presentable(result: ExecutionResult, context: Context) -> ExecutionResult:
    if result.errors:
        result.errors = presentable(result.errors, context.limits)
    return result
