"""Executes the events of subscriptions, each with its own loaders, once for equal subscribers.

This module must not know where events come from.

Note [One execution for all]. A thousand subscribers of one page execute the same document for the
same event: a thousand times the work, and repeated upstream reads of the edges. So subscribers with
an equal `coalescing_key` (caller and operation; the server makes it) share one execution of an
event, and its result for a moment longer. `previousStatus` is part of the event, so a slow
subscriber that missed a status does not share a result with the others.
"""

from typing import Any

from graphql import GraphQLField, GraphQLObjectType

from gateway.execution import CompilingExecutor, Shortcut
from gateway.live.subscriptions import CallUpdate
from gateway.schema.context import Context
from gateway.schema.shortcuts import shortcut
from gateway.schema.strawberry_internals import GraphQLCoreExecution

__all__ = ["EventExecutor"]


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

    def execute_operation(self, serially: bool | None = None) -> Any:
        """Returns the result, or an awaitable of it."""
        if not isinstance(self.root_value, CallUpdate):
            return super().execute_operation(serially)
        context: Context = self.context_value
        if context.coalescing_key is None:
            return self._execute_event(context, self.root_value)
        return context.account.results.result(
            (context.coalescing_key, self.root_value),
            lambda: self._execute_event(context, self.root_value),
        )

    async def _execute_event(self, context: Context, update: CallUpdate) -> Any:
        async with context.with_snapshot(update.row):
            result = super().execute_operation(False)
            return await result if self.is_awaitable(result) else result
