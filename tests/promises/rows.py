"""The account of the promises' tests, and the right answers about it.

Its newest 50 calls need many upstream requests: parents on and off the page, and every fifth call
is live, so that no cache or plan can avoid them.
"""

from typing import Any

from tests.plain_twilio import PlainTwilio, Row, call, notification, recording, sid

__all__ = ["FOUR_EDGES", "PAGE", "account", "final", "live", "live_account", "right_nodes"]

PAGE = 50
OLDER, UNENDED = 300, 100
LIVE = {"status": "in-progress", "end_time": None, "duration": None, "price": None}
FOUR_EDGES = """{ calls(first: 50) { nodes {
    sid status duration
    parentCall { sid }
    childCalls { nodes { sid } }
    recordings { nodes { sid } }
    notifications { nodes { sid } }
} } }"""


def account() -> PlainTwilio:
    """450 calls, newest first: the page is 1 to 50, 300 final ones follow, then 100 live ones."""
    page = [_of_the_page(number) for number in range(1, PAGE + 1)]
    older = [call(number, at=-10 * number) for number in range(PAGE + 1, PAGE + OLDER + 1)]
    unended = [call(PAGE + OLDER + n, at=-10_000 - n, **LIVE) for n in range(1, UNENDED + 1)]
    return PlainTwilio(
        calls=page + older + unended,
        recordings=[recording(n, of=n, at=-10 * n) for n in range(2, PAGE + 1, 2)],
        notifications=[notification(n, of=n, at=-10 * n) for n in range(3, PAGE + 1, 3)],
    )


def live_account(calls: int) -> PlainTwilio:
    """So many calls that have not ended: nothing about them can be cached or planned."""
    return PlainTwilio(calls=[call(n, at=-10 * n, **LIVE) for n in range(1, calls + 1)])


def final(number: int) -> str:
    """The SID of one of the older calls, which have ended and are priced; 0 to 299."""
    return sid("CA", PAGE + 1 + number % OLDER)


def live(number: int) -> str:
    """The SID of a call that has not ended, so that it is never cached; 0 to 99."""
    return sid("CA", PAGE + OLDER + 1 + number % UNENDED)


def _of_the_page(number: int) -> Row:
    given: dict[str, Any] = {"parent_call_sid": _parent(number), "direction": "outbound-dial"}
    is_live = number % 5 == 0
    return call(number, at=-10 * number, **given | (LIVE if is_live else {}))


def _parent(number: int) -> str | None:
    """On the page for every fourth, off it for the others, none for the last two."""
    if number > PAGE - 2:
        return None
    return sid("CA", number + 2) if number % 4 == 1 else sid("CA", PAGE + 5 * number)


def right_nodes() -> list[Row]:
    """The nodes of FOUR_EDGES' answer, from the rows alone."""
    rows = account()
    return [
        {
            "sid": row["sid"],
            "status": row["status"].upper().replace("-", "_"),
            "duration": None if row["duration"] is None else int(row["duration"]),
            "parentCall": row["parent_call_sid"] and {"sid": row["parent_call_sid"]},
            "childCalls": _nodes(rows.calls, "parent_call_sid", row),
            "recordings": _nodes(rows.recordings, "call_sid", row),
            "notifications": _nodes(rows.notifications, "call_sid", row),
        }
        for row in rows.calls[:PAGE]
    ]


def _nodes(rows: list[Row], key: str, of: Row) -> dict[str, list[dict[str, str]]]:
    return {"nodes": [{"sid": row["sid"]} for row in rows if row[key] == of["sid"]]}
