"""Hatchling's build hook: puts GraphiQL's files into the wheel or sdist.

It runs in the isolated build environment, for every kind of build (wheel, editable, sdist). Every
artifact contains the files, so that installing a wheel or building from an sdist fetches nothing.
Only the first build from a checkout fetches them; they stay there. Without a network such a build
goes on, but a release fails (`nox -s release`). The only module of ours that it may know is
third_party, which it loads by path.
"""

import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ThirdPartyFiles(BuildHookInterface[BuilderConfig]):
    """Installs the pinned files before a build, or warns why not; a release fails without them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        third_party = _load(Path(__file__).with_name("third_party.py"))
        for warning in third_party.install():
            self.app.display_warning(warning)
        if os.environ.get("GATEWAY_BUILD") == "release":
            third_party.require()
        if third_party.missing():
            self.app.display_warning(
                "GraphiQL is not installed: the page will load it from the CDN"
            )


def _load(path: Path) -> ModuleType:
    """Import by path: the package cannot be imported before its dependencies are installed."""
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
