"""What gateways share of limits, over Valkey or Redis: the table of heartbeats, callers' buckets.

Nothing here is lost with the server: heartbeats and buckets are made anew. This module must not
know what is in the table, nor who a caller is.
"""

import hashlib

from gateway.access.shared_rate_limit import Taken
from gateway.errors import StoreUnavailable
from gateway.live.valkey import COMMAND_TIMEOUT, SERVER_ERRORS, open_client, reply_of

__all__ = ["REPLACE_SCRIPT", "TAKE_SCRIPT", "SharedLimits"]

TABLE_SECONDS = 60.0
"""How long the table stays after the last heartbeat of all."""
MICROSECONDS = 1_000_000
ROUNDING = 0.001
"""The part of a token that may be missing, because intervals are fractions of microseconds."""

# Replaces a value, unless somebody else did since it was read ('' where there was none).
REPLACE_SCRIPT = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
# Takes up to ARGV[3] tokens from a bucket that gets one every ARGV[1] microseconds and is full
# after ARGV[2]. The bucket is the time at which it is full again (generic cell rate algorithm).
# Answers how many it took, and the microseconds until the next token where it took none.
TAKE_SCRIPT = f"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, capacity, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = tonumber(redis.call('GET', KEYS[1]) or 0)
full_at = math.min(math.max(full_at, now), now + capacity)
local taken = math.min(wanted, math.floor((now + capacity - full_at) / interval + {ROUNDING}))
if taken < 1 then return {{0, math.ceil(full_at + interval - capacity - now)}} end
full_at = full_at + taken * interval
redis.call('SET', KEYS[1], string.format('%.2f', full_at),
  'PX', math.ceil((full_at - now) / 1000))
return {{taken, 0}}
"""


class SharedLimits:
    """The limits that all gateways with the same server and namespace share.

    Every method raises StoreUnavailable when the server cannot be reached in time. Close with
    `aclose`.
    """

    def __init__(self, url: str, namespace: str) -> None:
        self._prefix = f"gateway:{namespace}:"
        self._table = self._prefix + "share:members"
        self._commands = open_client(url, COMMAND_TIMEOUT)

    async def table(self) -> bytes:
        """The table of heartbeats; empty where there is none."""
        try:
            return await reply_of(self._commands.get(self._table)) or b""
        except SERVER_ERRORS:
            raise StoreUnavailable("The shared limits cannot be read") from None

    async def replace_table(self, old: bytes, new: bytes) -> bool:
        """Replaces the table as it was read; False when another gateway did since."""
        milliseconds = int(TABLE_SECONDS * 1000)
        try:
            return bool(
                await reply_of(
                    self._commands.eval(REPLACE_SCRIPT, 1, self._table, old, new, milliseconds)
                )
            )
        except SERVER_ERRORS:
            raise StoreUnavailable("The shared limits cannot be written") from None

    async def take(self, caller: str, count: int, rate: float, burst: int) -> Taken:
        """Takes up to `count` tokens of the caller's bucket; `rate` is tokens a second."""
        name = hashlib.sha256(caller.encode()).hexdigest()[:32]
        interval = MICROSECONDS / rate
        try:
            taken, wait = await reply_of(
                self._commands.eval(
                    TAKE_SCRIPT, 1, f"{self._prefix}rate:{name}", interval, interval * burst, count
                )
            )
        except SERVER_ERRORS:
            raise StoreUnavailable("The caller's rate cannot be counted") from None
        return Taken(taken, wait / MICROSECONDS)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._commands.aclose(close_connection_pool=True)
