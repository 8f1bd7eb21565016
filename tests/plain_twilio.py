"""A plain account: rows in Python lists, served as Twilio's Calls API would, in a few dozen lines.

It is the oracle of the gateway's tests and knows neither the gateway nor the sandbox. Every
request is recorded as text, `GET Calls?Status=busy&PageSize=50` or `POST Calls To=…&From=…`,
decoded and relative to the account; faults can be put in its way.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, unquote_plus

import httpx

ACCOUNT = "AC" + "a" * 32
TOKEN = "0123456789abcdef0123456789abcdef"
ROOT = f"/2010-04-01/Accounts/{ACCOUNT}/"
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)

Row = dict[str, Any]
Fault = Callable[[httpx.Request], httpx.Response | None]


def sid(prefix: str, number: int) -> str:
    """A SID that is easy to read in a failure."""
    return f"{prefix}{number:032x}"


def rfc_2822(moment: datetime | None) -> str | None:
    """Twilio's dates."""
    return format_datetime(moment) if moment else None


def call(number: int, *, at: int = 0, **given: Any) -> Row:
    """A completed inbound call of a minute, created `at` seconds after noon."""
    start = NOON + timedelta(seconds=at)
    row = {
        "sid": sid("CA", number),
        "account_sid": ACCOUNT,
        "parent_call_sid": None,
        "to": "+18005550100",
        "from": "+16175550101",
        "phone_number_sid": sid("PN", 1),
        "status": "completed",
        "direction": "inbound",
        "date_created": rfc_2822(start),
        "date_updated": rfc_2822(start + timedelta(seconds=60)),
        "start_time": rfc_2822(start),
        "end_time": rfc_2822(start + timedelta(seconds=60)),
        "duration": "60",
        "price": "-0.00850",
        "price_unit": "USD",
        "answered_by": None,
        "forwarded_from": "",
        "caller_name": "",
        "uri": f"{ROOT}Calls/{sid('CA', number)}.json",
    }
    return row | given


def recording(number: int, of: int, *, at: int = 0, **given: Any) -> Row:
    """A completed recording of a call, in the per-call form."""
    row = {
        "sid": sid("RE", number),
        "account_sid": ACCOUNT,
        "call_sid": sid("CA", of),
        "date_created": rfc_2822(NOON + timedelta(seconds=at)),
        "date_updated": rfc_2822(NOON + timedelta(seconds=at)),
        "duration": "30",
        "status": "completed",
        "channels": 1,
        "source": "RecordVerb",
        "track": "both",
    }
    return row | given


def notification(number: int, of: int | None, *, at: int = 0, **given: Any) -> Row:
    """A warning about a call, in the list form."""
    row = {
        "sid": sid("NO", number),
        "account_sid": ACCOUNT,
        "call_sid": sid("CA", of) if of is not None else "",
        "date_created": rfc_2822(NOON + timedelta(seconds=at)),
        "message_date": rfc_2822(NOON + timedelta(seconds=at)),
        "error_code": "15003",
        "log": "1",
        "message_text": "LogLevel=WARN",
    }
    return row | given


def describe(request: httpx.Request) -> str:
    """`GET Calls?Status=busy&PageSize=50`, decoded and relative to the account."""
    path = request.url.path.removeprefix(ROOT).removesuffix(".json")
    query = unquote(request.url.query.decode())
    form = unquote_plus(request.content.decode())
    return f"{request.method} {path}" + (f"?{query}" if query else "") + (form and f" {form}")


