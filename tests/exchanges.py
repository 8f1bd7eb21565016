"""Made-up entries of `extensions.upstream`, for whatever draws them."""

from typing import Any

CALL = "CA" + "0123456789abcdef" * 2


def exchange(**given: Any) -> dict[str, Any]:
    """One request that read a page of calls, but for what is given."""
    return {
        "path": "Calls",
        "query": "PageSize=50",
        "way": "per-key",
        "fields": ["calls"],
        "rows": 50,
        "used": 40,
        "start": 0.0,
        "wait": 0.0,
        "duration": 50.0,
        "retries": 0,
        "predicted": {"requests": 1, "milliseconds": 25.0},
        "status": "ok",
    } | given


def planned(**given: Any) -> dict[str, Any]:
    """One request of a dry run: nothing of it has happened."""
    whole = exchange(status="planned", **given)
    happened = ("rows", "used", "start", "wait", "duration", "retries")
    return {name: value for name, value in whole.items() if name not in happened}
