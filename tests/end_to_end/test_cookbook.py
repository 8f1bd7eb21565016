"""Every query of docs/cookbook.md is answered over the example account, at the price it says."""

from typing import Any

import pytest

from tests.cookbook import Recipe, price_of, recipes, response_of

RECIPES = list(recipes())


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
async def test_a_recipe_is_answered_at_its_price(recipe: Recipe) -> None:
    response = await response_of(recipe)

    assert "errors" not in response
    assert price_of(response) == recipe.price
    assert all(_has_rows(value) for value in response["data"].values())


def test_there_are_twenty() -> None:
    assert len(RECIPES) == 20


def _has_rows(value: Any) -> bool:
    """True for a row, a payload with a call, or a list that is not empty."""
    if isinstance(value, dict) and "nodes" in value:
        return bool(value["nodes"])
    return bool(value)
