"""Gives errors their codes, before clients see them.

A GatewayError keeps its message; any other exception of a resolver is masked and logged. Clients
never see internal messages. This module must not know how operations are executed.
"""

import logging
from collections.abc import Sequence
from typing import Any

from graphql import GraphQLError, GraphQLSyntaxError

from gateway.errors import BadUserInput, GatewayError, ParseFailed, ValidationFailed
from gateway.schema.limits import NESTING, exceeded
from gateway.settings import DocumentSettings

__all__ = ["error_of", "presentable"]

log = logging.getLogger(__name__)


def error_of(error: GatewayError) -> GraphQLError:
    """The GraphQL error of a GatewayError, without its frames: they may refer to a document."""
    return GraphQLError(str(error), original_error=error.with_traceback(None))


def presentable(
    errors: Sequence[GraphQLError], limits: DocumentSettings, *, is_refused: bool = False
) -> list[GraphQLError]:
    """The errors as clients see them. `is_refused` says that nothing was executed."""
    shown = [_presentable(error, is_refused, limits.max_tokens) for error in errors]
    return shown if limits.suggests_names else [_without_suggestion(error) for error in shown]


def _presentable(error: GraphQLError, is_refused: bool, tokens: int) -> GraphQLError:
    cause = error.original_error
    while isinstance(cause, GraphQLError) and cause.original_error:
        cause = cause.original_error
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
