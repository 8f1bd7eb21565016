"""The static files of the page, each under a URL with a hash of its content.

They are read once, when the gateway starts. This module must not know the page.
"""

import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PREFIX = "/playground"

_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    "cache-control": "public, max-age=31536000, immutable",
    "cross-origin-resource-policy": "same-origin",
    "vary": "accept-encoding",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True)
class File:
    """An immutable file: other content has another URL."""

    name: str
    content: bytes

    @classmethod
    def read(cls, path: Path) -> "File":
        return cls(path.name, path.read_bytes())

    @cached_property
    def url(self) -> str:
        return f"{PREFIX}/{hashlib.sha256(self.content).hexdigest()[:16]}/{self.name}"

    @cached_property
    def compressed(self) -> bytes:
        return gzip.compress(self.content, compresslevel=6, mtime=0)


def route(files: Iterable[File]) -> Route:
    """One route for all files, by their exact URLs."""
    files_by_url = {file.url: file for file in files}

    def serve(request: Request) -> Response:
        # Not async: Starlette runs it in a thread, because the first compression may take long.
        file = files_by_url.get("{}/{digest}/{name}".format(PREFIX, **request.path_params))
        if file is None:
            raise HTTPException(404)
        return _response(file, gzipped="gzip" in request.headers.get("accept-encoding", ""))

    return Route(f"{PREFIX}/{{digest}}/{{name}}", serve, name="playground")


def _response(file: File, *, gzipped: bool) -> Response:
    return Response(
        file.compressed if gzipped else file.content,
        headers=_HEADERS | ({"content-encoding": "gzip"} if gzipped else {}),
        media_type=_MEDIA_TYPES[Path(file.name).suffix],
    )
