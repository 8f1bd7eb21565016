"""An act that happens once: a repeat under the same idempotency key gets what came of the first.

This module must not know what the act is, nor GraphQL.

Note [Never twice]. A key is claimed before the act begins, and freed only where the act certainly
did not happen: it raised an error of our tree. An answer that did not come is an outcome like any
other: not known. A gateway that died leaves its claim without an outcome, which is not known
either. A repeat never acts again then. And an act that has begun goes on when whoever asked for it
leaves, so that its outcome is noted.
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
    "Act",
    "IdempotentExecutor",
    "KeyReused",
    "MutationResult",
    "RecordedError",
    "Running",
    "caller_key",
]

FIRST_LOOK, SLOWEST_LOOK = 0.02, 0.5


class KeyReused(Exception):
    """The key was given before, with other input."""


class RecordedError(msgspec.Struct, frozen=True):
    """Twilio's refusal, in its numbers: HTTP status, error number, its page about that."""

    status: int | None = None
    twilio_code: int | None = None
    more_info: str | None = None


class MutationResult(msgspec.Struct, frozen=True):
    """What came of an act: a call, a refusal, or neither, where nobody knows.

    It was under way from `since` to `until` (UTC), None where that is not known either;
    `request_id` is what Twilio's support asks for.
    """

    call_sid: str | None = None
    refusal: RecordedError | None = None
    since: datetime | None = None
    until: datetime | None = None
    request_id: str | None = None

    @property
    def is_unknown(self) -> bool:
        """True when it may have happened or not."""
        return self.call_sid is None and self.refusal is None


Act = Callable[[], Coroutine[Any, Any, MutationResult]]
_outcomes = msgspec.json.Decoder(MutationResult)


class Running:
    """Acts that have begun. Close it with `aclose`, which waits for them."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[MutationResult]] = set()

    async def run(self, act: Act) -> MutationResult:
        """What comes of an act, which goes on when the caller leaves. Raises what it raises."""
        task = asyncio.create_task(act())
        self.tasks.add(task)
        task.add_done_callback(self._end)
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """Waits for the acts that run: each ends within upstream's deadlines."""
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _end(self, task: asyncio.Task[MutationResult]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may have left: it is nobody's then


def caller_key(name: str, key: str) -> str:
    """The key of one caller: as JSON, so that no two pairs of name and key make the same text."""
    return json.dumps([name, key])


class IdempotentExecutor:
    """Acts under the keys of one store. `running` are those that have begun."""

    def __init__(self, store: Store, running: Running | None = None) -> None:
        self._store = store
        self.running = running or Running()

    async def once(self, key: str, fingerprint: str, act: Act, until: float) -> MutationResult:
        """What came of the act under this key, now or when it was first asked for.

        `fingerprint` tells one input from another. A first act that still runs is waited for until
        this time of the loop's clock; its outcome is not known then. Raises KeyReused,
        StoreUnavailable, and what the act raises.
        """
        return await self.running.run(lambda: self._once(key, fingerprint, act, until))

    async def _once(self, key: str, fingerprint: str, act: Act, until: float) -> MutationResult:
        """To its end, from the claim on: one that is left half taken would stand for a day."""
        kept = sha256(key.encode()).hexdigest()
        clock = asyncio.get_running_loop().time
        pause = FIRST_LOOK
        while True:
            claim = await self._store.claim(kept, fingerprint)
            if claim.fingerprint != fingerprint:
                raise KeyReused
            if claim.is_new:
                return await self._settled(kept, fingerprint, act)
            if claim.outcome is not None:
                return _outcomes.decode(claim.outcome)
            if clock() + pause >= until:
                return MutationResult()
            await asyncio.sleep(pause)
            pause = min(pause * 2, SLOWEST_LOOK)

    async def _settled(self, key: str, fingerprint: str, act: Act) -> MutationResult:
        """See Note [Never twice]."""
        try:
            outcome = await act()
        except GatewayError as error:
            if not isinstance(error, OutcomeUnknown):
                await self._store.release(key)
            raise
        await self._store.settle(key, fingerprint, msgspec.json.encode(outcome).decode())
        return outcome
