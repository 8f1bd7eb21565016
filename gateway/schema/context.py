"""What one operation carries: the loaders, whose calls they read, and what a connection may cost.

This module must not know HTTP: the app makes a context for each operation and closes it.
"""

from dataclasses import dataclass

from strawberry.types import Info as StrawberryInfo

from gateway.loaders import Loaders
from gateway.upstream.pages import Budget

__all__ = ["Context", "Info", "field_path"]


@dataclass(frozen=True)
class Context:
    """One operation's own. `page_budget` and `row_budget` hold for each connection."""

    loaders: Loaders
    account_sid: str
    page_budget: int
    row_budget: int

    def budget(self) -> Budget:
        """A fresh budget for one connection."""
        return Budget(self.page_budget, self.row_budget)


Info = StrawberryInfo[Context, None]


def field_path(info: Info) -> str:
    """Which field of the operation is resolved: response keys without list places."""
    return ".".join(key for key in info.path.as_list() if isinstance(key, str))
