"""Every statement of the seed document is kept by the sandbox; the test ids are its sentences."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.sandbox.conftest import STILL, Account, OpenAccount
from tests.sandbox.conftest import open_account as open_account
from tests.seed_document import properties, resources
from tests.seed_document.statements import STATEMENTS, Statement, coverage

SEEDED = replace(STILL, calls=350)
DOCS = Path(__file__).parents[2] / "docs/sandbox.md"
BEGIN, END = "<!-- seed document: begin -->\n", "<!-- seed document: end -->"


@pytest.fixture
async def account(open_account: OpenAccount) -> Account:
    opened: Account = await open_account(config=SEEDED)
    return opened


@pytest.mark.parametrize("statement", STATEMENTS, ids=[one.sentence for one in STATEMENTS])
async def test_the_sandbox_keeps(statement: Statement, account: Account) -> None:
    await statement.check(account)


def test_no_sentence_is_listed_twice() -> None:
    keys = [(one.section, one.sentence) for one in STATEMENTS]

    assert len(set(keys)) == len(keys)


def test_all_19_properties_and_8_statuses_are_there() -> None:
    sections = [one.section for one in STATEMENTS]

    assert sections.count(properties.PROPERTIES) == 19
    assert sections.count(properties.STATUSES) == 8
    assert sections.count(resources.FILTERS) == 6


def test_the_docs_hold_the_coverage_list() -> None:
    """To renew it: ``python -m tests.seed_document``."""
    text = DOCS.read_text()

    assert text.partition(BEGIN)[2].partition(END)[0] == coverage()
