"""Automatic persisted queries: a client sends a document's hash, and the document only once.

The texts of the two errors are the protocol's: clients compare them. This module must not know
HTTP, nor which documents are trusted.
"""

from typing import Any

from cachetools import LRUCache
from graphql import GraphQLError

from gateway.errors import BadRequest, HashMismatch, PersistedQueryNotFound
from gateway.schema import prepare
from gateway.schema.manifests import sha256_of
from gateway.settings import DocumentSettings

__all__ = ["PersistedQueries", "hash_of"]

STORE_BYTES = 16 * 1024 * 1024
# Estimated bytes of an entry, besides its text.
ENTRY_BYTES = 500


def hash_of(extensions: dict[str, Any]) -> str | None:
    """The hash that a client sends, empty if it is unusable; None if it sends none."""
    given = extensions.get("persistedQuery")
    if given is None:
        return None
    hash_ = given.get("sha256Hash") if isinstance(given, dict) and given.get("version") == 1 else ""
    return hash_ if isinstance(hash_, str) else ""


class PersistedQueries:
    """The documents of hashes, least recently used out first; bounded by bytes."""

    def __init__(self, limits: DocumentSettings, size: int = STORE_BYTES) -> None:
        self._limits = limits
        self._texts: LRUCache[str, str] = LRUCache(size, lambda text: ENTRY_BYTES + 4 * len(text))

    def text(self, hash_: str) -> str:
        """The document of this hash. Raises PersistedQueryNotFound."""
        text = self._texts.get(hash_)
        if text is None:
            raise PersistedQueryNotFound("PersistedQueryNotFound")
        return text

    def register(self, hash_: str, text: str, name: str | None) -> None:
        """Keeps the document if it could run: it parses, is valid and within the limits.

        `name` is that of the operation to run. Raises HashMismatch.
        """
        if sha256_of(text) != hash_:
            raise HashMismatch("provided sha does not match query")
        if hash_ in self._texts:
            return
        try:
            is_valid = not prepare(text, name, self._limits).errors
        except (GraphQLError, BadRequest):
            return  # whoever runs it reports the error
        if is_valid and ENTRY_BYTES + 4 * len(text) <= self._texts.maxsize:
            self._texts[hash_] = text
