"""What happens around every operation: it is permitted or refused, and errors get their codes.

Nothing internal gets out.
"""

import logging
from collections.abc import Iterator

from graphql import GraphQLError, OperationDefinitionNode, OperationType, get_operation_ast
from strawberry.extensions import SchemaExtension

from gateway.access import Caller, Scope
from gateway.errors import Forbidden, GatewayError

__all__ = ["ErrorCodes", "NamedOperation", "Permitted"]

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


NEEDED = {
    OperationType.QUERY: Scope.READ,
    OperationType.SUBSCRIPTION: Scope.READ,
    OperationType.MUTATION: Scope.CALL,
}


class Permitted(SchemaExtension):
    """An operation of a type that the caller has no scope for is refused before it is executed."""

    def on_validate(self) -> Iterator[None]:
        """Before validation: a request error where the scope is missing."""
        context = self.execution_context
        document = context.graphql_document
        operation = get_operation_ast(document, context.operation_name) if document else None
        if operation is not None:
            caller: Caller = context.context.caller
            try:
                caller.require(NEEDED[operation.operation], f"A {operation.operation.value}")
            except Forbidden as error:
                context.pre_execution_errors = [
                    GraphQLError(str(error), extensions=error.extensions)
                ]
        yield


class ErrorCodes(SchemaExtension):
    """An error of our tree keeps its text and code; any other that a resolver raised is masked."""

    def on_operation(self) -> Iterator[None]:
        """After the operation: walks the errors of its result."""
        yield
        result = self.execution_context.result
        errors = getattr(result, "errors", None)
        if errors:
            result.errors = [_presentable(error) for error in errors]  # type: ignore[union-attr]


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
