"""`python -m tests.house`: figures about the form of the code, which tests/test_house.py holds.

Names with two meanings, references that lead nowhere, lengths of functions and files, how many
files each recipe of CONTRIBUTING.md touches, and how many functions of ours run between a resolver
and the transport.
"""

import ast
import asyncio
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import httpx

HOUSE = Path(__file__).parent.parent
PACKAGE = HOUSE / "gateway"
LONGEST_FUNCTION, LONGEST_FILE = 60, 400
# What mirrors Twilio has Twilio's names, and a package's face has Python's.
MIRROR, FACES = "sandbox", {"__init__", "__main__"}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    """Every module of the gateway."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text())


def class_names_with_two_meanings() -> dict[str, list[str]]:
    """Classes of one name, with the modules that define them."""
    found: dict[str, list[str]] = defaultdict(list)
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(path.relative_to(HOUSE)))
    return {name: places for name, places in found.items() if len(places) > 1}


def module_names_with_two_meanings() -> dict[str, list[str]]:
    """Modules of one name outside the sandbox, which mirrors Twilio."""
    found: dict[str, list[str]] = defaultdict(list)
    for path, _ in sources():
        if path.stem not in FACES and MIRROR not in path.parts:
            found[path.stem].append(str(path.relative_to(HOUSE)))
    return {name: places for name, places in found.items() if len(places) > 1}


def function_lengths() -> dict[str, int]:
    """The lines of every function, by file and name."""
    return {
        f"{path.relative_to(HOUSE)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def file_lengths() -> dict[str, int]:
    """The lines of every module."""
    return {
        str(path.relative_to(HOUSE)): len(path.read_text().splitlines()) for path, _ in sources()
    }


def anchors(page: Path) -> set[str]:
    """The anchors of a Markdown page, as GitHub makes them from its headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    return set(kept)


REFERENCE = re.compile(r"(?<![\w/:.-])((?:docs|tests|gateway)/[\w./-]*[\w/])(?:#([\w-]+))?")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#([\w-]+))?\)")
# A Note begins a paragraph; whatever else names it is a reference.
TITLE = re.compile(r"\n\n[ #]*Note \[([^\]]+)\]\.")
NOTE = re.compile(r"(?:[Ss]ee )?Note \[([^\]]+)\](?: in (?:the )?`?([\w/.]+)`?)?")


def broken_references() -> list[str]:
    """Paths, anchors and titled Notes that code and docs name and that are not there."""
    return [*_broken_paths(), *_broken_notes()]


def _tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(  # noqa: S603
        ["git", "ls-files", *patterns],  # noqa: S607
        cwd=HOUSE,
        capture_output=True,
        text=True,
        check=True,
    )
    return [HOUSE / line for line in listed.stdout.splitlines()]


def _broken_paths() -> Iterator[str]:
    for page in _tracked("*.md", "gateway/*.py", "tests/*.py", "pyproject.toml"):
        text = page.read_text()
        found = [(HOUSE / path, anchor) for path, anchor in REFERENCE.findall(text)]
        if page.suffix == ".md":
            found += [(page.parent / path, anchor) for path, anchor in LINK.findall(text)]
        for target, anchor in found:
            is_there = target.exists() or target.with_suffix(".py").exists()
            if not is_there or (
                anchor and target.suffix == ".md" and anchor not in anchors(target)
            ):
                yield f"{page.relative_to(HOUSE)}: {target.relative_to(HOUSE)}#{anchor}"


def _broken_notes() -> Iterator[str]:
    texts = {path: path.read_text() for path, _ in sources()}
    titles = {" ".join(title.split()) for text in texts.values() for title in TITLE.findall(text)}
    for path, text in texts.items():
        for title, _ in NOTE.findall(" ".join(text.split())):
            if title not in titles:
                yield f"{path.relative_to(HOUSE)}: Note [{title}]"


