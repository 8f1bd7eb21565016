"""Parses, measures and validates a document once, and caches the result.

The schema's extension runs this for every operation, over HTTP or a socket. This module must not
know HTTP.

Note [Freed at once]. graphql-core links the tokens of a text in both directions, and a raised
exception refers to its frames, which refer to the document. Only Python's garbage collector frees
such cycles. It frees long-lived ones only in a full run, and a busy gateway sees one in hours
(`tune_gc`). So this module breaks the cycles: an evicted document is freed at once.

Note [Kept by size]. The cache is bounded by bytes, as estimated from text and tokens. A refused
document is not cached: its errors may be longer than the document, and it would evict one that is
really used.
"""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from sys import getsizeof
from typing import Any

from cachetools import LRUCache
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    KnownDirectivesRule,
    OperationDefinitionNode,
    UniqueDirectivesPerLocationRule,
    get_operation_ast,
    get_variable_values,
    parse,
    specified_rules,
    validate,
)
from strawberry.extensions import SchemaExtension
from strawberry.types.execution import ExecutionContext

from gateway.errors import BadRequest, BadUserInput, CallerError
from gateway.schema.cost import check_cost
from gateway.schema.limits import check_document, check_variables
from gateway.schema.strawberry_internals import (
    given_operation_name,
    graphql_schema,
    validate_document,
)
from gateway.settings import DocumentSettings

__all__ = ["DocumentGuard", "limits_of"]

CACHE_BYTES = 32 * 1024 * 1024
# The longest text, in characters, that is worth caching.
MAX_CACHED_LENGTH = 16 * 1024
# Estimated bytes of a cached document, besides its text and the slices of it: for each token with
# its nodes, and for the entry.
TOKEN_BYTES, ENTRY_BYTES = 700, 2000
DEFAULTS = DocumentSettings()
DIRECTIVE_RULES = (KnownDirectivesRule, UniqueDirectivesPerLocationRule)
# Errors for the variables of one operation: graphql-core's own limit in execution.
MAX_VARIABLE_ERRORS = 50


def limits_of(context: ExecutionContext) -> DocumentSettings:
    """The limits in the operation's context, else the defaults."""
    limits: DocumentSettings = getattr(context.context, "limits", DEFAULTS)
    return limits


class PreparedDocument:
    """A document, and its errors that do not depend on variables."""

    def __init__(self, text: str, limits: DocumentSettings, schema: GraphQLSchema) -> None:
        """Raises GraphQLError if the text cannot be parsed."""
        self.document: DocumentNode = parse(text, max_tokens=limits.max_tokens)
        _unlink_tokens(self.document)
        self.bytes = (
            2 * getsizeof(text) + TOKEN_BYTES * (self.document.token_count or 0) + ENTRY_BYTES
        )
        self._limits = limits
        self._schema = schema

    @cached_property
    def errors(self) -> Sequence[GraphQLError]:
        """The exceeded limit, else validation's errors; computed once.

        Of wrong directives only the first is reported, because one field may have very many.
        """
        try:
            measured = check_document(self.document, self._limits)
        except CallerError as error:
            return [_graphql_error(error)]
        if measured.directives:
            wrong = validate(self._schema, self.document, DIRECTIVE_RULES, max_errors=1)
            if wrong:
                return wrong[:1]
        return validate_document(self._schema, self.document, tuple(specified_rules))


def _unlink_tokens(document: DocumentNode) -> None:
    """See Note [Freed at once]. Nothing follows the links once the text is parsed."""
    token = document.loc.start_token if document.loc else None
    while token is not None:
        following, token.prev, token.next = token.next, None, None
        token = following


class DocumentCache:
    """Caches valid documents, least recently used out first. See Note [Kept by size]."""

    def __init__(self, size: int = CACHE_BYTES) -> None:
        self._documents: LRUCache[Hashable, PreparedDocument] = LRUCache(
            size, lambda document: document.bytes
        )

    @property
    def bytes(self) -> int:
        """The bytes of the cached documents, at most the size."""
        return int(self._documents.currsize)

    def prepared(
        self, text: str, limits: DocumentSettings, schema: GraphQLSchema
    ) -> PreparedDocument:
        """The document of a text. Raises GraphQLError if it cannot be parsed."""
        if len(text) > MAX_CACHED_LENGTH:
            return PreparedDocument(text, limits, schema)
        key = (text, limits, schema)
        document = self._documents.get(key)
        if document is None:
            document = PreparedDocument(text, limits, schema)
            if document.bytes <= self._documents.maxsize and not document.errors:
                self._documents[key] = document
        return document


_cache = DocumentCache()


class DocumentGuard(SchemaExtension):
    """Replaces Strawberry's parser and validation caches, so that limits are checked first."""

    _document: PreparedDocument | None = None

    def on_parse(self) -> Iterator[None]:
        """Strawberry reports a text that cannot be parsed."""
        context = self.execution_context
        limits = limits_of(context)
        context.parse_options["max_tokens"] = limits.max_tokens
        with suppress(GraphQLError):
            self._document = _cache.prepared(
                context.query or "", limits, graphql_schema(context.schema)
            )
            context.graphql_document = self._document.document
        yield

    def on_validate(self) -> Iterator[None]:
        """Refuses operations before execution; errors of other extensions come first."""
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
            return _variable_errors(self._document.document, context)
        except CallerError as error:
            return [_graphql_error(error)]


def _check_name(document: DocumentNode, name: str | None) -> None:
    """Raises BadRequest if the name is missing: Strawberry would run the first operation."""
    operations = [
        node for node in document.definitions if isinstance(node, OperationDefinitionNode)
    ]
    if len(operations) > 1 and name is None:
        raise BadRequest("operationName is required: the document has several operations")


def _variable_errors(document: DocumentNode, context: ExecutionContext) -> Sequence[GraphQLError]:
    """The errors of the variables. Raises CallerError for a value or a cost beyond a limit."""
    limits = limits_of(context)
    given: dict[str, Any] = context.variables or {}
    check_variables(given, limits)
    schema = graphql_schema(context.schema)
    operation = get_operation_ast(document, context.operation_name)
    assert operation  # noqa: S101 (Strawberry has looked for it)
    variables = get_variable_values(
        schema, operation.variable_definitions or (), given, MAX_VARIABLE_ERRORS
    )
    if isinstance(variables, list):
        return [_bad_input(error) for error in variables]
    check_cost(schema, document, operation, variables, limits)
    return ()


def _bad_input(error: GraphQLError) -> GraphQLError:
    """Gives the error of a variable that cannot be coerced the code BAD_USER_INPUT."""
    extensions = {"code": BadUserInput.code} | (error.extensions or {})
    return GraphQLError(error.message, error.nodes, extensions=extensions)


def _graphql_error(error: CallerError) -> GraphQLError:
    """The GraphQL error of a CallerError, without its frames: Note [Freed at once]."""
    return GraphQLError(str(error), original_error=error.with_traceback(None))
