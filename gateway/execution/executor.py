"""The executor: graphql-core's, which runs a compiled plan where there is one.

What is left to graphql-core: an operation with @defer or @stream, arguments of fragments, custom
middleware, an abort signal, and whatever cannot be compiled.

Note [One plan for each combination]. @skip and @include are the only use of variables' values in a
plan. So an operation has a plan for each combination of values that its conditions have had, and no
row is asked about a condition. Collecting fields is graphql-core's own work, done once.

Note [Freed with its operation]. Plans are kept by the identity of their operation, as long as it
lives: whoever keeps documents keeps plans.
"""

import weakref
from collections.abc import Sequence
from typing import Any

from cachetools import LRUCache
from graphql import DirectiveNode, GraphQLField, OperationType, VariableNode
from graphql.execution.collect_fields import collect_fields
from graphql.execution.executor import Executor
from graphql.pyutils import Undefined

from gateway.execution.plan import Shortcut, fields_of, nodes_in
from gateway.execution.run import FieldPlan, Run

__all__ = ["CompilingExecutor"]

MOST_OPERATIONS = 512
# Combinations of conditions for which an operation has plans.
MOST_PLANS = 16
CONDITIONS = {"skip", "include"}
INCREMENTAL = {"defer", "stream"}
Plan = Sequence[FieldPlan]


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

    def plan(self) -> Plan | None:
        """The operation's plan; None where graphql-core has to execute it."""
        if not self.compiles or self.abort_signal is not None:
            return None
        if self.middleware_manager is not None and self.middleware_manager.middlewares:
            return None
        if any(fragment.variable_signatures for fragment in self.fragments.values()):
            return None
        key = id(self.operation)
        kept = _kept.get(key)
        if kept is None or not kept.is_of(self):
            kept = _kept[key] = KeptPlans(self)
        return kept.plan(self)


class KeptPlans:
    """The plans of one operation. See Note [Freed with its operation]."""

    def __init__(self, executor: Executor[Any]) -> None:
        operation, key = executor.operation, id(executor.operation)
        self._fragments = executor.fragment_definitions
        self._schema = weakref.ref(executor.schema)
        self._operation = weakref.ref(operation, lambda _: _kept.pop(key, None))
        self._plans: LRUCache[Any, Plan] = LRUCache(MOST_PLANS)
        nodes = nodes_in(operation, *self._fragments.values())
        directives = [node for node in nodes if isinstance(node, DirectiveNode)]
        self._is_incremental = any(node.name.value in INCREMENTAL for node in directives)
        conditions = [node for node in directives if node.name.value in CONDITIONS]
        variables = [node for node in nodes_in(*conditions) if isinstance(node, VariableNode)]
        self._names = sorted({node.name.value for node in variables})

    def is_of(self, executor: Executor[Any]) -> bool:
        """False where the same operation is executed with something else."""
        is_same_schema = self._schema() is executor.schema
        return is_same_schema and self._fragments == executor.fragment_definitions

    def plan(self, executor: Executor[Any]) -> Plan | None:
        """See Note [One plan for each combination]."""
        if self._is_incremental:
            return None
        given = executor.variable_values.coerced
        try:
            key = executor.is_awaitable, *(given.get(name, Undefined) for name in self._names)
            if key not in self._plans:
                self._plans[key] = _compiled(executor)
            return self._plans[key]
        except Exception:  # graphql-core knows what to say about it
            return None


_kept: LRUCache[int, KeptPlans] = LRUCache(MOST_OPERATIONS)


def _compiled(executor: Executor[Any]) -> Plan:
    """The plan of the root. Raises where there is no root, or its fields cannot be collected."""
    schema, operation = executor.schema, executor.operation
    root = schema.get_root_type(operation.operation)
    if root is None:
        raise ValueError("The schema has no such operations")
    grouped, _, _ = collect_fields(
        schema, executor.fragments, executor.variable_values, root, operation
    )
    return fields_of(executor, root, grouped)
