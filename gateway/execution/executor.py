"""An executor that runs a compiled plan, and leaves other operations to graphql-core.

graphql-core executes operations with @defer or @stream, arguments of fragments, custom middleware
or an abort signal, and operations that cannot be compiled.

Note [One plan for each combination]. @skip and @include are the only use of variables' values in a
plan. So an operation has a plan for each combination of values that its conditions have had, and no
row evaluates a condition. graphql-core collects the fields, once for each plan.

Note [Freed with its operation]. Plans are stored by the identity of their operation, as long as it
lives. So a cache of documents is also a cache of plans.
"""

import weakref
from collections.abc import Sequence
from typing import Any

from cachetools import LRUCache
from graphql import DirectiveNode, GraphQLError, OperationType, VariableNode
from graphql.execution.collect_fields import collect_fields
from graphql.pyutils import Undefined

from gateway.execution.plan import compile_fields, nodes_in
from gateway.execution.run import FieldPlan, Run, ShortcutExecutor

__all__ = ["CompilingExecutor"]

MAX_OPERATIONS = 512
# Plans of one operation, one for each combination of conditions.
MAX_PLANS = 16
CONDITIONS = {"skip", "include"}
INCREMENTAL = {"defer", "stream"}
Plan = Sequence[FieldPlan]


class CompilingExecutor(ShortcutExecutor):
    """A mixin to list before another executor class: `class Mine(CompilingExecutor, Base)`."""

    @property
    def compiles(self) -> bool:
        """False if graphql-core executes every operation."""
        return True

    def execute_operation(self, serially: bool | None = None) -> Any:
        """Returns the result, or an awaitable of it."""
        plan = self.plan()
        if plan is None:
            return super().execute_operation(serially)
        if serially is None:
            serially = self.operation.operation is OperationType.MUTATION
        return Run(self).start(plan, serially)

    def plan(self) -> Plan | None:
        """The operation's plan; None if graphql-core has to execute it."""
        if not self.compiles or self.abort_signal is not None:
            return None
        if self.middleware_manager is not None and self.middleware_manager.middlewares:
            return None
        if any(fragment.variable_signatures for fragment in self.fragments.values()):
            return None
        key = id(self.operation)
        plans = _plans_by_operation.get(key)
        if plans is None or not plans.is_for(self):
            plans = _plans_by_operation[key] = OperationPlans(self)
        return plans.plan(self)


class OperationPlans:
    """The plans of one operation. See Note [Freed with its operation]."""

    def __init__(self, executor: ShortcutExecutor) -> None:
        operation, key = executor.operation, id(executor.operation)
        self._fragments = executor.fragment_definitions
        self._schema = weakref.ref(executor.schema)
        self._operation = weakref.ref(operation, lambda _: _plans_by_operation.pop(key, None))
        self._plans: LRUCache[Any, Plan] = LRUCache(MAX_PLANS)
        nodes = nodes_in(operation, *self._fragments.values())
        directives = [node for node in nodes if isinstance(node, DirectiveNode)]
        self._is_incremental = any(node.name.value in INCREMENTAL for node in directives)
        conditions = [node for node in directives if node.name.value in CONDITIONS]
        variables = [node for node in nodes_in(*conditions) if isinstance(node, VariableNode)]
        self._names = sorted({node.name.value for node in variables})

    def is_for(self, executor: ShortcutExecutor) -> bool:
        """False if the operation is executed with another schema or other fragments."""
        is_same_schema = self._schema() is executor.schema
        return is_same_schema and self._fragments == executor.fragment_definitions

    def plan(self, executor: ShortcutExecutor) -> Plan | None:
        """See Note [One plan for each combination]."""
        if self._is_incremental:
            return None
        values = executor.variable_values.coerced
        try:
            key = executor.is_awaitable, *(values.get(name, Undefined) for name in self._names)
            if key not in self._plans:
                self._plans[key] = _compile(executor)
            return self._plans[key]
        except GraphQLError:  # graphql-core raises it again as an error of the response
            return None


_plans_by_operation: LRUCache[int, OperationPlans] = LRUCache(MAX_OPERATIONS)


def _compile(executor: ShortcutExecutor) -> Plan:
    """Compiles the root's fields. Raises GraphQLError if there is no root, or as graphql-core."""
    schema, operation = executor.schema, executor.operation
    root = schema.get_root_type(operation.operation)
    if root is None:
        raise GraphQLError("The schema has no such operations")
    grouped, _, _ = collect_fields(
        schema, executor.fragments, executor.variable_values, root, operation
    )
    return compile_fields(executor, root, grouped)
