"""The executor: graphql-core's, which runs a compiled plan where there is one.

What is left to graphql-core: an operation with @defer or @stream, arguments of fragments, custom
middleware, an abort signal, and whatever cannot be compiled.

Note [One plan for each combination]. @skip and @include are the only use of variables' values in a
plan. So an operation has a plan for each combination of values that its conditions have had, and no
row is asked about a condition. Collecting fields is graphql-core's own work, done once.

Note [Freed with its document]. Plans are kept by the identity of their operation, as long as it
lives: whoever keeps documents keeps plans.
"""

import weakref
from collections.abc import Callable
from typing import Any

from cachetools import LRUCache
from graphql import (
    DirectiveNode,
    GraphQLField,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
)
from graphql.execution.collect_fields import collect_fields
from graphql.execution.executor import Executor
from graphql.pyutils import Undefined

from gateway.execution.plan import ObjectPlan, Shortcut, nodes_in
from gateway.execution.run import Run

__all__ = ["CompilingExecutor"]

MOST_OPERATIONS = 512
# Combinations of conditions that one operation has plans for.
MOST_PLANS = 16
CONDITIONS = ("skip", "include")
INCREMENTAL = ("defer", "stream")


class CompilingExecutor(Executor[Any]):
    """To be put before another executor class: `class Mine(CompilingExecutor, Base)`."""

    @property
    def compiles(self) -> bool:
        """Whether plans are used at all."""
        return True

    def shortcut(self, field: GraphQLField) -> Shortcut | None:
        """A shorter way to a field's values than its resolver, with the same result.

        It is called once in a request, with an info and the coerced arguments.
        """
        return None

    def execute_operation(self, serially: bool | None = None) -> Any:
        """The result, or an awaitable of it."""
        plan = self.plan()
        if plan is None:
            return super().execute_operation(serially)
        if serially is None:
            serially = self.operation.operation is OperationType.MUTATION
        return Run(self).start(plan, serially)

    def plan(self) -> ObjectPlan | None:
        """The operation's plan; None where graphql-core has to execute it."""
        if not self.compiles or self.abort_signal is not None:
            return None
        if self.middleware_manager is not None and self.middleware_manager.middlewares:
            return None
        if any(fragment.variable_signatures for fragment in self.fragments.values()):
            return None
        return _kept.plan(self)


class _Kept:
    """The plans of one operation."""

    def __init__(self, executor: Executor[Any], forget: Callable[[Any], None]) -> None:
        operation, fragments = executor.operation, executor.fragment_definitions
        self.operation = weakref.ref(operation, forget)
        self.schema = weakref.ref(executor.schema)
        self.fragments = dict(fragments)
        self.is_incremental = False
        self.plans: LRUCache[Any, ObjectPlan] = LRUCache(MOST_PLANS)
        self._conditions: set[str] = set()
        for node in nodes_in(operation, *fragments.values()):
            if isinstance(node, DirectiveNode):
                self.is_incremental |= node.name.value in INCREMENTAL
                if node.name.value in CONDITIONS:
                    self._conditions |= _variables(node)

    def is_of(self, executor: Executor[Any]) -> bool:
        """False where the same operation is executed with something else."""
        return self.schema() is executor.schema and self.fragments == executor.fragment_definitions

    def plan(self, executor: Executor[Any]) -> ObjectPlan | None:
        """See Note [One plan for each combination]."""
        if self.is_incremental:
            return None
        coerced = executor.variable_values.coerced
        key = executor.is_awaitable, *(coerced.get(name, Undefined) for name in self._conditions)
        plan = self.plans.get(key)
        if plan is None:
            plan = _compiled(executor)
            if plan is not None:
                self.plans[key] = plan
        return plan


class _KeptPlans:
    """The plans of the operations that live. See Note [Freed with its document]."""

    def __init__(self, most: int = MOST_OPERATIONS) -> None:
        self._operations: LRUCache[int, _Kept] = LRUCache(most)

    def plan(self, executor: Executor[Any]) -> ObjectPlan | None:
        """The plan of an executor's operation; None where graphql-core has to execute it."""
        key = id(executor.operation)
        kept = self._operations.get(key)
        if kept is None or not kept.is_of(executor):
            operations = self._operations

            def forget(_: "weakref.ref[OperationDefinitionNode]") -> None:
                operations.pop(key, None)

            kept = operations[key] = _Kept(executor, forget)
        return kept.plan(executor)


_kept = _KeptPlans()


def _variables(directive: DirectiveNode) -> set[str]:
    return {node.name.value for node in nodes_in(directive) if isinstance(node, VariableNode)}


def _compiled(executor: Executor[Any]) -> ObjectPlan | None:
    """The plan of the operation's root; None where graphql-core has something to say about it."""
    schema: GraphQLSchema = executor.schema
    root = schema.get_root_type(executor.operation.operation)
    if root is None:
        return None
    try:
        grouped, _, _ = collect_fields(
            schema,
            executor.fragments,
            executor.variable_values,
            root,
            executor.operation,
            executor.hide_suggestions,
        )
    except Exception:
        return None
    return ObjectPlan(executor, root, grouped)
