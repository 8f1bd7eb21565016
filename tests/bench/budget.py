"""Where an operation's CPU time goes: a profile, added up by the parts of the gateway.

A profiler makes many small calls look dearer than they are. So a share is scaled to the CPU time
that was measured without it, and is to be compared with the same share of another run.
"""

import cProfile
import pstats
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import gateway

__all__ = ["PARTS", "budget"]

HOME = Path(gateway.__file__).parent.parent.as_posix()
PARTS: Mapping[str, tuple[str, ...]] = {
    "the benchmark's own upstream": ("/tests/bench/",),
    "HTTP layer, JSON": ("/gateway/server/", "/starlette/"),
    "prepare, variables, cost": (
        "/gateway/schema/prepared", "/gateway/schema/executing", "/gateway/schema/cost",
        "/gateway/schema/limits", "/gateway/schema/context", "/strawberry/",
    ),
    "run, values": (
        "/gateway/execution/", "/gateway/schema/shortcuts", "/gateway/schema/scalars",
        "/gateway/schema/masked_fields", "/gateway/schema/event_execution",
        "/gateway/upstream/resources", "/gateway/access/", "/graphql/",
    ),
    "loaders": ("/gateway/loaders/dataloaders", "/aiodataloader/"),
    "planner, trace": (
        "/gateway/planner/", "/gateway/loaders/plan_executor", "/gateway/telemetry/",
    ),
    "connections, edges, requests": ("/gateway/schema/", "/gateway/upstream/requests"),
    "decode": ("/gateway/upstream/decoding",),
    "exchange (httpx, in this process)": (
        "/gateway/upstream/httpx_transport", "/gateway/upstream/sending", "/httpx/", "/anyio/",
        "/urllib/", "/email/", "/http/",
    ),
    "limits, breaker, cache": ("/gateway/upstream/", "/cachetools/"),
    "event loop": ("/asyncio/", "/uvloop/", "/selectors"),
}  # fmt: skip
"""The parts and the paths of their modules; the first part that has a module's path owns it."""
OTHER = "other"
Function = tuple[str, int, str]


async def budget(work: Callable[[], Awaitable[object]], rounds: int) -> dict[str, float]:
    """Each part's share of the CPU time of this work: together 1."""
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    for _ in range(rounds):
        await work()
    profile.disable()
    seconds = dict.fromkeys([*PARTS, OTHER], 0.0)
    entries: dict[Function, tuple[int, int, float, float, dict[Function, tuple[float, ...]]]]
    entries = pstats.Stats(profile).stats  # type: ignore[attr-defined] # (typeshed lacks it)
    for function, (_, _, own, _, callers) in entries.items():
        is_of_c = function[0] == "~"
        if not is_of_c:
            seconds[_part(function)] += own
        for caller, (_, _, from_caller, _) in callers.items() if is_of_c else ():
            seconds[_part(caller)] += from_caller
    total = sum(seconds.values())
    return {part: spent / total for part, spent in seconds.items()}


def _part(function: Function) -> str:
    path = Path(function[0]).as_posix().removeprefix(HOME)
    return next(
        (part for part, paths in PARTS.items() if any(each in path for each in paths)), OTHER
    )
