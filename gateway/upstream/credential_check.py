"""Whether upstream accepts a credential: told by what it answers, asked where that is too long ago.

A caller of passthrough presents an account SID, which is a claim until upstream has accepted it.
This module must not know what an accepted credential may do.

Note [Standing]. A credential is accepted when a request with it is answered 200 or 201, and refused
when one is answered 401 or 403, or a list of the account 404 (which is what an account that the
credential may not see gets). The last answer counts, and an answer to a request that began before
a refusal counts for nothing. A member of the account is who was given a list of its calls within
MEMBER_SECONDS: an API key may be restricted to other requests, and hears of no calls then.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from gateway.errors import UpstreamAuth
from gateway.telemetry.records import UpstreamExchange

__all__ = ["MEMBER_SECONDS", "CredentialCheck"]

MEMBER_SECONDS = 300.0
"""How long an accepted list of calls is remembered."""
ACCEPTED = (200, 201)
REFUSED = (401, 403)
CALLS = "Calls"


class CredentialCheck:
    """One credential's; see Note [Standing]. `clock` is in seconds and does not go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused_at = -math.inf
        self._member_until = -math.inf
        self._has_ended = asyncio.Event()
        self.is_accepted = False
        self.is_refused = False

    def note(self, exchange: UpstreamExchange) -> None:
        """Hears of every exchange that is made with the credential (an UpstreamHook)."""
        now = self._clock()
        is_account_level = "/" not in exchange.path
        if exchange.status in REFUSED or (exchange.status == 404 and is_account_level):
            self.is_accepted, self.is_refused = False, True
            self._refused_at, self._member_until = now, -math.inf
            self._has_ended.set()
        elif exchange.status in ACCEPTED and exchange.failure is None:
            if now - exchange.seconds < self._refused_at:
                return
            self.is_accepted, self.is_refused = True, False
            if (exchange.method, exchange.path) == ("GET", CALLS):
                self._member_until = now + MEMBER_SECONDS
                self._has_ended.clear()

    @property
    def is_member(self) -> bool:
        """True while an accepted list of the account's calls is remembered."""
        return self._clock() < self._member_until

    async def require(self, list_calls: Callable[[], Awaitable[object]]) -> None:
        """Lists the account's calls, unless that was accepted lately.

        Raises UpstreamAuth where the credential is refused, and what `list_calls` raises.
        """
        if self.is_member:
            return
        await list_calls()
        if not self.is_member:
            raise UpstreamAuth("Upstream refused this credential a moment ago")

    async def until_refused(self) -> None:
        """Returns when the credential is refused, at once where it was refused last."""
        await self._has_ended.wait()
