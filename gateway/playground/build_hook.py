"""Hatchling's build hook: brings GraphiQL's files into what is built.

It runs in the isolated build environment, for every kind of build (wheel, editable, sdist). What is
built has the files inside, so whoever installs a wheel fetches nothing, nor who builds from an
sdist. Only a build from a checkout fetches them, once: they stay there. Without a network it goes
on, but no release does (`nox -s release`). It must not know any other module of ours than the one
that it loads by its path.
"""

import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ThirdPartyFiles(BuildHookInterface[BuilderConfig]):
    """Before a build: the pinned files are there, or a warning says why not; a release fails."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        third_party = _load(Path(__file__).with_name("third_party.py"))
        for sentence in third_party.install():
            self.app.display_warning(sentence)
        if os.environ.get("GATEWAY_BUILD") == "release":
            third_party.require()
        if third_party.missing():
            self.app.display_warning("GraphiQL is not installed: its page will name the CDN")


def _load(path: Path) -> ModuleType:
    """Import by path: the package itself cannot be imported before its dependencies are there."""
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
