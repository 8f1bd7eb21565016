"""Prepares operations: all that does not depend on a request is done once, and cached.

A prepared operation is parsed, measured and validated, and knows its type and its estimated cost.
Nothing here may depend on the caller or on the value of a variable. This module must not know HTTP.

Note [Freed at once]. graphql-core links the tokens of a text in both directions, and a raised
exception refers to its frames, which refer to the document. Only Python's garbage collector frees
such cycles. It frees long-lived ones only in a full run, and a busy gateway sees one in hours
(`tune_gc`). So this module breaks the cycles: an evicted operation is freed at once.

Note [Kept by size]. The cache is bounded by bytes, as estimated from the text, its tokens and its
fields. The estimate includes the compiled plans. A refused operation is not cached: its errors may
be longer than its text, and it would evict one that is really used.
"""

from collections.abc import Hashable, Sequence
from sys import getsizeof

from cachetools import LRUCache
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    KnownDirectivesRule,
    OperationDefinitionNode,
    OperationType,
    UniqueDirectivesPerLocationRule,
    parse,
    specified_rules,
    validate,
)
from graphql.execution.collect_fields import FragmentDetails

from gateway.errors import BadRequest, CallerError
from gateway.execution import MAX_PLANS, Plans, nodes_in
from gateway.schema.cost import CostEstimate
from gateway.schema.error_codes import error_of
from gateway.schema.limits import check_document
from gateway.schema.strawberry_internals import validate_document
from gateway.settings import DocumentSettings

__all__ = ["PreparedCache", "PreparedOperation", "parsed"]

CACHE_BYTES = 32 * 1024 * 1024
# The longest text, in characters, that is worth caching.
MAX_CACHED_LENGTH = 16 * 1024
# Estimated bytes of a cached operation, besides its text and the slices of it: for each token with
# its nodes, for each field in each plan, and for the entry.
TOKEN_BYTES, FIELD_BYTES, ENTRY_BYTES = 700, 4500, 12_000
DIRECTIVE_RULES = (KnownDirectivesRule, UniqueDirectivesPerLocationRule)


class PreparedOperation:
    """One operation of a document, and what follows from it for every request.

    Without a name it is the document's first operation. `errors` refuse every request. `limits` are
    those of the document. `field_names` are the names of its fields and of those of all fragments.
    """

    def __init__(
        self, text: str, name: str | None, limits: DocumentSettings, schema: GraphQLSchema
    ) -> None:
        """Raises GraphQLError for a text that cannot be parsed, BadRequest for a wrong name."""
        self.schema, self.limits = schema, limits
        self.document = parsed(text, limits.max_tokens)
        self.node = _operation_of(self.document, name)
        self.type: OperationType = self.node.operation
        self.fragments = {
            node.name.value: node
            for node in self.document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        self.fragment_details = {
            name: FragmentDetails(node) for name, node in self.fragments.items()
        }
        self.bytes = (
            ENTRY_BYTES + 2 * getsizeof(text) + TOKEN_BYTES * (self.document.token_count or 0)
        )
        self.errors = self._errors(name)
        if not self.errors:
            nodes = [*nodes_in(self.node, *self.fragments.values())]
            names = (node.name.value for node in nodes if isinstance(node, FieldNode))
            self.field_names = frozenset(names)
            self.plans = Plans(self.node, self.fragment_details)
            self.estimate = CostEstimate(schema, self.document, self.node, limits)

    def _errors(self, name: str | None) -> Sequence[GraphQLError]:
        """The exceeded limit, else validation's errors.

        Of wrong directives only the first is reported, because one field may have very many.
        """
        document = self.document
        try:
            measured = check_document(document, self.limits)
        except CallerError as error:
            return [error_of(error)]
        self.bytes += FIELD_BYTES * measured.fields * min(2**measured.directives, MAX_PLANS)
        if measured.directives:
            wrong = validate(self.schema, document, DIRECTIVE_RULES, max_errors=1)
            if wrong:
                return wrong[:1]
        errors = validate_document(self.schema, document, tuple(specified_rules))
        if not errors and name is None and len(_operations(document)) > 1:
            message = "operationName is required: the document has several operations"
            return [error_of(BadRequest(message))]
        return errors


def parsed(text: str, max_tokens: int | None = None) -> DocumentNode:
    """The document. Raises GraphQLError."""
    document = parse(text, max_tokens=max_tokens)
    _unlink_tokens(document)
    return document


def _operations(document: DocumentNode) -> list[OperationDefinitionNode]:
    return [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]


def _operation_of(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    for node in _operations(document):
        if name is None or (node.name and node.name.value == name):
            return node
    raise BadRequest("The document has no operation of that name")


def _unlink_tokens(document: DocumentNode) -> None:
    """See Note [Freed at once]. Nothing follows the links once the text is parsed."""
    token = document.loc.start_token if document.loc else None
    while token is not None:
        following, token.prev, token.next = token.next, None, None
        token = following


class PreparedCache:
    """Caches valid operations, least recently used out first. See Note [Kept by size]."""

    def __init__(self, size: int = CACHE_BYTES) -> None:
        self._operations: LRUCache[Hashable, PreparedOperation] = LRUCache(
            size, lambda operation: operation.bytes
        )

    @property
    def bytes(self) -> int:
        """The bytes of the cached operations, at most the size."""
        return int(self._operations.currsize)

    def prepared(
        self, text: str, name: str | None, limits: DocumentSettings, schema: GraphQLSchema
    ) -> PreparedOperation:
        """The operation of that name. Raises as PreparedOperation."""
        if len(text) > MAX_CACHED_LENGTH:
            return PreparedOperation(text, name, limits, schema)
        key = (text, name, limits, schema)
        operation = self._operations.get(key)
        if operation is None:
            operation = PreparedOperation(text, name, limits, schema)
            if operation.bytes <= self._operations.maxsize and not operation.errors:
                self._operations[key] = operation
        return operation
