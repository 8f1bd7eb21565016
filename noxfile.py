"""Tasks: `nox -s lint`, `types`, `tests`, `coverage`, `bench`, `docs`, `release`.

CI runs `.ci/run`, which does the same as lint, types and tests.

Each session installs its dependencies in the versions that constraints.txt pins.
"""

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types", "tests"]
INSTALL = ("-c", "constraints.txt", "-e")


@nox.session
def lint(session: nox.Session) -> None:
    """Style and import order."""
    session.install(*INSTALL, ".[test,lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict."""
    session.install(*INSTALL, ".[test,lint]")
    session.run("mypy")


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """All tests, or the given ones: `nox -s tests-3.11 -- tests/schema`."""
    session.install(*INSTALL, ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measures what operations and upstream requests cost."""
    session.install(*INSTALL, ".[test]")
    session.run("python", "-m", "tests.bench.operations")
    session.run("python", "-m", "tests.bench.exchanges")


@nox.session
def docs(session: nox.Session) -> None:
    """Dead references, names with two meanings, lengths of functions and files."""
    session.install(*INSTALL, ".[test]")
    session.run("python", "-m", "tests.house")


@nox.session
def coverage(session: nox.Session) -> None:
    """The branches that the tests cover, against the thresholds of .ci/coverage."""
    session.install(*INSTALL, ".[test]")
    session.run(".ci/coverage", external=True, env={"PYTHON": "python"})


@nox.session
def release(session: nox.Session) -> None:
    """Builds sdist and wheel in dist/, with GraphiQL inside; fails if its files are missing."""
    session.install("build")
    session.run("python", "-m", "build", env={"GATEWAY_BUILD": "release"})
