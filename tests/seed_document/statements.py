"""A statement of the seed document and the check that the sandbox keeps it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.sandbox.conftest import Account

Check = Callable[[Account], Awaitable[None]]


@dataclass(frozen=True)
class Statement:
    """A sentence, or a row, of a section of the seed document."""

    section: str
    sentence: str
    check: Check
    remark: str | None


STATEMENTS: list[Statement] = []


def says(section: str, *sentences: str, remark: str | None = None) -> Callable[[Check], Check]:
    """Registers a check for one or more sentences; the remark says how they are read."""

    def register(check: Check) -> Check:
        STATEMENTS.extend(Statement(section, one, check, remark) for one in sentences)
        return check

    return register


def coverage() -> str:
    """The list of all statements, as it stands in ``docs/sandbox.md``."""
    lines = list[str]()
    sections = dict.fromkeys(one.section for one in STATEMENTS)
    for section in sections:
        lines += ["", f"### {section}", ""]
        for one in STATEMENTS:
            if one.section == section:
                lines.append(f"- [x] {one.sentence}")
                lines += [f"  - {one.remark}"] if one.remark else []
    return "\n".join(lines).strip() + "\n"
