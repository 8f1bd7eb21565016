"""Decides which document a request runs: the one that it sends, or the one that it names.

Clients name a document by the id of a manifest, or by its hash (automatic persisted queries). This
module must not know HTTP.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache, TTLCache
from graphql import GraphQLError

from gateway.errors import (
    BadRequest,
    DocumentAndId,
    DocumentIdRequired,
    DocumentNotTrusted,
    PersistedQueryNotSupported,
    UnknownDocumentId,
)
from gateway.schema.manifests import NormalisedText, sha256_of
from gateway.server.persisted_queries import PersistedQueries, hash_of
from gateway.server.trusted_documents import TrustedDocuments
from gateway.settings import DocumentPolicy, DocumentSettings, Switch

__all__ = ["ID_FIELDS", "DocumentSource", "RequestedDocument"]

log = logging.getLogger(__name__)

ID_FIELDS = ("documentId", "doc_id", "id")
"""The parameters that name a document: the specification's, and Relay's by custom."""
MAX_NORMALISED = 4096
# Documents of which a log line tells in a minute, and its seconds.
MAX_WARNED, WARN_INTERVAL = 1000, 60.0
LONG_NUMBER = re.compile(r"\d{4,}")


@dataclass(frozen=True, slots=True)
class RequestedDocument:
    """A document to run. `name` is that of a trusted document, None for any other."""

    text: str
    name: str | None = None


class DocumentSource:
    """Finds the documents of requests, as the settings allow. `clock` is in seconds.

    Raises SettingsError for a manifest that cannot be used.
    """

    def __init__(
        self, settings: DocumentSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._policy = settings, settings.policy
        is_on = self._policy is not DocumentPolicy.OFF
        self.trusted = TrustedDocuments(settings.manifests or ()) if is_on else None
        is_open = self._policy in (DocumentPolicy.OFF, DocumentPolicy.WARN)
        has_apq = is_open and settings.apq is Switch.ON
        self._persisted = PersistedQueries(settings) if has_apq else None
        self._normalised: LRUCache[str, NormalisedText | None] = LRUCache(MAX_NORMALISED)
        self._warned: TTLCache[tuple[str, str], bool] = TTLCache(MAX_WARNED, WARN_INTERVAL, clock)

    def document(
        self, fields: Mapping[str, Any], extensions: dict[str, Any], caller: str
    ) -> RequestedDocument:
        """The document of a request with these parameters. Raises CallerError."""
        query, hash_ = fields.get("query"), hash_of(extensions)
        id_ = self._id(fields)
        if not query and (id_ or hash_ is not None):
            return self._named(id_, hash_, caller)
        if self._policy is DocumentPolicy.IDS:
            if query and (id_ or hash_):
                raise DocumentAndId("Send the id of a document without the document")
            raise DocumentIdRequired("Only trusted documents run here: send the id of one")
        if not isinstance(query, str) or not query.strip():
            raise BadRequest("query is missing or not a string")
        document = self._allowed(query, caller)
        if hash_ and self._persisted:
            name = fields.get("operationName")
            self._persisted.register(hash_, query, name if isinstance(name, str) and name else None)
        return document

    def _id(self, fields: Mapping[str, Any]) -> str | None:
        """The id of a document; None if there is none, or if there are no trusted documents."""
        if self.trusted is None:
            return None
        ids = {name: fields[name] for name in ID_FIELDS if fields.get(name) not in (None, "")}
        for name, id_ in ids.items():
            if not isinstance(id_, str):
                raise BadRequest(f"{name} is not a string")
        if len(set(ids.values())) > 1:
            raise BadRequest(f"{' and '.join(ids)} are ids of different documents")
        return next(iter(ids.values()), None)

    def _named(self, id_: str | None, hash_: str | None, caller: str) -> RequestedDocument:
        trusted = self.trusted and self.trusted.with_id(id_ or hash_ or "")
        if trusted:
            return RequestedDocument(trusted.text, trusted.name)
        if hash_ is None:
            raise UnknownDocumentId("There is no trusted document with this id")
        if not hash_ or self._persisted is None:
            raise PersistedQueryNotSupported("PersistedQueryNotSupported")
        return self._allowed(self._persisted.text(hash_), caller)

    def _allowed(self, text: str, caller: str) -> RequestedDocument:
        """The document, if it may run. Raises DocumentNotTrusted."""
        if self.trusted is None:
            return RequestedDocument(text)
        normalised = self._normalise(text)
        trusted = normalised and self.trusted.with_digest(normalised.digest)
        if not trusted and self._policy is DocumentPolicy.KNOWN:
            raise DocumentNotTrusted("Only trusted documents run here, and this is none")
        if normalised and self._policy is DocumentPolicy.WARN:
            self._warn("ids" if trusted else "known, ids", normalised, caller)
        return RequestedDocument(text, trusted.name if trusted else None)

    def _normalise(self, text: str) -> NormalisedText | None:
        """None for a text that is not GraphQL."""
        key = sha256_of(text)
        if key not in self._normalised:
            try:
                self._normalised[key] = NormalisedText.of(text, self._settings.max_tokens)
            except GraphQLError:
                self._normalised[key] = None
        return self._normalised[key]

    def _warn(self, policies: str, document: NormalisedText, caller: str) -> None:
        """Logs what these policies would refuse, once a minute for each document.

        Clients choose the name of an operation, so long numbers in it are left out.
        """
        key = policies, document.digest
        if key in self._warned or len(self._warned) >= MAX_WARNED:
            return
        self._warned[key] = True
        name = LONG_NUMBER.sub("…", document.name or "")[:100] or None
        fields = {
            "policy": policies,
            "operation": name,
            "sha256": document.digest,
            "caller": caller,
        }
        present = {name: value for name, value in fields.items() if value is not None}
        log.warning("a document would be refused", extra={"fields": present})
