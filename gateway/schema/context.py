"""What one operation carries: who asks, the loaders, whose calls they read, what a list may cost.

This module must not know HTTP: the app makes a context for each operation and closes it.
"""

from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphql import FieldNode, Node
from strawberry.types import Info as StrawberryInfo

from gateway.access import Caller
from gateway.live.once import Acts
from gateway.live.shared import Shared
from gateway.live.store import Store
from gateway.live.watching import Watching
from gateway.loaders import Loaders
from gateway.schema.limits import DocumentLimits
from gateway.upstream.pages import Budget
from gateway.upstream.resources import CallResource

__all__ = ["Context", "Info", "field_path", "selects"]


OpenLoaders = Callable[[CallResource], AbstractAsyncContextManager[Loaders]]


@dataclass
class Context:
    """One operation's own, and the live calls and the acts, which all share.

    `page_budget` and `row_budget` hold for each connection. `deadline` is a time of the loop's
    clock. `callback_url` is where Twilio reaches this gateway's webhooks, if it can. A query keeps
    its loaders; a subscription has others for each event (`fresh`). Subscriptions with an equal
    `sharing` get the same `results` for the same news; with None, each its own. `cursor_key` is the
    secret that cursors of this account are signed with.
    """

    caller: Caller
    loaders: Loaders
    open_loaders: OpenLoaders
    cursor_key: bytes
    store: Store
    watching: Watching
    acts: Acts
    deadline: float
    callback_url: str | None
    page_budget: int
    row_budget: int
    limits: DocumentLimits
    results: Shared[Any]
    sharing: Hashable = None

    @asynccontextmanager
    async def fresh(self, row: CallResource) -> AsyncIterator[None]:
        """While an event is executed: loaders that know this row and nothing of earlier events."""
        async with self.open_loaders(row) as self.loaders:
            yield

    def budget(self) -> Budget:
        """A fresh budget for one connection."""
        return Budget(self.page_budget, self.row_budget)


Info = StrawberryInfo[Context, None]


def selects(info: Info, name: str) -> bool:
    """True when the operation, or a fragment of its document, selects a field of this name."""
    raw = info._raw_info
    return name in _field_names((raw.operation, *raw.fragments.values()))


@lru_cache(maxsize=256)
def _field_names(definitions: tuple[Node, ...]) -> frozenset[str]:
    names: set[str] = set()
    waiting: list[Node] = list(definitions)
    while waiting:
        node = waiting.pop()
        if isinstance(node, FieldNode):
            names.add(node.name.value)
        selections = getattr(node, "selection_set", None)
        waiting.extend(selections.selections if selections else ())
    return frozenset(names)


def field_path(info: Info) -> str:
    """Which field of the operation is resolved: response keys without list places."""
    return ".".join(key for key in info.path.as_list() if isinstance(key, str))
