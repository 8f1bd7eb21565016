"""How GraphiQL's files get onto the machine: the hash decides, and no failure is fatal."""

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
class Shelf:
    """A source that delivers what it holds and breaks at what it does not."""

    contents: dict[str, bytes]
    asked: list[str] = field(default_factory=list)

    def __call__(self, pins: Sequence[Pin]) -> Iterator[tuple[Pin, bytes]]:
        for pin in pins:
            self.asked.append(pin.name)
            yield pin, self.contents[pin.name]


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_installed_files_are_the_pinned_ones(installed: Path) -> None:
    """Byte for byte, and nothing beside them."""
    found = {name: integrity_of(content) for name, content in files(installed).items()}

    assert found == {pin.name: pin.integrity for pin in PINS}


def test_files_are_installed(tmp_path: Path) -> None:
    """The first source that has them is enough; the directory is made when it is not there."""
    second = Shelf({})
    complaints = list(install(tmp_path / "assets", [Shelf(GOOD), second], MADE_UP))

    assert (complaints, files(tmp_path / "assets"), second.asked) == ([], GOOD, [])


def test_a_wrong_hash_is_not_installed_and_the_next_source_is_tried(tmp_path: Path) -> None:
    """Only the file that was wrong is asked for again."""
    second = Shelf(GOOD)
    complaints = list(install(tmp_path, [Shelf(GOOD | {"hello.js": b"evil"}), second], MADE_UP))

    assert files(tmp_path) == GOOD
    assert second.asked == ["hello.js"]
    assert ["another hash" in complaint for complaint in complaints] == [True]


def test_a_wrong_hash_everywhere_leaves_nothing(tmp_path: Path) -> None:
    """Better no GraphiQL than a changed one."""
    evil = dict.fromkeys(GOOD, b"evil")
    complaints = list(install(tmp_path, [Shelf(evil), Shelf(evil)], MADE_UP))

    assert files(tmp_path) == {}
    assert len(complaints) == 4


def test_a_source_that_breaks_off_is_followed_by_the_next(tmp_path: Path) -> None:
    """What it delivered before is kept."""
    second = Shelf(GOOD)
    complaints = list(install(tmp_path, [Shelf({"hello.js": SCRIPT}), second], MADE_UP))

    assert files(tmp_path) == GOOD
    assert second.asked == ["hello.css"]
    assert ["did not deliver" in complaint for complaint in complaints] == [True]


def test_without_any_source_the_install_goes_on(tmp_path: Path) -> None:
    """Each source says once why not, and nothing is raised."""
    complaints = list(install(tmp_path, [Shelf({}), Shelf({})], MADE_UP))

    assert files(tmp_path) == {}
    assert len(complaints) == 2


def test_a_release_says_what_it_lacks(tmp_path: Path) -> None:
    """A file that is there but not the one that was pinned is missing, too."""
    list(install(tmp_path, [Shelf(GOOD)], MADE_UP))
    require(tmp_path, MADE_UP)
    (tmp_path / "hello.css").write_bytes(STYLE + b"!")

    with pytest.raises(FileNotFoundError, match=r"^missing: hello\.css$"):
        require(tmp_path, MADE_UP)


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    """A reinstall asks nobody."""
    again = Shelf({})
    list(install(tmp_path, [Shelf(GOOD)], MADE_UP))

    assert list(install(tmp_path, [again], MADE_UP)) == []
    assert again.asked == []


def test_damaged_and_outdated_files_go(tmp_path: Path) -> None:
    """They would end up in a wheel, even when nothing can be fetched in their place."""
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
    """package@version/path, as jsDelivr lays it out."""
    source = functools.partial(jsdelivr, cdn=mirror)

    assert list(install(tmp_path / "assets", [source], MADE_UP)) == []
    assert files(tmp_path / "assets") == GOOD


def test_our_code_names_no_host_but_the_cdn() -> None:
    """No package registry: npm brings its own configured one."""
    room = Path(__file__).parents[2] / "gateway" / "playground"
    ours = [path for path in room.glob("*.*") if path.is_file()]
    hosts = {
        host for path in ours for host in re.findall(r"\w+://[\w.-]+", path.read_text("utf-8"))
    }

    assert hosts == {CDN.removesuffix("/npm")}
