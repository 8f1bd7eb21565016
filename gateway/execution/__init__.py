"""Compiled execution: an operation becomes a plan once, and the plan is run breadth first.

graphql-core evaluates the operation, the schema and the variables again for every row. This package
does that once (plan), then resolves each field for all objects of a level together (run). The
results are those of graphql-core; executor says which operations it leaves to graphql-core. This
package knows GraphQL; it must not know this gateway's schema, Strawberry nor Twilio.
"""

from gateway.execution.executor import MAX_PLANS, CompilingExecutor, Plans
from gateway.execution.plan import Binding, Shortcut, nodes_in

__all__ = ["MAX_PLANS", "Binding", "CompilingExecutor", "Plans", "Shortcut", "nodes_in"]
