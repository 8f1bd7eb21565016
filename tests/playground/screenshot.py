"""Draws docs/page.png, the picture on top of the README: `python -m tests.playground.screenshot`.

It starts the gateway over its sandbox, opens the page as a first visit, runs the first tab, and
waits for the picture of its upstream requests. It needs Debian's chromium.
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.playground.conftest import ARGUMENTS, CHROMIUM, Visit, serving

PICTURE = Path(__file__).parents[2] / "docs" / "page.png"
SIZE = {"width": 1440, "height": 900}


def draw(path: Path, colours: str = "light") -> None:
    """Writes the picture to this path. `colours` is light or dark."""
    with serving("gateway", "--port") as origin, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = chromium.new_context(viewport=SIZE, color_scheme=colours)  # type: ignore[arg-type]
        visit = Visit(context.new_page())
        visit.open(f"{origin}/")
        visit.run()
        visit.answer()
        visit.page.locator(".explain-exchanges").wait_for()
        visit.page.mouse.move(700, 895)
        visit.page.screenshot(path=path, animations="disabled")


if __name__ == "__main__":
    draw(PICTURE)
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes", file=sys.stderr)
