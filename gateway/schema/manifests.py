"""Reads manifests of trusted documents, and compares documents by their normalised text.

Two shapes are known: Apollo's manifest, and the map from id to text that Relay's compiler and
codegen's client preset write. This module must not know where a manifest comes from, nor what is
done with a document that none has.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec
from graphql import DocumentNode, GraphQLError, OperationDefinitionNode, print_ast

from gateway.schema.prepared import parsed

__all__ = ["ManifestError", "NormalisedText", "TrustedDocument", "read_manifest", "sha256_of"]

APOLLO = "apollo-persisted-query-manifest"
SHAPES = f'a map from id to document, or of the format "{APOLLO}", version 1'


class ManifestError(ValueError):
    """The manifest cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class NormalisedText:
    """What stays of a document without white space, comments and the order of its definitions.

    `digest` is its SHA-256. `name` is that of its first operation, None if it has none.
    """

    digest: str
    name: str | None

    @classmethod
    def of(cls, text: str, max_tokens: int | None = None) -> "NormalisedText":
        """Raises GraphQLError for a text that is not GraphQL, or has too many tokens."""
        document = parsed(text, max_tokens)
        definitions = sorted(map(print_ast, document.definitions))
        return cls(sha256_of("\n".join(definitions)), _name(document))


@dataclass(frozen=True, slots=True)
class TrustedDocument:
    """A document of a manifest. `name` is the manifest's, else that of its first operation."""

    id: str
    text: str
    name: str | None
    digest: str


def sha256_of(text: str) -> str:
    """The SHA-256 of the text in UTF-8, in lower-case hexadecimal."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def read_manifest(content: bytes) -> list[TrustedDocument]:
    """The documents of a manifest of either shape. Raises ManifestError."""
    try:
        manifest = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ManifestError("it is not JSON") from None
    if not isinstance(manifest, dict):
        raise ManifestError(f"it must be {SHAPES}")
    return [_document(*entry) for entry in _entries(manifest)]


def _entries(manifest: dict[str, Any]) -> list[tuple[Any, Any, Any]]:
    """Id, text and name of each document."""
    operations = manifest.get("operations")
    if not isinstance(operations, list):
        return [(id_, text, None) for id_, text in manifest.items()]
    if manifest.get("format") != APOLLO or manifest.get("version") != 1:
        raise ManifestError(f"it must be {SHAPES}")
    if not all(isinstance(operation, dict) for operation in operations):
        raise ManifestError("each of its operations must be an object")
    return [(one.get("id"), one.get("body"), one.get("name")) for one in operations]


def _document(id_: Any, text: Any, name: Any) -> TrustedDocument:
    if not isinstance(id_, str) or not id_ or not isinstance(text, str):
        raise ManifestError("each document must have an id and a text")
    if not isinstance(name, str | None):
        raise ManifestError(f"the name of document {id_} is not a string")
    try:
        normalised = NormalisedText.of(text)
    except GraphQLError as error:
        raise ManifestError(f"document {id_} is not GraphQL: {error.message}") from None
    return TrustedDocument(id_, text, name or normalised.name, normalised.digest)


def _name(document: DocumentNode) -> str | None:
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            return node.name.value if node.name else None
    return None
