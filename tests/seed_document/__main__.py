"""Writes the coverage list into the docs: ``python -m tests.seed_document``."""

from tests.seed_document.statements import coverage
from tests.seed_document.test_seed_document import BEGIN, DOCS, END

if __name__ == "__main__":
    text = DOCS.read_text()
    before, _, rest = text.partition(BEGIN)
    DOCS.write_text(before + BEGIN + coverage() + END + rest.partition(END)[2])
