"""Whether upstream accepts a credential: learned from its responses, checked again when too old.

In passthrough a caller presents an account SID, which is a claim until upstream has accepted it.
This module must not know what an accepted credential may do.

Note [Acceptance]. A 200 or 201 accepts the credential. A 401 or 403 refuses it, and so does a 404
for a list of the account, because Twilio answers so for an account that the credential may not see.
The last response counts; a success whose request began before a refusal does not count. A
credential is a member of the account if it has read a list of its calls within MEMBER_SECONDS: an
API key may be restricted to other requests, and then gets no events of calls.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from gateway.errors import UpstreamAuth
from gateway.telemetry.records import UpstreamExchange

__all__ = ["MEMBER_SECONDS", "CredentialCheck"]

MEMBER_SECONDS = 300.0
"""How long a list of calls proves that a credential belongs to the account."""
ACCEPTED = (200, 201)
REFUSED = (401, 403)
CALLS = "Calls"


class CredentialCheck:
    """The check of one credential; see Note [Acceptance]. `clock` is in monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused_at = -math.inf
        self._member_until = -math.inf
        self._refusal = asyncio.Event()
        self.is_accepted = False
        self.is_refused = False

    def record(self, exchange: UpstreamExchange) -> None:
        """Records an exchange that was made with the credential (an UpstreamHook)."""
        now = self._clock()
        is_account_level = "/" not in exchange.path
        if exchange.status in REFUSED or (exchange.status == 404 and is_account_level):
            self.is_accepted, self.is_refused = False, True
            self._refused_at, self._member_until = now, -math.inf
            self._refusal.set()
        elif exchange.status in ACCEPTED and exchange.failure is None:
            if now - exchange.seconds < self._refused_at:
                return
            self.is_accepted, self.is_refused = True, False
            if (exchange.method, exchange.path) == ("GET", CALLS):
                self._member_until = now + MEMBER_SECONDS
                self._refusal.clear()

    @property
    def is_member(self) -> bool:
        """True while the last list of the account's calls is recent enough."""
        return self._clock() < self._member_until

    async def require(self, list_calls: Callable[[], Awaitable[object]]) -> None:
        """Lists the account's calls, unless the credential is a member already.

        Raises UpstreamAuth where the credential is refused, and what `list_calls` raises.
        """
        if self.is_member:
            return
        await list_calls()
        if not self.is_member:
            raise UpstreamAuth("Upstream refused this credential a moment ago")

    async def until_refused(self) -> None:
        """Waits until the credential is refused; returns at once if it is refused already."""
        await self._refusal.wait()
