"""How the sandbox does with a million calls: ``python -m tests.bench.sandbox [calls]``.

Loads so many calls with their recordings and notifications into a file, then asks for pages the
way a request does (parameters to JSON bytes, in one thread, with no HTTP around it) and prints
the best of three. The bar: loaded in two minutes, every page in tens of milliseconds.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gateway.sandbox import SandboxConfig, reading
from gateway.sandbox.formats import JSON, Document
from gateway.sandbox.reading import ParsedRequest, ResourceView
from gateway.sandbox.rendering import UriContext
from gateway.sandbox.resources import CallRow
from gateway.sandbox.seed import example_rows
from gateway.sandbox.store import SandboxDatabase

NOW = datetime(2026, 7, 8, 15, 30, tzinfo=UTC)
PLACE = UriContext(SandboxConfig().account_sid, ".json")
MAIN, AGENT = "+14155550100", "client:tommy"


def seconds(work: Callable[[], Any], times: int = 3) -> float:
    """The best of so many runs."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def answer(page: Callable[[], Document]) -> bytes:
    return JSON.write(page())


def day(ago: int) -> str:
    return str((NOW - timedelta(days=ago)).date())


def queries(
    store: SandboxDatabase, calls: int
) -> list[tuple[str, ResourceView[Any], dict[str, str]]]:
    """What is asked, with a name for each."""
    deep = f"PA{store.older(CallRow, [], limit=1, offset=calls * 9 // 10)[0].sid}"
    child = next(row for row in store.older(CallRow, [], limit=500) if row.parent_call_sid)
    parent = str(child.parent_call_sid)
    one_to_two = {"StartTime>": day(12), "StartTime<": day(10)}
    return [
        ("first page", reading.CALLS, {}),
        ("first page of 1000", reading.CALLS, {"PageSize": "1000"}),
        ("deep token", reading.CALLS, {"PageToken": deep}),
        ("deep token, page of 1000", reading.CALLS, {"PageToken": deep, "PageSize": "1000"}),
        ("deep page number (old form)", reading.CALLS, {"Page": str(calls * 9 // 500)}),
        ("Status", reading.CALLS, {"Status": "busy"}),
        ("Status of few", reading.CALLS, {"Status": "in-progress"}),
        ("To of many", reading.CALLS, {"To": MAIN, "PageSize": "1000"}),
        ("From", reading.CALLS, {"From": AGENT}),
        ("ParentCallSid", reading.CALLS, {"ParentCallSid": parent}),
        ("To and Status, none found", reading.CALLS, {"To": MAIN, "Status": "failed"}),
        ("To and From, none found", reading.CALLS, {"To": MAIN, "From": AGENT}),
        ("StartTime 12 days ago", reading.CALLS, {"StartTime": day(12)}),
        ("StartTime range, 1000", reading.CALLS, {**one_to_two, "PageSize": "1000"}),
        ("StartTime and Status", reading.CALLS, {"StartTime": day(10), "Status": "busy"}),
        ("StartTime, none found", reading.CALLS, {"StartTime": day(99)}),
        ("EndTime range", reading.CALLS, {"EndTime>": day(12), "EndTime<": day(10)}),
        ("Recordings", reading.RECORDINGS, {"PageSize": "1000"}),
        ("Recordings by CallSid", reading.RECORDINGS, {"CallSid": parent}),
        ("Recordings by DateCreated", reading.RECORDINGS, {"DateCreated": day(12)}),
        ("Notifications by MessageDate", reading.NOTIFICATIONS, {"MessageDate": day(12)}),
        ("Notifications by Log", reading.NOTIFICATIONS, {"Log": "1", "PageSize": "1000"}),
    ]


def main(calls: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "calls.sqlite"
        store = SandboxDatabase(str(path))
        rows = example_rows(calls, 1, int(NOW.timestamp()))
        cpu = time.process_time()
        loading = seconds(lambda: store.load(rows), times=1)
        cpu = time.process_time() - cpu
        size = path.stat().st_size / 1e6
        print(f"{calls:,} calls with their edges: loaded in {loading:.1f} s", end=" ")
        print(f"({cpu:.1f} s of CPU), {size:.0f} MB")
        for name, resource, query in queries(store, calls):
            asked = ParsedRequest(f"{PLACE.account}/Calls.json", PLACE, None, query)
            page = partial(reading.listing, resource, store, asked)
            taken, rows_found = seconds(partial(answer, page)), page().rows
            print(f"{taken * 1e3:8.1f} ms  {rows_found:5} rows  {name}")
        store.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
