"""DateTime, Date, Decimal, enums."""

from typing import NewType

import strawberry
from graphql import GraphQLError

__all__ = ["DateTime", "GraphQLError", "strawberry"]

DateTime = NewType("DateTime", str)
