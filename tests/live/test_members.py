"""Updates for members: each is sent only after a check of the membership."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest

from gateway.errors import UpstreamAuth
from gateway.live.subscriptions import CallUpdate, for_accepted_credentials
from gateway.upstream.calls import CallResource
from tests.upstream.stage import row

NOW = datetime(2026, 3, 10, tzinfo=UTC)


class Membership:
    """A membership that a test can end, and updates for its member."""

    def __init__(self) -> None:
        self.is_member = True
        self.checks = 0
        self.refused = asyncio.Event()
        self.is_closed = False

    async def require(self) -> None:
        """Counts the checks; raises when the membership has ended."""
        self.checks += 1
        if not self.is_member:
            raise UpstreamAuth("no")

    async def updates(self) -> AsyncGenerator[CallUpdate, None]:
        """Two updates, then none."""
        try:
            for _ in range(2):
                yield CallUpdate(row(CallResource, status="queued"), None, None, NOW)
            await asyncio.Event().wait()
        finally:
            self.is_closed = True

    def member_updates(self) -> AsyncGenerator[CallUpdate, None]:
        """The updates that a member gets."""

        async def until_refused() -> None:
            await self.refused.wait()

        return for_accepted_credentials(self.updates, self.require, until_refused)


async def test_every_update_checks_the_membership_again() -> None:
    """A membership that ended between two updates stops the second."""
    membership = Membership()
    member_updates = membership.member_updates()
    await anext(member_updates)
    membership.is_member = False
    with pytest.raises(UpstreamAuth):
        await anext(member_updates)

    assert membership.is_closed


async def test_a_refusal_of_one_request_only_ends_nothing() -> None:
    """A key may be refused one request and still list calls."""
    membership = Membership()
    member_updates = membership.member_updates()
    await anext(member_updates)
    await anext(member_updates)
    waiting = asyncio.ensure_future(anext(member_updates))
    await asyncio.sleep(0)
    before = membership.checks
    membership.refused.set()
    while membership.checks == before:  # noqa: ASYNC110 (nothing to await)
        await asyncio.sleep(0)
    membership.refused.clear()
    assert not waiting.done()
    membership.is_member = False
    membership.refused.set()
    async with asyncio.timeout(5):
        with pytest.raises(UpstreamAuth):
            await waiting

    assert membership.is_closed
