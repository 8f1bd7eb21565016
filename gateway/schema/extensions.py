"""What happens around every operation: errors get their codes, and nothing internal gets out."""

import logging
from collections.abc import Iterator
from typing import Any

from graphql import GraphQLError, OperationDefinitionNode
from strawberry.extensions import SchemaExtension

from gateway.errors import GatewayError

__all__ = ["ErrorCodes", "NamedOperation"]

log = logging.getLogger(__name__)


class NamedOperation(SchemaExtension):
    """A document with several operations says which one is meant; Strawberry runs the first."""

    def on_validate(self) -> Iterator[None]:
        """Before validation: a request error where the name is missing."""
        context = self.execution_context
        definitions = context.graphql_document.definitions if context.graphql_document else ()
        operations = [node for node in definitions if isinstance(node, OperationDefinitionNode)]
        if len(operations) > 1 and context._provided_operation_name is None:
            error = GraphQLError("operationName is required: the document has several operations")
            context.pre_execution_errors = [error]
        yield


class ErrorCodes(SchemaExtension):
    """An error of our tree keeps its text and code; any other that a resolver raised is masked."""

    def on_operation(self) -> Iterator[None]:
        """After the operation: walks the errors of its result."""
        yield
        _make_presentable(self.execution_context.result)

    def on_stream_result(self, result: Any) -> Iterator[None]:
        """Before each result of a subscription is handed out."""
        _make_presentable(result)
        yield


def _make_presentable(result: Any) -> None:
    errors = getattr(result, "errors", None)
    if errors:
        result.errors = [_presentable(error) for error in errors]


def _presentable(error: GraphQLError) -> GraphQLError:
    cause = error.original_error
    while isinstance(cause, GraphQLError) and cause.original_error:
        cause = cause.original_error
    if cause is None or isinstance(cause, GatewayError | GraphQLError):
        return error
    log.error("internal error at %s", error.path, exc_info=cause)
    return GraphQLError(
        "Internal error",
        nodes=error.nodes,
        path=error.path,
        extensions={"code": GatewayError.code},
    )
