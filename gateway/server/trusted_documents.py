"""The trusted documents of the manifests that the settings name, read anew when a file changes.

A manifest that cannot be used changes nothing: the last good one stays. This module must not know
what a request is.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

from gateway.schema.manifests import ManifestError, TrustedDocument, read_manifest, sha256_of
from gateway.settings import SettingsError

__all__ = ["TrustedDocuments", "reloading"]

log = logging.getLogger(__name__)

# Seconds between two looks at the files.
RELOAD_INTERVAL = 1.0
PREFIX = "sha256:"


class Manifest:
    """The documents of some files. `version` begins the SHA-256 of their content."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Raises ManifestError, which names the file and says what is wrong with it."""
        self.by_id: dict[str, TrustedDocument] = {}
        self.by_hash: dict[str, TrustedDocument] = {}
        self.by_digest: dict[str, TrustedDocument] = {}
        content = sha256()
        for path in paths:
            try:
                read = Path(path).read_bytes()
                for document in read_manifest(read):
                    self._add(document)
            except OSError as error:
                raise ManifestError(f"{path} cannot be read: {error.strerror}") from None
            except ManifestError as error:
                raise ManifestError(f"{path} cannot be used: {error}") from None
            content.update(read)
        self.version = content.hexdigest()[:12]

    def _add(self, document: TrustedDocument) -> None:
        known = self.by_id.setdefault(document.id, document)
        if known.text != document.text:
            raise ManifestError(f"the id {document.id} has another document already")
        self.by_hash.setdefault(sha256_of(document.text), document)
        self.by_digest.setdefault(document.digest, document)

    def __str__(self) -> str:
        return f"version {self.version} with {len(self.by_id)} trusted documents"


class TrustedDocuments:
    """What the files have now. Raises SettingsError if they cannot be used at the start."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._seen = self._stamps()
        try:
            self._manifest = Manifest(paths)
        except ManifestError as error:
            raise SettingsError(f"GATEWAY_DOCUMENTS_FILE: {error}") from None

    def with_id(self, id_: str) -> TrustedDocument | None:
        """The document of this id, or of this SHA-256, as `sha256:…` or alone."""
        manifest, hash_ = self._manifest, id_.removeprefix(PREFIX)
        return manifest.by_id.get(id_) or manifest.by_id.get(hash_) or manifest.by_hash.get(hash_)

    def with_digest(self, digest: str) -> TrustedDocument | None:
        """The document whose normalised text has this digest."""
        return self._manifest.by_digest.get(digest)

    def reload(self) -> None:
        """Reads the files if one has changed. It waits for the disk."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        self._seen = stamps
        try:
            self._manifest = Manifest(self._paths)
        except ManifestError as error:
            log.error("documents: %s; %s stays in use", error, self._manifest)
        else:
            log.info("documents: %s is in use", self._manifest)

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        """What tells a changed file."""
        return [_stamp(path) for path in self._paths]


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


@asynccontextmanager
async def reloading(documents: TrustedDocuments | None) -> AsyncIterator[None]:
    """Looks for changed files while the block runs."""
    if documents is None:
        yield
        return
    task = asyncio.ensure_future(_reload(documents))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _reload(documents: TrustedDocuments) -> None:
    while True:
        await asyncio.sleep(RELOAD_INTERVAL)
        await asyncio.to_thread(documents.reload)
