"""Updates of an account's calls, for members of the account only.

This module must not know GraphQL, nor whose credential it is.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from gateway.live.watching import Update

__all__ = ["for_members"]


async def for_members(
    watch: Callable[[], AsyncGenerator[Update, None]],
    require: Callable[[], Awaitable[None]],
    until_refused: Callable[[], Awaitable[None]],
) -> AsyncGenerator[Update, None]:
    """The updates, each after `require`; also when the credential is refused while none comes.

    Nothing is watched before the first `require`. Raises what `require` raises, which is the end.
    """
    await require()
    async with aclosing(watch()) as updates:
        while True:
            update = await _next(updates, until_refused, require)
            if update is None:
                return
            await require()
            yield update


async def _next(
    updates: AsyncGenerator[Update, None],
    until_refused: Callable[[], Awaitable[None]],
    require: Callable[[], Awaitable[None]],
) -> Update | None:
    """The next update, None after the last. Raises where the credential is refused meanwhile."""
    coming = asyncio.ensure_future(anext(updates, None))
    refused = asyncio.ensure_future(until_refused())
    try:
        while not coming.done():
            await asyncio.wait({coming, refused}, return_when=asyncio.FIRST_COMPLETED)
            if refused.done() and not coming.done():
                await require()
                refused = asyncio.ensure_future(until_refused())
        return coming.result()
    finally:
        for task in (coming, refused):
            task.cancel()
        await asyncio.gather(coming, refused, return_exceptions=True)
