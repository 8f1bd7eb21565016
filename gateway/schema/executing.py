"""Executes prepared operations for one caller: scope, variables, cost, then the execution.

An operation that is refused resolves no field and sends nothing. Errors get their codes here. This
module must not know HTTP, nor which fields there are.
"""

from collections.abc import Mapping
from typing import Any

from graphql import (
    ExecutionResult,
    GraphQLError,
    OperationType,
    create_source_event_stream,
    default_field_resolver,
    default_type_resolver,
    get_variable_values,
)
from graphql.execution import VariableValues

from gateway.access import Scope
from gateway.errors import BadUserInput, GatewayError
from gateway.schema.context import Context
from gateway.schema.error_codes import error_of, presentable
from gateway.schema.event_execution import EventExecutor, EventOperation, Source
from gateway.schema.limits import check_variables
from gateway.schema.prepared import PreparedOperation
from gateway.schema.strawberry_internals import optimized_is_awaitable

__all__ = ["execute", "open_subscription"]

REQUIRED_SCOPES = {
    OperationType.QUERY: Scope.READ,
    OperationType.SUBSCRIPTION: Scope.READ,
    OperationType.MUTATION: Scope.CALL,
}
# Errors for the variables of one operation.
MAX_VARIABLE_ERRORS = 50

Variables = Mapping[str, Any]


async def execute(
    operation: PreparedOperation, variables: Variables, context: Context
) -> ExecutionResult:
    """The result of a query or mutation."""
    executor = _executor(operation, variables, context)
    if isinstance(executor, list):
        return _refused(operation, executor)
    try:
        result = executor.execute_operation()
        if executor.is_awaitable(result):
            result = await result
    except Exception as error:  # a bug, which is logged
        result = _failed(error)
    return _presented(operation, result)


async def open_subscription(
    operation: PreparedOperation, variables: Variables, context: Context
) -> Source | ExecutionResult:
    """Calls a subscription's resolver. The result is that of a refused one."""
    executor = _executor(operation, variables, context)
    if isinstance(executor, list):
        return _refused(operation, executor)
    try:
        updates: Any = create_source_event_stream(executor)
        if executor.is_awaitable(updates):
            updates = await updates
    except Exception as error:  # a bug, which is logged
        return _presented(operation, _failed(error))
    if isinstance(updates, ExecutionResult):
        return _refused(operation, updates.errors or [])
    return Source(EventOperation(executor), updates)


def _executor(
    operation: PreparedOperation, given: Variables, context: Context
) -> EventExecutor | list[GraphQLError]:
    """The executor of one request, or the errors that refuse it."""
    try:
        kind = operation.type
        context.caller.require(REQUIRED_SCOPES[kind], f"A {kind.value}")
        variables = operation.errors or _coerced(operation, given)
    except GatewayError as error:
        return [error_of(error)]
    if not isinstance(variables, VariableValues):
        return [*variables]
    context.field_names = operation.field_names
    executor = EventExecutor(
        schema=operation.schema,
        fragment_definitions=operation.fragments,
        fragments=operation.fragment_details,
        root_value=None,
        context_value=context,
        operation=operation.node,
        variable_values=variables,
        field_resolver=default_field_resolver,
        type_resolver=default_type_resolver,
        subscribe_field_resolver=default_field_resolver,
        is_awaitable=optimized_is_awaitable,
    )
    executor.plans = operation.plans
    return executor


def _coerced(operation: PreparedOperation, given: Variables) -> VariableValues | list[GraphQLError]:
    """The variables' values, or their errors. Raises CallerError beyond a limit."""
    check_variables(given, operation.limits)
    definitions = operation.node.variable_definitions or ()
    variables = get_variable_values(operation.schema, definitions, dict(given), MAX_VARIABLE_ERRORS)
    if isinstance(variables, list):
        return [_bad_input(error) for error in variables]
    operation.estimate.check(variables)
    return variables


def _bad_input(error: GraphQLError) -> GraphQLError:
    """Gives the error of a variable that cannot be coerced the code BAD_USER_INPUT."""
    extensions = {"code": BadUserInput.code} | (error.extensions or {})
    return GraphQLError(error.message, error.nodes, extensions=extensions)


def _refused(operation: PreparedOperation, errors: list[GraphQLError]) -> ExecutionResult:
    return ExecutionResult(None, presentable(errors, operation.limits, is_refused=True))


def _failed(error: Exception) -> ExecutionResult:
    if not isinstance(error, GraphQLError):
        error = GraphQLError(str(error), original_error=error)
    return ExecutionResult(None, [error])


def _presented(operation: PreparedOperation, result: ExecutionResult) -> ExecutionResult:
    if result.errors:
        result.errors = presentable(result.errors, operation.limits)
    return result
