"""How GraphiQL's files are installed: the hash decides, and no failure is fatal."""

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from gateway.playground.third_party import (
    CDN,
    PINS,
    Pin,
    install,
    integrity_of,
    jsdelivr,
    require,
)
from tests.serving import answering

SCRIPT, STYLE = b"alert('hello')", b"body {}"
MADE_UP = (
    Pin("hello", "1.0.0", "umd/hello.js", integrity_of(SCRIPT)),
    Pin("hello", "1.0.0", "hello.css", integrity_of(STYLE)),
)
GOOD = {"hello.js": SCRIPT, "hello.css": STYLE}


@dataclass
class FakeSource:
    """A source that has some files, and fails at the first other one."""

    contents: dict[str, bytes]
    requested: list[str] = field(default_factory=list)

    def __call__(self, pins: Sequence[Pin]) -> Iterator[tuple[Pin, bytes]]:
        for pin in pins:
            self.requested.append(pin.name)
            yield pin, self.contents[pin.name]


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_installed_files_are_the_pinned_ones(installed: Path) -> None:
    """Byte for byte, and nothing beside them."""
    found = {name: integrity_of(content) for name, content in files(installed).items()}

    assert found == {pin.name: pin.integrity for pin in PINS}


def test_files_are_installed(tmp_path: Path) -> None:
    """The first source that has them is enough; the directory is made when it is not there."""
    second = FakeSource({})
    warnings = list(install(tmp_path / "assets", [FakeSource(GOOD), second], MADE_UP))

    assert (warnings, files(tmp_path / "assets"), second.requested) == ([], GOOD, [])


def test_a_wrong_hash_is_not_installed_and_the_next_source_is_tried(tmp_path: Path) -> None:
    """The next source is only asked for the wrong file."""
    second = FakeSource(GOOD)
    warnings = list(install(tmp_path, [FakeSource(GOOD | {"hello.js": b"evil"}), second], MADE_UP))

    assert files(tmp_path) == GOOD
    assert second.requested == ["hello.js"]
    assert ["another hash" in warning for warning in warnings] == [True]


def test_a_wrong_hash_everywhere_leaves_nothing(tmp_path: Path) -> None:
    """Better no GraphiQL than a changed one."""
    evil = dict.fromkeys(GOOD, b"evil")
    warnings = list(install(tmp_path, [FakeSource(evil), FakeSource(evil)], MADE_UP))

    assert files(tmp_path) == {}
    assert len(warnings) == 4


def test_after_a_source_that_fails_the_next_is_tried(tmp_path: Path) -> None:
    """The files that it delivered before are kept."""
    second = FakeSource(GOOD)
    warnings = list(install(tmp_path, [FakeSource({"hello.js": SCRIPT}), second], MADE_UP))

    assert files(tmp_path) == GOOD
    assert second.requested == ["hello.css"]
    assert ["failed" in warning for warning in warnings] == [True]


def test_without_any_source_the_install_goes_on(tmp_path: Path) -> None:
    """Each source leads to one warning, and nothing is raised."""
    warnings = list(install(tmp_path, [FakeSource({}), FakeSource({})], MADE_UP))

    assert files(tmp_path) == {}
    assert len(warnings) == 2


def test_a_release_says_what_it_lacks(tmp_path: Path) -> None:
    """A file with another hash counts as missing."""
    list(install(tmp_path, [FakeSource(GOOD)], MADE_UP))
    require(tmp_path, MADE_UP)
    (tmp_path / "hello.css").write_bytes(STYLE + b"!")

    with pytest.raises(FileNotFoundError, match=r"^missing: hello\.css$"):
        require(tmp_path, MADE_UP)


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    """A reinstall uses no source."""
    again = FakeSource({})
    list(install(tmp_path, [FakeSource(GOOD)], MADE_UP))

    assert list(install(tmp_path, [again], MADE_UP)) == []
    assert again.requested == []


def test_damaged_and_outdated_files_go(tmp_path: Path) -> None:
    """They are removed even without a replacement: a wheel contains the directory."""
    (tmp_path / "hello.js").write_bytes(SCRIPT[:-1])
    (tmp_path / "hello-0.9.js").write_bytes(b"old")
    list(install(tmp_path, [], MADE_UP))

    assert files(tmp_path) == {}


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """A CDN on this machine that has the made-up package."""
    for pin in MADE_UP:
        path = tmp_path / "mirror" / pin.release / pin.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(GOOD[pin.name])
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "mirror"))
    with answering(handler) as url:
        yield url


def test_the_cdn_is_a_source(tmp_path: Path, mirror: str) -> None:
    """URLs are package@version/path, as at jsDelivr."""
    source = functools.partial(jsdelivr, cdn=mirror)

    assert list(install(tmp_path / "assets", [source], MADE_UP)) == []
    assert files(tmp_path / "assets") == GOOD


def test_our_code_names_no_host_but_the_cdn() -> None:
    """No package registry: npm brings its own configured one."""
    directory = Path(__file__).parents[2] / "gateway" / "playground"
    ours = [path for path in directory.glob("*.*") if path.is_file()]
    hosts = {
        host for path in ours for host in re.findall(r"\w+://[\w.-]+", path.read_text("utf-8"))
    }

    assert hosts == {CDN.removesuffix("/npm")}
