"""How an event of a subscription is executed: with loaders of its own, and once for all.

This module must not know where events come from.

Note [One execution for all]. A thousand subscribers of one page ask the same document about the
same news: executed for each, that is a thousand times the work, and the edges are read upstream
again and again while the first are served. So an event is executed once for every `sharing` key
(who asks what; the app makes it) that comes within a moment, and all are handed the same result.
`previousStatus` is part of the event: a slow subscriber, who missed a state, is not mixed up.
"""

from typing import Any

from graphql import GraphQLField

from gateway.execution import CompilingExecutor, Shortcut
from gateway.live.subscriptions import CallUpdate
from gateway.schema.context import Context
from gateway.schema.shortcuts import shortcut
from gateway.schema.strawberry_internals import GraphQLCoreExecution

__all__ = ["EventExecutor"]


class EventExecutor(CompilingExecutor, GraphQLCoreExecution):
    """The executor of every operation, and of an event: its root value is an Update then."""

    @property
    def compiles(self) -> bool:
        """As the setting says."""
        return bool(getattr(self.context_value, "compiles", True))

    def shortcut(self, field: GraphQLField) -> Shortcut | None:
        """See shortcuts."""
        return shortcut(field)

    def execute_operation(self, serially: bool | None = None) -> Any:
        """The result, or an awaitable of it."""
        if not isinstance(self.root_value, CallUpdate):
            return super().execute_operation(serially)
        context: Context = self.context_value
        if context.sharing is None:
            return self._execute_event(context, self.root_value)
        return context.account.results.outcome(
            (context.sharing, self.root_value),
            lambda: self._execute_event(context, self.root_value),
        )

    async def _execute_event(self, context: Context, update: CallUpdate) -> Any:
        async with context.fresh(update.row):
            result = super().execute_operation(False)
            return await result if self.is_awaitable(result) else result
