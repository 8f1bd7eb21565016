"""`python -m tests.settings_page` writes the tables of docs/settings.md anew; its head stays."""

from pathlib import Path

from gateway.settings import settings_tables

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"


def page_of(page: str) -> str:
    """The page with today's tables, which begin at its first heading of the second level."""
    head, _, _ = page.partition("## ")
    return head + settings_tables()


if __name__ == "__main__":
    PAGE.write_text(page_of(PAGE.read_text()))
