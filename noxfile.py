"""Tasks: `nox -s lint`, `types`, `tests`, `coverage`, `bench`, `docs`, `release`.

CI runs `.ci/run`, which lints, checks types and tests as these do.

Each session installs what it needs with the pinned versions of constraints.txt.
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
    """All tests, or those that are named: `nox -s tests-3.11 -- tests/schema`."""
    session.install(*INSTALL, ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """What operations cost."""
    session.install(*INSTALL, ".[test]")
    session.run("python", "-m", "tests.bench.operations")


@nox.session
def docs(session: nox.Session) -> None:
    """References that lead nowhere, names with two meanings, lengths."""
    session.install(*INSTALL, ".[test]")
    session.run("python", "-m", "tests.house")


@nox.session
def coverage(session: nox.Session) -> None:
    """The branches that tests take, against the floors of .ci/coverage."""
    session.install(*INSTALL, ".[test]")
    session.run(".ci/coverage", external=True, env={"PYTHON": "python"})


@nox.session
def release(session: nox.Session) -> None:
    """An sdist and a wheel in dist/, with GraphiQL inside: fails where its files are missing."""
    session.install("build")
    session.run("python", "-m", "build", env={"GATEWAY_BUILD": "release"})
