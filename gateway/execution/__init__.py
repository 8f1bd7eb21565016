"""Compiled execution: an operation becomes a plan once, and the plan is run breadth first.

graphql-core finds out anew for every row what its operation, its schema and its variables say. Here
that is done once (plan); then each field is resolved for all objects of a level together (run).
The answers are graphql-core's: executor says what is left to it. This room knows GraphQL; it must
not know this gateway's schema, Strawberry nor Twilio.
"""

from gateway.execution.executor import CompilingExecutor
from gateway.execution.plan import Binding, Shortcut

__all__ = ["Binding", "CompilingExecutor", "Shortcut"]
