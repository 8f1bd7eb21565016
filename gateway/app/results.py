"""From an execution's result to the response map: refusals, explanations, what was executed.

This module must not know how an operation is executed, nor HTTP.
"""

from typing import Any

from graphql import GraphQLError
from strawberry.types import ExecutionResult

from gateway.errors import BadRequest, DryRun, GatewayError, UpstreamTimeout
from gateway.journal import Explain, Journal
from gateway.schema.strawberry_internals import PreExecutionError

__all__ = ["explained", "refused", "response_map", "too_late"]


def refused(error: GatewayError | str) -> ExecutionResult:
    """The result of an operation that is not executed."""
    error = BadRequest(error) if isinstance(error, str) else error
    return PreExecutionError(data=None, errors=[_graphql_error(error)])


def too_late() -> ExecutionResult:
    """The result of an operation that was given up."""
    error = UpstreamTimeout("The operation was not put together in time")
    return ExecutionResult(None, [_graphql_error(error)])


def explained(result: ExecutionResult, journal: Journal, explain: Explain) -> ExecutionResult:
    """The result with `extensions.warnings`, and `extensions.upstream` as far as it was asked for.

    A dry run has one error that says so, in place of one for each field that was not read.
    """
    if not _was_executed(result):
        return result
    warnings = journal.warnings()
    if warnings:
        result.extensions = {**(result.extensions or {}), "warnings": warnings}
    if explain is Explain.NOTHING:
        return result
    result.extensions = {**(result.extensions or {}), "upstream": journal.explain(explain)}
    if explain is Explain.PLAN:
        dry = DryRun("A dry run: what would be asked upstream is in extensions.upstream")
        result.errors = [_graphql_error(dry)]
    return result


def response_map(result: ExecutionResult) -> dict[str, Any]:
    """GraphQL's response format: no `data` where the request itself was at fault."""
    body: dict[str, Any] = {}
    if result.errors:
        body["errors"] = [error.formatted for error in result.errors]
    if _was_executed(result):
        body["data"] = result.data
    if result.extensions:
        body["extensions"] = result.extensions
    return body


def _was_executed(result: ExecutionResult) -> bool:
    """False where the request itself was at fault: no field was resolved."""
    return result.data is not None or any(
        error.path or isinstance(error.original_error, UpstreamTimeout | DryRun)
        for error in result.errors or ()
    )


def _graphql_error(error: GatewayError) -> GraphQLError:
    return GraphQLError(str(error), original_error=error, extensions=error.extensions)
