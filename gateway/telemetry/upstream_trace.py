"""The upstream requests of one operation and their reasons: `extensions.upstream`.

Also the warnings of `extensions.warnings`: what an answer lacks although no field failed.

Paths are relative to the account and hold no host and no secret. Queries may hold phone numbers, so
an explanation goes to the caller and into no log. This module must not know who decides.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.access.masking import masked_party
from gateway.telemetry.records import UpstreamExchange

__all__ = ["Explain", "PlanRecord", "RequestRecord", "UpstreamTrace", "WarningCode"]

# Parameters whose values identify nobody; all others may.
NON_PERSONAL_PARAMETERS = {
    "DateCreated", "EndTime", "Log", "MessageDate", "Page", "PageSize", "PageToken",
    "ParentCallSid", "StartTime", "Status",
}  # fmt: skip


class Explain(StrEnum):
    """How much of its upstream requests an operation has explained."""

    NOTHING = "nothing"
    TOTALS = "totals"
    REQUESTS = "requests"
    PLAN = "plan"


class WarningCode(StrEnum):
    """What an answer can lack although no field failed. The list is closed.

    See docs/design/schema.md#3-an-error-affects-only-its-own-field.
    """

    LIST_CUT_SHORT = "LIST_CUT_SHORT"
    ROWS_LEFT_OUT = "ROWS_LEFT_OUT"


WARNINGS = {
    WarningCode.LIST_CUT_SHORT: "The list was not read to its end. endCursor says how to go on.",
    WarningCode.ROWS_LEFT_OUT: "Upstream sent rows without a readable SID. They were left out.",
}


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """One batch of keys and its plan. Times are seconds of the loop's clock.

    `per_key` is how many requests it would take to ask for each key alone, which the plan was
    weighed against; `requests` and `seconds` are what was predicted for the plan.
    """

    began: float
    ended: float
    per_key: int
    scans: int
    requests: int
    seconds: float


@dataclass
class RequestRecord:
    """One REST request. Times are seconds; `began` is the loop's clock, None where only planned.

    `exchange` is the last attempt, `failures` are those of the attempts before it.

    `fields` are the paths of the operation's fields that need it; without an explanation there are
    none. Unless it `shows_personal`, the query masks values that may identify somebody.
    """

    request: Any
    strategy: str
    fields: tuple[str, ...]
    predicted: tuple[int, float]
    shows_personal: bool = True
    began: float | None = None
    ended: float | None = None
    seconds: float | None = None
    rows: int | None = None
    used: int | None = None
    attempts: int = 0
    status: str = "planned"
    exchange: UpstreamExchange | None = None
    failures: tuple[str, ...] = ()

    def on_attempt(self, exchange: UpstreamExchange) -> None:
        """Called for each attempt. A read shared with another operation reports nothing."""
        self.seconds = exchange.seconds
        self.attempts += 1
        self.exchange = exchange
        if exchange.retry_of is not None:
            self.failures += (exchange.retry_of,)

    def end(self, now: float, rows: int, status: str = "ok") -> None:
        """Records the response, or the error whose code is `status`."""
        self.ended, self.rows, self.used, self.status = now, rows, self.used or 0, status

    @property
    def path(self) -> str:
        """Relative to the account."""
        return str(self.request.path)

    @property
    def query(self) -> str:
        """The parameters, as they stand in the URL but not encoded."""
        return "&".join(f"{name}={self._shown(name, value)}" for name, value in self.request.query)

    def _shown(self, name: str, value: str) -> str:
        is_shown = self.shows_personal or name.rstrip("<>") in NON_PERSONAL_PARAMETERS
        return value if is_shown else masked_party(value)

    @property
    def retries(self) -> int:
        """The number of attempts after the first."""
        return max(0, self.attempts - 1)

    @property
    def wait(self) -> float:
        """Seconds before the last attempt: the wait for a slot, failed attempts, and backoff."""
        total = (self.ended or 0.0) - (self.began or 0.0)
        return max(total - self.seconds, 0.0) if self.seconds is not None else 0.0

    def explain(self, began: float) -> dict[str, Any]:
        """The record as the answer shows it, in milliseconds since the operation began."""
        requests, seconds = self.predicted
        plan = {
            "path": self.path,
            "query": self.query,
            "way": self.strategy,
            "fields": list(self.fields),
            "status": self.status,
            "predicted": {"requests": requests, "milliseconds": _milliseconds(seconds)},
        }
        if self.began is None or self.ended is None:
            return plan
        wait = self.wait
        return plan | {
            "rows": self.rows,
            "used": self.used,
            "start": _milliseconds(self.began - began),
            "wait": _milliseconds(wait),
            "duration": _milliseconds(self.ended - self.began - wait),
            "retries": self.retries,
        }


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)


@dataclass
class UpstreamTrace:
    """The records of one operation. `clock` is the loop's, in seconds.

    Unless it `shows_personal`, the value of a parameter that may identify somebody is masked. The
    fields that need a request are noted only if it `is_explained`; `plans` is None unless they are
    wanted. `max_age` is for how many seconds all that was read may be reused (infinite before the
    first read), None unless that is wanted. `known`, `cached` and `scanned`
    count the keys that were answered so, without a request of their own.
    """

    clock: Callable[[], float]
    records: list[RequestRecord] = field(default_factory=list)
    plans: list[PlanRecord] | None = None
    max_age: float | None = None
    known: int = 0
    cached: int = 0
    scanned: int = 0
    shows_personal: bool = True
    is_explained: bool = True
    _warnings: dict[tuple[WarningCode, str, str | None], int] = field(default_factory=dict)
    _fields: dict[Any, dict[str, None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def note_field(self, request: Any, field_path: str) -> None:
        """Records that a field of the operation needs a request."""
        if self.is_explained:
            self._fields.setdefault(request, {})[field_path] = None

    def warn(
        self, code: WarningCode, field_path: str, count: int = 1, reason: str | None = None
    ) -> None:
        """Records that the answer lacks something, `count` times; `reason` is an error's code."""
        key = (code, field_path, reason)
        self._warnings[key] = self._warnings.get(key, 0) + count

    def warnings(self) -> list[dict[str, Any]]:
        """`extensions.warnings`: one for each code, field and reason. `path` has no indexes."""
        return [
            {"code": code.value, "path": path.split("."), "count": count, "message": WARNINGS[code]}
            | ({"reason": reason} if reason else {})
            for (code, path, reason), count in self._warnings.items()
        ]

    def begin(
        self, request: Any, strategy: str, serves: Iterable[Any], predicted: tuple[int, float]
    ) -> RequestRecord:
        """Adds the record of a REST request that serves these requests."""
        noted = self._fields
        paths = (path for served in serves for path in noted.get(served, ())) if noted else ()
        fields = tuple(dict.fromkeys(paths))
        record = RequestRecord(request, strategy, fields, predicted, self.shows_personal)
        self.records.append(record)
        return record

    def keep_for(self, seconds: float) -> None:
        """Records that one of the answers may be reused for so many seconds."""
        if self.max_age is not None:
            self.max_age = min(self.max_age, seconds)

    def sent(self) -> list[RequestRecord]:
        """The requests that were sent, as far as they were not only planned."""
        return [record for record in self.records if record.began is not None]

    def waited(self) -> float:
        """Seconds in which at least one upstream request was under way."""
        spans = sorted((r.began, r.ended) for r in self.records if r.began and r.ended)
        waited, end = 0.0, float("-inf")
        for began, ended in spans:
            waited += max(ended - max(began, end), 0.0)
            end = max(end, ended)
        return waited

    def avoided(self) -> dict[str, int]:
        """How many requests were not needed, by the way in which they were avoided.

        `known` and `cached` were answered by rows of this operation and of earlier ones, `shared`
        by an equal request of another operation that was in flight, `scan` by lists that answer
        many keys at once.
        """
        sent = self.sent()
        scans = sum(record.strategy == "scan" for record in sent)
        shared = sum(record.status == "ok" and not record.attempts for record in sent)
        return {
            "known": self.known,
            "cached": self.cached,
            "scan": max(self.scanned - scans, 0),
            "shared": shared,
        }

    def explain(self, level: Explain) -> dict[str, Any]:
        """`extensions.upstream`: the totals and, unless only these are wanted, each request."""
        totals: dict[str, Any] = {
            "requests": len(self.sent()),
            "rows": sum(record.rows or 0 for record in self.records),
            "known": self.known,
            "cached": self.cached,
            "retries": sum(record.retries for record in self.records),
            "milliseconds": _milliseconds(self.clock() - self.began),
        }
        if level is Explain.TOTALS:
            return totals
        return totals | {"exchanges": [record.explain(self.began) for record in self.records]}
