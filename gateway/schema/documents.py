"""From an operation's text to a checked document: parsed, measured and validated, each once.

The way of every operation, over HTTP or a socket: the schema's extension asks here. A text that
comes again finds its document prepared. This module must not know HTTP.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
    specified_rules,
)
from strawberry.extensions import SchemaExtension
from strawberry.types.execution import ExecutionContext

from gateway.errors import BadRequest, CallerError
from gateway.schema.cost import check_cost
from gateway.schema.limits import DocumentLimits, check_document, check_variables
from gateway.schema.strawberry_internals import (
    given_operation_name,
    graphql_schema,
    validate_document,
)

__all__ = ["CheckedDocument", "limits_of"]

# Documents, and the longest text (characters) that is worth keeping: 128 × 16 KB is 2 MB of text.
KEPT = 128
KEPT_LENGTH = 16 * 1024
DEFAULTS = DocumentLimits()


def limits_of(context: ExecutionContext) -> DocumentLimits:
    """The limits that the operation's context carries; the defaults where it has none."""
    limits: DocumentLimits = getattr(context.context, "limits", DEFAULTS)
    return limits


class Prepared:
    """A document, and what is wrong with it whatever its variables are."""

    def __init__(self, text: str, limits: DocumentLimits, schema: GraphQLSchema) -> None:
        """Raises GraphQLError where the text cannot be parsed."""
        self.document: DocumentNode = parse(text, max_tokens=limits.tokens)
        self._limits = limits
        self._schema = schema

    @cached_property
    def errors(self) -> Sequence[GraphQLError]:
        """The limit that is exceeded, or what validation says; looked for once."""
        try:
            check_document(self.document, self._limits)
        except CallerError as refusal:
            return [_refusal(refusal)]
        return validate_document(self._schema, self.document, tuple(specified_rules))


_kept = lru_cache(maxsize=KEPT)(Prepared)


def _prepared(text: str, limits: DocumentLimits, schema: GraphQLSchema) -> Prepared:
    prepare = _kept if len(text) <= KEPT_LENGTH else Prepared
    return prepare(text, limits, schema)


class CheckedDocument(SchemaExtension):
    """Takes the place of Strawberry's parser and validation caches: limits come before both."""

    _document: Prepared | None = None

    def on_parse(self) -> Iterator[None]:
        """A text that cannot be parsed is left to Strawberry, which reports it."""
        context = self.execution_context
        limits = limits_of(context)
        context.parse_options["max_tokens"] = limits.tokens
        with suppress(GraphQLError):
            self._document = _prepared(context.query or "", limits, graphql_schema(context.schema))
            context.graphql_document = self._document.document
        yield

    def on_validate(self) -> Iterator[None]:
        """All that is to be refused before execution; what others refuse already stays so."""
        context = self.execution_context
        context.pre_execution_errors = context.pre_execution_errors or list(self._errors())
        yield

    def _errors(self) -> Sequence[GraphQLError]:
        context = self.execution_context
        assert self._document  # noqa: S101 (nothing else parses)
        if self._document.errors:
            return self._document.errors
        try:
            _check_name(self._document.document, given_operation_name(context))
            _check_values(self._document.document, context)
        except CallerError as refusal:
            return [_refusal(refusal)]
        return ()


def _check_name(document: DocumentNode, name: str | None) -> None:
    """Strawberry runs the first of several operations where no name says which is meant."""
    operations = [
        node for node in document.definitions if isinstance(node, OperationDefinitionNode)
    ]
    if len(operations) > 1 and name is None:
        raise BadRequest("operationName is required: the document has several operations")


def _check_values(document: DocumentNode, context: ExecutionContext) -> None:
    limits = limits_of(context)
    variables: dict[str, Any] = context.variables or {}
    check_variables(variables, limits)
    check_cost(graphql_schema(context.schema), document, context.operation_name, variables, limits)


def _refusal(error: CallerError) -> GraphQLError:
    return GraphQLError(str(error), original_error=error)
