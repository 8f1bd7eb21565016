"""Results of a subscription for as long as the caller's credential holds, and no longer.

This module must not know what kind of credential it is, nor how results are sent.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

__all__ = ["CredentialExpired", "until"]

T = TypeVar("T")


class CredentialExpired(Exception):
    """The credential of whoever subscribed has come to its end: so does the subscription."""


async def until(moment: float | None, results: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The results that come before this time of the loop's clock; None is never.

    Raises CredentialExpired at that time. Whoever iterates closes `results`.
    """
    clock = asyncio.get_running_loop().time
    while True:
        try:
            async with asyncio.timeout_at(moment) as timeout:
                result = await anext(results, None)
        except TimeoutError:
            if timeout.expired():
                raise CredentialExpired from None
            raise
        if result is None:
            return
        if moment is not None and clock() >= moment:
            raise CredentialExpired
        yield result
