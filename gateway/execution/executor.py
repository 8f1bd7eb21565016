"""An executor that runs a compiled plan, and leaves other operations to graphql-core.

graphql-core executes operations with @defer or @stream, arguments of fragments, custom middleware
or an abort signal, and operations that cannot be compiled.

Note [One plan for each combination]. @skip and @include are the only use of variables' values in a
plan. So an operation has a plan for each combination of values that its conditions have had, and no
row evaluates a condition. graphql-core collects the fields, once for each plan.

Note [Freed at once]. graphql-core keeps two methods of an executor in an attribute of its own. Such
a cycle keeps all that an operation has read until Python's garbage collector runs, and its runs
took a tenth of the time of small operations. So the executor keeps no reference to itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cachetools import LRUCache
from graphql import (
    DirectiveNode,
    GraphQLError,
    GraphQLResolveInfoHelpers,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
)
from graphql.execution.collect_fields import FragmentDetails, collect_fields
from graphql.pyutils import Undefined

from gateway.execution.plan import compile_fields, nodes_in
from gateway.execution.run import FieldPlan, Run, ShortcutExecutor

__all__ = ["MAX_PLANS", "CompilingExecutor", "Plans"]

# Plans of one operation, one for each combination of conditions.
MAX_PLANS = 16
CONDITIONS = {"skip", "include"}
INCREMENTAL = {"defer", "stream"}
Plan = Sequence[FieldPlan]


class Plans:
    """The compiled plans of one operation; keep them with it. They refer to it, not it to them."""

    def __init__(
        self, operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDetails]
    ) -> None:
        self._plans: LRUCache[Any, Plan] = LRUCache(MAX_PLANS)
        nodes = nodes_in(operation, *(fragment.definition for fragment in fragments.values()))
        directives = [node for node in nodes if isinstance(node, DirectiveNode)]
        conditions = [node for node in directives if node.name.value in CONDITIONS]
        variables = [node for node in nodes_in(*conditions) if isinstance(node, VariableNode)]
        self._names = sorted({node.name.value for node in variables})
        self._is_compiled = not (
            any(node.name.value in INCREMENTAL for node in directives)
            or any(fragment.variable_signatures for fragment in fragments.values())
        )

    def plan(self, executor: ShortcutExecutor) -> Plan | None:
        """See Note [One plan for each combination]. None if graphql-core has to execute it."""
        if not self._is_compiled:
            return None
        values = executor.variable_values.coerced
        key = executor.is_awaitable, *(values.get(name, Undefined) for name in self._names)
        if key not in self._plans:
            try:
                self._plans[key] = _compile(executor)
            except (GraphQLError, RecursionError):  # graphql-core reports it
                return None
        return self._plans[key]


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


class CompilingExecutor(ShortcutExecutor):
    """A mixin to list before another executor class: `class Mine(CompilingExecutor, Base)`."""

    plans: Plans | None = None
    """The plans of the operation; without them it is compiled anew."""

    @property
    def async_helpers(self) -> GraphQLResolveInfoHelpers:
        """What an info has for asynchronous work, made anew for each: see Note [Freed at once]."""
        return GraphQLResolveInfoHelpers(self.gather_async_work, self.track_async_work)

    @async_helpers.setter
    def async_helpers(self, made: GraphQLResolveInfoHelpers) -> None:
        """Ignores those that graphql-core makes at the start."""

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
        if self.plans is None:
            self.plans = Plans(self.operation, self.fragments)
        return self.plans.plan(self)
