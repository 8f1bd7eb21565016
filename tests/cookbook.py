"""`python -m tests.cookbook` writes the prices of docs/cookbook.md anew."""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from gateway.sandbox import SandboxConfig, create_app
from gateway.server import OperationOptions, open_gateway
from gateway.telemetry.upstream_trace import Explain
from tests.settings import settings_of

PAGE = Path(__file__).parents[1] / "docs" / "cookbook.md"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
RECIPE = re.compile(
    r"### (?P<title>\d+\..*?)\n.*?```graphql\n(?P<query>.*?)```\n"
    r"(?:\n```json\n(?P<variables>.*?)```\n)?\nPrice: (?P<price>.*?)\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class Recipe:
    """One query of the page, with the price that stands there."""

    title: str
    query: str
    variables: dict[str, Any]
    price: str


def recipes() -> Iterator[Recipe]:
    """The queries of the page, in order."""
    for found in RECIPE.finditer(PAGE.read_text()):
        variables = json.loads(found["variables"] or "{}")
        yield Recipe(found["title"], found["query"], variables, found["price"])


async def response_of(recipe: Recipe) -> dict[str, Any]:
    """The response over a fresh example account and an empty cache, with the totals explained."""
    sandbox = create_app(SandboxConfig(now=NOW, speed=0))
    transport = httpx.ASGITransport(app=sandbox)
    try:
        async with open_gateway(settings_of(), transport, now=lambda: NOW) as gateway:
            return await gateway.execute_as_operator(
                recipe.query, recipe.variables, None, OperationOptions(explain=Explain.TOTALS)
            )
    finally:
        await sandbox.state.sandbox.aclose()


def price_of(response: dict[str, Any]) -> str:
    """As the page says it."""
    count = response["extensions"]["upstream"]["requests"]
    return f"{count} request{'' if count == 1 else 's'}"


async def main() -> None:
    """Writes the page."""
    text = PAGE.read_text()
    for recipe in recipes():
        response = await response_of(recipe)
        head, title, rest = text.partition(f"### {recipe.title}\n")
        text = head + title + re.sub(r"Price: .*", f"Price: {price_of(response)}", rest, count=1)
        print(recipe.title, price_of(response), response.get("errors", ""))
    PAGE.write_text(text)


if __name__ == "__main__":
    asyncio.run(main())
