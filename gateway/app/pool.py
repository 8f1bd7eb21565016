"""Whose connections upstream are kept, in passthrough, and how often what is refused is tried.

This module must not know what a credential is used for, nor how it is presented.

Note [Made-up credentials]. Anybody can make one up. So a credential has an upstream only when
something is to be sent with it; it takes a place among those that are kept once upstream has
accepted it, and no sooner; those that it has not, or no longer, have few places of their own. Each
use of such a one takes a try from its account SID and from the address that it comes from, and
gives both back unless upstream refuses it. So made-up credentials crowd out none that is accepted,
and a guesser has TRIES_OF_AN_ACCOUNT, then one in SECONDS_FOR_A_TRY.

Note [Closed in the background]. An upstream that has lost its place is closed when nobody uses it
any more, in a task of its own: whoever came in its place does not wait for what it has begun, and
does not cancel that by leaving.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.access import Account
from gateway.access.rate import RateLimiter
from gateway.app.upstreams import Upstream
from gateway.errors import RateLimited

__all__ = ["Tries", "UpstreamPool"]

TRIES_OF_AN_ACCOUNT, SECONDS_FOR_A_TRY = 100, 6.0
# Many tenants may come through one proxy, all at once after a restart.
TRIES_OF_AN_ADDRESS, SECONDS_FOR_A_TRY_THERE = 200, 1.0
UNPROVEN_IN_USE = 200
UNPROVEN_AT_REST = 32


class Tries:
    """How often what upstream does not accept is tried; see Note [Made-up credentials]."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._accounts = RateLimiter(
            1 / SECONDS_FOR_A_TRY,
            TRIES_OF_AN_ACCOUNT,
            clock,
            words="Too many credentials of this account were refused",
        )
        self._addresses = RateLimiter(
            1 / SECONDS_FOR_A_TRY_THERE,
            TRIES_OF_AN_ADDRESS,
            clock,
            words="Too many credentials from this address were refused",
        )

    def take(self, account_sid: str, address: str | None) -> None:
        """One try. Raises RateLimited."""
        self._accounts.take(account_sid)
        if address is not None:
            try:
                self._addresses.take(address)
            except RateLimited:
                self._accounts.give_back(account_sid)
                raise

    def give_back(self, account_sid: str, address: str | None) -> None:
        """It was not refused."""
        self._accounts.give_back(account_sid)
        if address is not None:
            self._addresses.give_back(address)


class UpstreamPool:
    """Upstreams by credential, made when first used; of those accepted the `most` used last stay.

    See Note [Made-up credentials] and Note [Closed in the background]. Close with `aclose`.
    """

    def __init__(
        self, make: Callable[[Account], Upstream], most: int, tries: Tries | None = None
    ) -> None:
        self._make = make
        self._most = most
        self._most_at_rest = UNPROVEN_AT_REST
        self._tries = tries or Tries()
        self._accepted: OrderedDict[str, Upstream] = OrderedDict()
        self._unproven: OrderedDict[str, Upstream] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    @contextmanager
    def upstream(self, account: Account, address: str | None = None) -> Iterator[Upstream]:
        """The credential's upstream, which is not closed before this use of it ends.

        `address` is where the caller asks from, None where that is not known. Raises RateLimited.
        """
        self._keep_what_was_accepted()
        upstream = self._accepted.get(account.digest)
        is_try = upstream is None
        if upstream is None:
            upstream = self._try(account, address)
        else:
            self._accepted.move_to_end(account.digest)
        upstream.users += 1
        try:
            yield upstream
        finally:
            upstream.users -= 1
            if is_try and not upstream.is_refused:
                self._tries.give_back(account.sid, address)
            if upstream.is_refused and self._accepted.get(account.digest) is upstream:
                self._unproven[account.digest] = self._accepted.pop(account.digest)
            if not upstream.is_kept and not upstream.users:
                self._close(upstream)
            self._keep_what_was_accepted()

    async def aclose(self) -> None:
        """Closes every client that is not in use; the others close when they are not."""
        self._most = self._most_at_rest = 0
        self._keep_what_was_accepted()
        if self._closing:
            await asyncio.wait(self._closing)

    def _try(self, account: Account, address: str | None) -> Upstream:
        """The upstream of a credential that is not accepted, or not any more."""
        self._tries.take(account.sid, address)
        upstream = self._unproven.pop(account.digest, None)
        if upstream is None:
            if sum(other.users > 0 for other in self._unproven.values()) >= UNPROVEN_IN_USE:
                self._tries.give_back(account.sid, address)
                raise RateLimited("Too many credentials are tried at once that are not known", 1)
            upstream = self._make(account)
        self._unproven[account.digest] = upstream
        return upstream

    def _keep_what_was_accepted(self) -> None:
        """Each to its place by what upstream said meanwhile; whoever has none is closed."""
        for digest, upstream in list(self._unproven.items()):
            if upstream.is_accepted:
                self._accepted[digest] = self._unproven.pop(digest)
        while len(self._accepted) > self._most:
            _, oldest = self._accepted.popitem(last=False)
            oldest.is_kept = False
            if not oldest.users:
                self._close(oldest)
        at_rest = [digest for digest, upstream in self._unproven.items() if not upstream.users]
        for digest in at_rest[: max(len(at_rest) - self._most_at_rest, 0)]:
            self._close(self._unproven.pop(digest))

    def _close(self, upstream: Upstream) -> None:
        closing = asyncio.ensure_future(upstream.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