def recipes() -> dict[str, list[str]]:
    """The files that each recipe of CONTRIBUTING.md names, besides tests and the sandbox."""
    page = HOUSE / "CONTRIBUTING.md"
    if not page.exists():
        return {}
    found: dict[str, list[str]] = {}
    for part in re.split(r"^### Recipe: ", page.read_text(), flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        body = re.split(r"^#", body, flags=re.MULTILINE)[0]
        steps = re.findall(r"^\d+\. (.*(?:\n   .*)*)", body, re.MULTILINE)
        paths = dict.fromkeys(
            path
            for step in steps
            for path in re.findall(r"`((?:gateway/|docs/|schema)[\w./]+)`", step)
        )
        found[title] = [path for path in paths if not path.startswith("gateway/sandbox")]
    return found


class Watched(httpx.AsyncBaseTransport):
    """A transport that notes which functions of ours wait for each request's answer."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.waiting: list[list[str]] = []
        self.others: set[asyncio.Task[Any]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer."""
        tasks = asyncio.all_tasks() - self.others - {asyncio.current_task()}
        codes = [code for task in tasks for code in _suspended(task.get_coro())]
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
        running: list[CodeType] = []
        while frame is not None:
            running.insert(0, frame.f_code)
            frame = frame.f_back
        names = [code.co_qualname for code in [*codes, *running] if _is_ours(code)]
        self.waiting.append(list(dict.fromkeys(names)))
        return await self._inner.handle_async_request(request)


def _suspended(coroutine: Any) -> Iterator[CodeType]:
    """What a task that is not running waits in, outermost first."""
    while coroutine is not None:
        code = getattr(coroutine, "cr_code", None)
        if code is not None:
            yield code
        coroutine = getattr(coroutine, "cr_await", None)


def _is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(str(PACKAGE)) and not code.co_name.startswith("<")


async def hops(query: str, resolver: str, request: int) -> list[str]:
    """The functions between a resolver and the transport, for the request of this number.

    Those that the resolver calls up to the loaders, then those that wait for the transport.
    """
    from gateway.loaders.dataloaders import Loaders
    from gateway.server import open_gateway
    from gateway.settings import Secret
    from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, sid
    from tests.settings import settings_of

    called: list[str] = []

    def on_call(frame: FrameType, event: str, _: object) -> None:
        if event != "call" or frame.f_code is not Loaders.load.__code__:
            return
        names: list[str] = []
        outer: FrameType | None = frame
        while outer is not None and resolver not in names:
            if _is_ours(outer.f_code):
                names.insert(0, outer.f_code.co_qualname)
            outer = outer.f_back
        if resolver in names:
            called[:] = names

    transport = Watched(PlainTwilio(calls=[call(1, parent_call_sid=sid("CA", 2))]))
    settings = settings_of(account_sid=ACCOUNT, auth_token=Secret(TOKEN))
    async with open_gateway(settings, transport) as gateway:
        await asyncio.sleep(0)
        transport.others = asyncio.all_tasks()
        sys.setprofile(on_call)
        await asyncio.ensure_future(gateway.execute_as_operator(query, {}, None))
        sys.setprofile(None)
    waiting = [
        name
        for name in transport.waiting[request - 1]
        if not name.startswith(("Gateway.", "Run.", "execute"))  # these wait for the resolver
    ]
    return [*called, *waiting]


def main() -> None:
    """Prints the figures."""
    print("names with two meanings")
    for kind, found in (
        ("classes", class_names_with_two_meanings()),
        ("modules", module_names_with_two_meanings()),
    ):
        print(f"  {kind}: {len(found)}")
        for name, places in found.items():
            print(f"    {name}: {', '.join(places)}")
    broken = broken_references()
    print(f"references that lead nowhere: {len(broken)}")
    for line in broken:
        print(f"    {line}")
    functions, files = function_lengths(), file_lengths()
    lengths = sorted(functions.values())
    short = sum(length <= 25 for length in lengths) / len(lengths)
    print(
        f"functions: {len(lengths)}, median {statistics.median(lengths):.0f} lines, "
        f"{short:.1%} of 25 lines at most, longest {lengths[-1]}"
    )
    print(f"files: {len(files)}, {sum(files.values())} lines, longest {max(files.values())}")
    for name, length in {**functions, **files}.items():
        limit = LONGEST_FUNCTION if ":" in name else LONGEST_FILE
        if length > limit:
            print(f"    too long: {name} ({length})")
    print("files that a recipe touches, besides tests and the sandbox")
    for title, paths in recipes().items():
        print(f"  {title}: {len(paths)}")
    print("functions of ours from the resolver to the transport")
    for name, query, resolver, request in (
        ("calls(first:)", "{ calls(first: 1) { nodes { sid } } }", "Query.calls", 1),
        (
            "parentCall",
            "{ calls(first: 1) { nodes { parentCall { sid } } } }",
            "Call.parent_call",
            2,
        ),
    ):
        found_hops = asyncio.run(hops(query, resolver, request))
        print(f"  {name}: {len(found_hops)}")
        print(f"    {' → '.join(found_hops)}")


if __name__ == "__main__":
    main()
