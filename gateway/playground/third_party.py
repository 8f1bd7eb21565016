"""The third-party files of the GraphiQL page: which they are, and how they get onto the machine.

This module runs while the package is being built, so it must know nothing but the standard
library: no other module of ours, no installed dependency, and no package registry by name (npm
brings its own configured one). The hash decides what is installed, never the place it came from.
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
    """The hash in the form of the browser's integrity attribute, which is how we pin it, too."""
    return "sha384-" + b64encode(hashlib.sha384(content).digest()).decode()


@dataclass(frozen=True)
class Pin:
    """One file of one published package."""

    package: str
    version: str
    path: str
    """Where the file lies in the package's tarball."""
    integrity: str

    @property
    def release(self) -> str:
        return f"{self.package}@{self.version}"

    @property
    def name(self) -> str:
        """Our own file name."""
        return self.path.rpartition("/")[2]

    def url(self, cdn: str = CDN) -> str:
        """Where a CDN has it that mirrors npm packages file by file."""
        return f"{cdn}/{self.release}/{self.path}"

    def content_in(self, directory: Path) -> bytes | None:
        """The file as it was published; None when it is not there or is not that file."""
        try:
            content = (directory / self.name).read_bytes()
        except OSError:
            return None
        return content if integrity_of(content) == self.integrity else None


# In the order in which the page loads them. These are the last releases that come as plain
# scripts (UMD); GraphiQL's brings its editor, graphql-js and graphql-ws along.
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
"""Yields what it has of the files asked for; raises when it cannot go on."""


def npm(pins: Sequence[Pin]) -> Iterator[tuple[Pin, bytes]]:
    """The files out of the tarballs that `npm pack` gets from the registry it is configured for."""
    with tempfile.TemporaryDirectory() as folder:
        _npm_pack(sorted({pin.release for pin in pins}), folder)
        for pin in pins:
            with tarfile.open(Path(folder) / f"{pin.package}-{pin.version}.tgz") as tarball:
                member = tarball.extractfile(f"package/{pin.path}")
                yield pin, member.read() if member else b""


def _npm_pack(releases: Sequence[str], folder: str) -> None:
    program = shutil.which("npm")
    if program is None:
        raise FileNotFoundError("there is no npm on this machine")
    # One quick retry instead of npm's minute of patience: there is another source behind it.
    patience = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=30000")
    command = (program, "pack", "--ignore-scripts", "--prefer-offline", *patience, *releases)
    done = subprocess.run(  # noqa: S603 (the command is made of our own pins)
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise OSError("; ".join(reason[:3]) or f"npm pack ended with status {done.returncode}")


def jsdelivr(pins: Sequence[Pin], cdn: str = CDN) -> Iterator[tuple[Pin, bytes]]:
    """The files one by one from the CDN."""
    for pin in pins:
        with urlopen(pin.url(cdn), timeout=30) as answer:  # noqa: S310 (the address is ours)
            yield pin, answer.read()


def install(
    directory: Path = DIRECTORY,
    sources: Sequence[Source] = (npm, jsdelivr),
    pins: Sequence[Pin] = PINS,
) -> Iterator[str]:
    """Get every pinned file that is not there yet, source after source.

    Yields one sentence for each thing that went wrong and never raises: a gateway without its
    playground is still a gateway, and the page can name the CDN.
    """
    yield from _sweep(directory, pins)
    for source in sources:
        if wanted := missing(directory, pins):
            yield from _take(source, wanted, directory)


def missing(directory: Path = DIRECTORY, pins: Sequence[Pin] = PINS) -> list[Pin]:
    """The pinned files that are not there, or are not what was pinned."""
    return [pin for pin in pins if pin.content_in(directory) is None]


def require(directory: Path = DIRECTORY, pins: Sequence[Pin] = PINS) -> None:
    """Raises FileNotFoundError, which names what is missing: no release goes out without it."""
    if lacking := missing(directory, pins):
        raise FileNotFoundError("missing: " + ", ".join(pin.name for pin in lacking))


def _sweep(directory: Path, pins: Sequence[Pin]) -> Iterator[str]:
    """Nothing but pinned files may reach a wheel: not a damaged one, not one of an older pin."""
    good = {pin.name for pin in pins} - {pin.name for pin in missing(directory, pins)}
    for path in directory.glob("[!.]*"):
        if path.name not in good:
            try:
                path.unlink()
            except OSError as problem:
                yield f"{path} is no pinned file and cannot be removed: {problem}"


def _take(source: Source, wanted: Sequence[Pin], directory: Path) -> Iterator[str]:
    name = getattr(source, "__name__", repr(source))
    try:
        for pin, content in source(wanted):
            if integrity_of(content) == pin.integrity:
                _write(directory / pin.name, content)
            else:
                yield f"{pin.path} of {pin.release} from {name} has another hash: not installed"
    except Exception as problem:  # whatever a broken source does, the next one gets its turn
        yield f"{name} did not deliver: {problem}"


def _write(path: Path, content: bytes) -> None:
    """In one step, so that two installs at once never see half a file."""
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(content)
    unfinished.replace(path)
