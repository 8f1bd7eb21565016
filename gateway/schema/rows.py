"""Resolvers that answer for all rows of a level at once.

This module must not know the fields, nor how they are executed.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from inspect import signature
from typing import Any, TypeVar

__all__ = ["bulk_resolver", "in_bulk"]

Resolver = TypeVar("Resolver", bound=Callable[..., Sequence[Any]])
BULK = "__resolve_all__"


def in_bulk(resolve_all: Resolver) -> Callable[..., Any]:
    """Makes a resolver of a function that takes many rows and returns a value for each.

    Strawberry and graphql-core call the resolver for one row; compiled execution calls the function
    for all rows of a level.
    """
    rows_name = next(iter(signature(resolve_all).parameters))

    @wraps(resolve_all)
    def resolve(**arguments: Any) -> Any:
        (value,) = resolve_all(**{**arguments, rows_name: [arguments[rows_name]]})
        return value

    setattr(resolve, BULK, resolve_all)
    return resolve


def bulk_resolver(resolve: Callable[..., Any]) -> Callable[..., Sequence[Any]] | None:
    """The function for many rows behind a resolver; None if it has none."""
    found: Callable[..., Sequence[Any]] | None = getattr(resolve, BULK, None)
    return found
