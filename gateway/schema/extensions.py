"""Extensions of every operation: one checks its scope, one gives errors their codes.

Clients never see internal messages.
"""

import logging
from collections.abc import Iterator
from typing import Any

from graphql import GraphQLError, GraphQLSyntaxError, OperationType, get_operation_ast
from strawberry.extensions import SchemaExtension
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from gateway.access import Caller, Scope
from gateway.errors import (
    BadRequest,
    BadUserInput,
    Forbidden,
    GatewayError,
    ParseFailed,
    ValidationFailed,
)
from gateway.schema.document_guard import limits_of
from gateway.schema.limits import NESTING, exceeded
from gateway.schema.strawberry_internals import PreExecutionError

__all__ = ["ErrorCodes", "RequireScope"]

log = logging.getLogger(__name__)


REQUIRED_SCOPES = {
    OperationType.QUERY: Scope.READ,
    OperationType.SUBSCRIPTION: Scope.READ,
    OperationType.MUTATION: Scope.CALL,
}


class RequireScope(SchemaExtension):
    """Refuses an operation before execution if the caller lacks the scope of its type."""

    def on_validate(self) -> Iterator[None]:
        """Before validation: a request error if the scope is missing."""
        context = self.execution_context
        document = context.graphql_document
        operation = get_operation_ast(document, context.operation_name) if document else None
        if operation is not None:
            caller: Caller = context.context.caller
            try:
                caller.require(
                    REQUIRED_SCOPES[operation.operation], f"A {operation.operation.value}"
                )
            except Forbidden as error:
                context.pre_execution_errors = [
                    GraphQLError(str(error), extensions=error.extensions)
                ]
        yield


class ErrorCodes(SchemaExtension):
    """Gives every error a code of the closed list (see errors).

    A GatewayError keeps its message; any other exception of a resolver is masked.
    """

    def on_operation(self) -> Iterator[None]:
        """After the operation: walks the errors of its result."""
        yield
        self._make_presentable(self.execution_context.result)

    def on_stream_result(self, result: Any) -> Iterator[None]:
        """Before each result of a subscription is sent."""
        self._make_presentable(result)
        yield

    def _make_presentable(self, result: Any) -> None:
        errors = getattr(result, "errors", None)
        if not errors:
            return
        is_refused = isinstance(result, PreExecutionError)
        limits = limits_of(self.execution_context)
        shown = [_presentable(error, is_refused, limits.max_tokens) for error in errors]
        if not limits.suggests_names:
            shown = [_without_suggestion(error) for error in shown]
        result.errors = shown


def _presentable(error: GraphQLError, is_refused: bool, tokens: int) -> GraphQLError:
    cause = error.original_error
    while isinstance(cause, GraphQLError) and cause.original_error:
        cause = cause.original_error
    if isinstance(cause, CannotGetOperationTypeError | InvalidOperationTypeError):
        return _again(error, error.message, {"code": BadRequest.code})
    if cause is not None and not isinstance(cause, GatewayError | GraphQLError):
        log.error("internal error at %s", error.path, exc_info=cause)
        return _again(error, "Internal error", {"code": GatewayError.code})
    extensions = error.extensions or {}
    if "code" in extensions:
        return error
    if isinstance(error, GraphQLSyntaxError) and "Parsing aborted" in error.message:
        # The text has more tokens, or deeper nesting, than the parser takes.
        limit, allowed = ("tokens", tokens) if " tokens." in error.message else ("nesting", NESTING)
        return _again(error, error.message, exceeded(limit, allowed).extensions)
    return _again(error, error.message, {**extensions, "code": _code(error, is_refused)})


def _code(error: GraphQLError, is_refused: bool) -> str:
    """The code of graphql-core's own error, by the phase that raised it."""
    if isinstance(error, GraphQLSyntaxError):
        return ParseFailed.code
    return ValidationFailed.code if is_refused else BadUserInput.code


def _without_suggestion(error: GraphQLError) -> GraphQLError:
    message, found, _ = error.message.partition(" Did you mean ")
    return _again(error, message, error.extensions) if found else error


def _again(error: GraphQLError, message: str, extensions: dict[str, Any] | None) -> GraphQLError:
    return GraphQLError(
        message, error.nodes, error.source, error.positions, error.path, extensions=extensions
    )
