"""Executes an action once: a retry under the same idempotency key gets the first result.

This module must not know what the action does, nor GraphQL.

Note [Never twice]. The executor claims a key before the action begins. It frees the key only when
the action certainly did nothing: the action raised an error of our tree. A missing response is a
result like any other: unknown. A gateway that died leaves its claim without a result, which is
unknown too. A retry then never executes the action again. An action that has begun continues after
its caller leaves, so that its result is recorded.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from gateway.errors import GatewayError, OutcomeUnknown
from gateway.live.store import Store

__all__ = [
    "Action",
    "IdempotentExecutor",
    "KeyReused",
    "MutationResult",
    "RecordedError",
    "RunningMutations",
    "scoped_key",
]

MIN_WAIT, MAX_WAIT = 0.02, 0.5
"""Seconds between two checks for the result of a first execution that still runs."""


class KeyReused(Exception):
    """The key was used before, with other input."""


class RecordedError(msgspec.Struct, frozen=True):
    """Twilio's refusal: the HTTP status, the error number, and its page about the error."""

    status: int | None = None
    twilio_code: int | None = None
    more_info: str | None = None


class MutationResult(msgspec.Struct, frozen=True):
    """The result of an action: a call, a refusal, or neither when the result is unknown.

    The action ran from `since` to `until` (UTC); both are None when unknown. `request_id` is the
    identifier that Twilio's support asks for.
    """

    call_sid: str | None = None
    refusal: RecordedError | None = None
    since: datetime | None = None
    until: datetime | None = None
    request_id: str | None = None

    @property
    def is_unknown(self) -> bool:
        """True when the action may have happened or not."""
        return self.call_sid is None and self.refusal is None


Action = Callable[[], Coroutine[Any, Any, MutationResult]]
_result_decoder = msgspec.json.Decoder(MutationResult)


class RunningMutations:
    """Actions that have begun. Close it with `aclose`, which waits for them."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[MutationResult]] = set()

    async def run(self, action: Action) -> MutationResult:
        """The action's result. The action continues when the caller leaves. Raises what it does."""
        task = asyncio.create_task(action())
        self.tasks.add(task)
        task.add_done_callback(self._on_done)
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """Waits for the running actions: each ends within upstream's deadlines."""
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _on_done(self, task: asyncio.Task[MutationResult]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as retrieved: the caller may have left


def scoped_key(name: str, key: str) -> str:
    """One caller's key, as JSON: different pairs of name and key never give the same text."""
    return json.dumps([name, key])


class IdempotentExecutor:
    """Executes actions under the keys of one store. `mutations` holds those that have begun."""

    def __init__(self, store: Store, mutations: RunningMutations | None = None) -> None:
        self._store = store
        self.mutations = mutations or RunningMutations()

    async def execute(
        self, key: str, fingerprint: str, action: Action, until: float
    ) -> MutationResult:
        """The result of the first action under this key, executed now if the key is free.

        `fingerprint` identifies the input. `until` is a time of the loop's clock: a first action
        that still runs then has an unknown result. Raises KeyReused, StoreUnavailable, and what the
        action raises.
        """
        return await self.mutations.run(
            lambda: self._claim_and_execute(key, fingerprint, action, until)
        )

    async def _claim_and_execute(
        self, key: str, fingerprint: str, action: Action, until: float
    ) -> MutationResult:
        """Runs to its end once the key is claimed: an abandoned claim would last for a day."""
        key_hash = sha256(key.encode()).hexdigest()
        clock = asyncio.get_running_loop().time
        wait = MIN_WAIT
        while True:
            claim = await self._store.claim(key_hash, fingerprint)
            if claim.fingerprint != fingerprint:
                raise KeyReused
            if claim.is_new:
                return await self._execute(key_hash, fingerprint, action)
            if claim.outcome is not None:
                return _result_decoder.decode(claim.outcome)
            if clock() + wait >= until:
                return MutationResult()
            await asyncio.sleep(wait)
            wait = min(wait * 2, MAX_WAIT)

    async def _execute(self, key: str, fingerprint: str, action: Action) -> MutationResult:
        """Executes the action and records its result. See Note [Never twice]."""
        try:
            result = await action()
        except GatewayError as error:
            if not isinstance(error, OutcomeUnknown):
                await self._store.release(key)
            raise
        await self._store.settle(key, fingerprint, msgspec.json.encode(result).decode())
        return result