@dataclass
class PlainTwilio(httpx.AsyncBaseTransport):
    """The account. `calls` and the other lists are in the order in which lists give them."""

    calls: list[Row] = field(default_factory=list)
    recordings: list[Row] = field(default_factory=list)
    notifications: list[Row] = field(default_factory=list)
    fault: Fault | None = None
    delay: float = 0.0
    largest_page: int = 1000
    requests: list[str] = field(default_factory=list)
    cancelled: int = 0
    in_flight: int = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(describe(request))
        self.in_flight += 1
        try:
            await asyncio.sleep(self.delay)
            return (self.fault and self.fault(request)) or self.answer(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1

    def asked(self) -> list[str]:
        """The requests so far, in the order of their text; forgets them."""
        requests, self.requests = sorted(self.requests), []
        return requests

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What the account says, without fault and without delay."""
        path = request.url.path.removeprefix(ROOT).removesuffix(".json")
        if request.method == "POST":
            return self._change(path.split("/"), dict(parse_qsl(request.content.decode())))
        match path.split("/"):
            case ["Calls" | "Recordings" | "Notifications" as name]:
                return self._list(request, name.lower(), self.rows_of(name))
            case ["Calls", of, "Recordings" | "Notifications" as name]:
                rows = [row for row in self.rows_of(name) if row["call_sid"] == of]
                return self._list(request, name.lower(), rows)
            case ["Calls" | "Recordings" | "Notifications" as name, wanted]:
                return self._instance(name, wanted, _account_form)
            case ["Calls", _, "Recordings" as name, wanted]:
                return self._instance(name, wanted, dict)
        return _error(404, 20404)

    def _change(self, path: list[str], form: dict[str, str]) -> httpx.Response:
        """Makes a call, the newest, or gives one another status."""
        if path == ["Calls"]:
            news = {"to": form["To"], "from": form["From"], "status": "queued"}
            unknown = dict.fromkeys(("start_time", "end_time", "duration", "price"))
            made = call(900 + len(self.calls), direction="outbound-api") | news | unknown
            self.calls.insert(0, made)
            return httpx.Response(201, json=made)
        for row in self.calls:
            if path == ["Calls", row["sid"]]:
                row["status"] = form.get("Status", row["status"])
                return httpx.Response(200, json=row)
        return _error(404, 20404)

    def rows_of(self, name: str) -> list[Row]:
        rows: list[Row] = getattr(self, name.lower())
        return rows

    def _instance(self, name: str, wanted: str, form: Callable[[Row], Row]) -> httpx.Response:
        for row in self.rows_of(name):
            if row["sid"] == wanted:
                return httpx.Response(200, json=form(row))
        return _error(404, 20404)

    def _list(self, request: httpx.Request, name: str, rows: list[Row]) -> httpx.Response:
        query = dict(parse_qsl(request.url.query.decode()))
        size = min(int(query.pop("PageSize", "50")), self.largest_page)
        token = query.pop("PageToken", "")
        page = int(query.pop("Page", "0"))
        place = {row["sid"]: index for index, row in enumerate(rows)}
        # A token marks a place in the whole list; the filter is applied from there.
        kept = [row for row in rows if _matches(row, query)]
        if token.startswith("PB"):
            shown = [row for row in kept if place[row["sid"]] < place[token[2:]]][-size:]
        else:
            start = place[token[2:]] if token else -1
            shown = [row for row in kept if place[row["sid"]] > start][:size]
        uri = _linker(request.url.path, query, size)
        older = shown and place[kept[-1]["sid"]] > place[shown[-1]["sid"]]
        newer = shown and place[kept[0]["sid"]] < place[shown[0]["sid"]]
        body = {
            name: shown,
            "page": page,
            "page_size": size,
            "start": 0,
            "end": len(shown),
            "uri": request.url.path,
            "first_page_uri": uri(0, ""),
            "next_page_uri": uri(page + 1, "PA" + shown[-1]["sid"]) if older else None,
            "previous_page_uri": uri(page - 1, "PB" + shown[0]["sid"]) if newer else None,
        }
        return httpx.Response(200, content=json.dumps(body).encode())


def calls_in(*statuses: str) -> PlainTwilio:
    """An account whose calls, numbered from 1, are in these states."""
    return PlainTwilio(
        calls=[call(number, status=status) for number, status in enumerate(statuses, 1)]
    )


def _linker(path: str, query: dict[str, str], size: int) -> Callable[[int, str], str]:
    def link(page: int, token: str) -> str:
        pairs = [*query.items(), ("PageSize", size), ("Page", max(page, 0)), ("PageToken", token)]
        text = "&".join(f"{quote(str(k))}={quote(str(v))}" for k, v in pairs if v != "")
        return f"{path}?{text}"

    return link


DATES = {
    "StartTime": "start_time",
    "EndTime": "end_time",
    "DateCreated": "date_created",
    "MessageDate": "message_date",
}


def _matches(row: Row, query: dict[str, str]) -> bool:
    plain = {"To": "to", "From": "from", "Status": "status", "ParentCallSid": "parent_call_sid"}
    for name, value in query.items():
        if name in plain and row[plain[name]] != value:
            return False
        if name == "Log" and row["log"] != value:
            return False
        if name.rstrip("<>") in DATES and not _in_days(row, name, value):
            return False
    return True


def _in_days(row: Row, name: str, value: str) -> bool:
    text = row[DATES[name.rstrip("<>")]]
    if text is None:
        return False
    moment = datetime.strptime(text, "%a, %d %b %Y %H:%M:%S %z")
    day = datetime.fromisoformat(value).replace(tzinfo=UTC)
    if name.endswith("<"):
        return moment <= day
    if name.endswith(">"):
        return moment >= day
    return day <= moment < day + timedelta(days=1)


def _account_form(row: Row) -> Row:
    """The account-level form of a recording, the instance form of a notification."""
    if row["sid"].startswith("RE"):
        form = {key: value for key, value in row.items() if key != "track"}
        return form | {"media_url": f"https://api.twilio.com/{row['sid']}"}
    if row["sid"].startswith("NO"):
        return row | {"request_variables": "a=1", "response_body": "", "response_headers": "b=2"}
    return row


def _error(status: int, code: int) -> httpx.Response:
    body = {
        "code": code,
        "message": "made up",
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    headers = {"Twilio-Request-Id": "RQ" + "0" * 32}
    return httpx.Response(status, json=body, headers=headers)


error = _error
