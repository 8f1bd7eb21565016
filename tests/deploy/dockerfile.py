"""Reads a Dockerfile, and runs its steps in a plain folder that stands for the image's root.

Stages share the folder, and RUN uses this machine's Python instead of a base image. What the steps
name lies in the folder (the directories of ROOTS), so that a wrong path, a file that is not copied
and a command that fails are found.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

# "/" before a directory that the steps make.
ROOTS = re.compile(r"(?<![\w.])/(?=(?:opt|build)\b)")


@dataclass(frozen=True)
class Step:
    """One instruction, for example RUN, and its text."""

    kind: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words, from either form of a command."""
        found: list[str] = json.loads(self.text) if self.text[0] == "[" else shlex.split(self.text)
        return found


def steps_of(text: str) -> Iterator[Step]:
    """The instructions of a Dockerfile, in order."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        kind, rest = line.split(maxsplit=1)
        yield Step(kind, rest)


@dataclass
class PlainFolder:
    """What the steps made so far, from the files in `context`."""

    root: Path
    context: Path
    environment: dict[str, str] = field(default_factory=dict)
    directory: PurePosixPath = field(default_factory=lambda: PurePosixPath("/"))
    command: list[str] = field(default_factory=list)

    def run(self, step: Step) -> None:
        """Does what the step says. Raises an error if it fails, or is one that is not known."""
        match step.kind:
            case "FROM":
                self.directory, self.environment = PurePosixPath("/"), {}
            case "ENV":
                self.environment |= dict(word.split("=", 1) for word in step.words)
            case "WORKDIR":
                self.directory /= step.text
                self._path(step.text).mkdir(parents=True, exist_ok=True)
            case "COPY":
                self._copy(step.words)
            case "RUN":
                subprocess.run(  # noqa: S602
                    self._here(step.text),
                    shell=True,
                    cwd=self._path("."),
                    env=self.variables(),
                    check=True,
                    capture_output=True,
                )
            case "ENTRYPOINT" | "CMD":
                self.command += step.words
            case "LABEL" | "EXPOSE" | "STOPSIGNAL" | "HEALTHCHECK" | "USER":
                pass  # for who runs the image
            case _:
                raise NotImplementedError(step.kind)

    def variables(self) -> dict[str, str]:
        """The environment of a command: the image's, before it that of this machine."""
        own = ("TWILIO_", "GATEWAY_", "PYTHON", "PIP_CONSTRAINT", "VIRTUAL_ENV")
        outer = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        path = f"{Path(sys.executable).parent}:{outer['PATH']}"
        given = {name: self._here(value) for name, value in self.environment.items()}
        given["PATH"] = given.get("PATH", "$PATH").replace("$PATH", path)
        return outer | given

    def _here(self, text: str) -> str:
        return ROOTS.sub(f"{self.root}/", text)

    def _path(self, path: str) -> Path:
        return self.root / str(self.directory / path).lstrip("/")

    def _copy(self, words: list[str]) -> None:
        if words[0].startswith("--from="):  # all stages share the folder
            assert [words[1]] == words[2:]
            assert self._path(words[1]).exists(), words[1]
            return
        *sources, target = words
        for source in map(self.context.joinpath, sources):
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, self._path(target), ignore=ignored)
            else:
                shutil.copy(source, self._path(target))
