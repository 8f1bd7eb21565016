"""The third-party files of the GraphiQL page: their pins and their installation.

This module runs while the package is being built, so it may import only the standard library: no
other module of ours and no dependency. It names no package registry (npm has a configured one).
The hash decides whether a file is installed, never its source.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

DIRECTORY = Path(__file__).with_name("assets")
CDN = "https://cdn.jsdelivr.net/npm"


def integrity_of(content: bytes) -> str:
    """The hash in the form of the browser's integrity attribute; pins have the same form."""
    return "sha384-" + b64encode(hashlib.sha384(content).digest()).decode()


@dataclass(frozen=True)
class Pin:
    """One file of one published package."""

    package: str
    version: str
    path: str
    """The path in the package's tarball."""
    integrity: str

    @property
    def release(self) -> str:
        return f"{self.package}@{self.version}"

    @property
    def name(self) -> str:
        """The file name in our directory."""
        return self.path.rpartition("/")[2]

    def url(self, cdn: str = CDN) -> str:
        """The URL on a CDN that mirrors npm packages file by file."""
        return f"{cdn}/{self.release}/{self.path}"

    def content_in(self, directory: Path) -> bytes | None:
        """The content of the installed file; None if it is missing or has another hash."""
        try:
            content = (directory / self.name).read_bytes()
        except OSError:
            return None
        return content if integrity_of(content) == self.integrity else None


# In the order in which the page loads them. These are the last releases with plain scripts (UMD);
# GraphiQL's contains its editor, graphql-js and graphql-ws.
PINS = (
    Pin(
        package="react",
        version="18.3.1",
        path="umd/react.production.min.js",
        integrity="sha384-DGyLxAyjq0f9SPpVevD6IgztCFlnMF6oW/XQGmfe+IsZ8TqEiDrcHkMLKI6fiB/Z",
    ),
    Pin(
        package="react-dom",
        version="18.3.1",
        path="umd/react-dom.production.min.js",
        integrity="sha384-gTGxhz21lVGYNMcdJOyq01Edg0jhn/c22nsx0kyqP0TxaV5WVdsSH1fSDUf5YJj1",
    ),
    Pin(
        package="graphiql",
        version="4.1.2",
        path="graphiql.min.js",
        integrity="sha384-9XdHu7ajgGJziD4J1zNBKQ842Q/+zZfDv+ib1eMhZWBH6hPAs806x+Jbcf0yNO6B",
    ),
    Pin(
        package="graphiql",
        version="4.1.2",
        path="graphiql.min.css",
        integrity="sha384-1el1QShFBnnXTx9x/Cprg82hZWKt0ry29OAYIXt05swbi0KcZDFoj0CWguMpopJr",
    ),
)

Source = Callable[[Sequence[Pin]], Iterable[tuple[Pin, bytes]]]
"""Yields the requested files that it has; raises if it fails."""


def npm(pins: Sequence[Pin]) -> Iterator[tuple[Pin, bytes]]:
    """The files from the tarballs that `npm pack` downloads from its configured registry."""
    with tempfile.TemporaryDirectory() as folder:
        _npm_pack(sorted({pin.release for pin in pins}), folder)
        for pin in pins:
            with tarfile.open(Path(folder) / f"{pin.package}-{pin.version}.tgz") as tarball:
                member = tarball.extractfile(f"package/{pin.path}")
                yield pin, member.read() if member else b""


def _npm_pack(releases: Sequence[str], folder: str) -> None:
    program = shutil.which("npm")
    if program is None:
        raise FileNotFoundError("npm is not installed")
    # One quick retry instead of npm's minute of them: the next source is the CDN.
    retries = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=30000")
    command = (program, "pack", "--ignore-scripts", "--prefer-offline", *retries, *releases)
    done = subprocess.run(  # noqa: S603 (the command only has our own pins)
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise OSError("; ".join(reason[:3]) or f"npm pack ended with status {done.returncode}")


def jsdelivr(pins: Sequence[Pin], cdn: str = CDN) -> Iterator[tuple[Pin, bytes]]:
    """The files from the CDN, one by one."""
    for pin in pins:
        with urlopen(pin.url(cdn), timeout=30) as response:  # noqa: S310 (the address is ours)
            yield pin, response.read()


def install(
    directory: Path = DIRECTORY,
    sources: Sequence[Source] = (npm, jsdelivr),
    pins: Sequence[Pin] = PINS,
) -> Iterator[str]:
    """Installs each missing pinned file from the first source that has it.

    Yields one warning for each failure and never raises: the gateway works without the page's
    files, and the page can load them from the CDN.
    """
    yield from _remove_unpinned(directory, pins)
    for source in sources:
        if absent := missing(directory, pins):
            yield from _install_from(source, absent, directory)


def missing(directory: Path = DIRECTORY, pins: Sequence[Pin] = PINS) -> list[Pin]:
    """The pinned files that are missing or have another hash."""
    return [pin for pin in pins if pin.content_in(directory) is None]


def require(directory: Path = DIRECTORY, pins: Sequence[Pin] = PINS) -> None:
    """Raises FileNotFoundError with the names of missing files; a release requires them all."""
    if absent := missing(directory, pins):
        raise FileNotFoundError("missing: " + ", ".join(pin.name for pin in absent))


def _remove_unpinned(directory: Path, pins: Sequence[Pin]) -> Iterator[str]:
    """Removes damaged files and those of older pins, because a wheel contains the directory."""
    valid_names = {pin.name for pin in pins} - {pin.name for pin in missing(directory, pins)}
    for path in directory.glob("[!.]*"):
        if path.name not in valid_names:
            try:
                path.unlink()
            except OSError as error:
                yield f"{path} is not a pinned file and cannot be removed: {error}"


def _install_from(source: Source, pins: Sequence[Pin], directory: Path) -> Iterator[str]:
    name = getattr(source, "__name__", repr(source))
    try:
        for pin, content in source(pins):
            if integrity_of(content) == pin.integrity:
                _write(directory / pin.name, content)
            else:
                yield f"{pin.path} of {pin.release} from {name} has another hash: not installed"
    except Exception as error:  # after any failure of a source, the next one is tried
        yield f"{name} failed: {error}"


def _write(path: Path, content: bytes) -> None:
    """Replaces the file atomically, so that concurrent installs never see half a file."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
