"""Packages from npm, installed for tests in a folder of their own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["installed_copy"]


def installed_copy(source: Path, folder: Path) -> Path:
    """A copy of the scripts in `source`, with the packages of its package-lock.json.

    Skips the test where there is no npm; fails it in CI.
    """
    if shutil.which("npm") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no npm here: apt-get install nodejs npm")
        pytest.skip("there is no npm here: apt-get install nodejs npm")
    copy = folder / source.name
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=100)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return copy
