"""The context of one operation: its caller, the loaders, the account, the budget of a list.

This module must not know HTTP: the server makes a context for each operation and closes it.
"""

from collections.abc import (
    AsyncGenerator,
    Callable,
    Hashable,
    MutableMapping,
    Sequence,
)
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from strawberry.types import Info as StrawberryInfo

from gateway.access import Caller
from gateway.live.idempotency import IdempotentExecutor, RunningMutations
from gateway.live.snapshots import ResultCoalescer
from gateway.live.store import Store
from gateway.live.subscriptions import CallUpdate
from gateway.loaders.dataloaders import Loaders
from gateway.settings import DocumentSettings
from gateway.telemetry.hooks import MutationOutcome
from gateway.telemetry.upstream_trace import UpstreamTrace
from gateway.upstream.calls import CallResource, ListCalls
from gateway.upstream.pages import Budget

__all__ = ["Context", "Info", "LiveAccount", "field_path", "selects"]


Updates = AsyncGenerator[CallUpdate, None]


class LiveAccount(Protocol):
    """An account as one credential reaches it: its live calls and its mutations.

    `operations` and `results` are what its subscriptions share. `mutations` runs mutations without
    an idempotency key. A member of the account is a credential
    that upstream accepts.
    """

    operations: MutableMapping[Hashable, Any]
    results: ResultCoalescer[Any]
    mutations: RunningMutations

    @property
    def store(self) -> Store:
        """Every member of the account receives the events that are published here."""

    @property
    def idempotent(self) -> IdempotentExecutor:
        """For members of the account only: call `require_membership` first."""

    async def require_membership(self, until: float | None = None) -> None:
        """Raises an UpstreamError if upstream does not accept the credential.

        `until` is a time of the loop's clock.
        """

    async def recent_call(self, sid: str, until: float | None = None) -> CallResource | None:
        """A call with a recent event, though upstream does not show it yet.

        None if the credential is no member of the account.
        """

    def watch_call(self, sid: str) -> Updates:
        """As SubscriptionManager.call, for members of the account."""

    def watch_calls(self, lists: Sequence[ListCalls]) -> Updates:
        """As SubscriptionManager.calls, for members of the account."""


@dataclass
class Context:
    """The state of one operation, and the account that all operations of a credential share.

    Both `account` and `loaders` are made when they are first used: a refused operation uses
    neither. `trace` is that of the loaders. A query keeps its loaders; each event of a subscription
    has a context of its own (`for_event`).

    `page_budget` and `row_budget` apply to each connection. `callback_url` is where Twilio reaches
    this gateway's webhooks, if it can. `compiles` is False if no operation is executed as a
    compiled plan (execution). `cursor_key` is the secret that signs this account's cursors.
    `field_names` are those of the operation's document (`selects`). `on_mutation` is told what came
    of each mutation.
    """

    caller: Caller
    connect: Callable[[], LiveAccount]
    make_loaders: Callable[[], Loaders]
    make_event_loaders: Callable[[CallResource], Loaders]
    trace: UpstreamTrace
    make_cursor_key: Callable[[], bytes]
    callback_url: str | None
    page_budget: int
    row_budget: int
    limits: DocumentSettings
    on_mutation: Callable[[MutationOutcome], None]
    compiles: bool = True
    field_names: frozenset[str] = frozenset()

    @cached_property
    def account(self) -> LiveAccount:
        """Raises RateLimited if too many credentials like this one were refused."""
        return self.connect()

    @cached_property
    def loaders(self) -> Loaders:
        """Raises as `account`."""
        return self.make_loaders()

    @property
    def deadline(self) -> float:
        """That of the loaders, a time of the loop's clock. Raises as `account`."""
        return self.loaders.deadline

    @cached_property
    def cursor_key(self) -> bytes:
        """Made when the first cursor is read or written."""
        return self.make_cursor_key()

    def for_event(self, row: CallResource) -> "Context":
        """The context of one event, whose loaders know this row and nothing of other events.

        Close its loaders if they were used.
        """
        context = copy(self)
        context.loaders = self.make_event_loaders(row)
        context.trace = context.loaders.trace
        return context

    def budget(self) -> Budget:
        """A fresh budget for one connection."""
        return Budget(self.page_budget, self.row_budget)


Info = StrawberryInfo[Context, None]


def selects(info: Info, name: str) -> bool:
    """True if the operation, or a fragment of its document, selects a field of this name."""
    return name in info.context.field_names


def field_path(info: Info) -> str:
    """The path of the resolved field: response keys without list indexes."""
    return ".".join(key for key in info.path.as_list() if isinstance(key, str))
