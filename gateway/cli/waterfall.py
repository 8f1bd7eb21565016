"""What an operation asked upstream, drawn for a terminal: one line per request on a time axis.

Pure: the data of `extensions.upstream` in, a text out. It must not know who asked, where the data
comes from or whether a terminal is there; it trusts no text of the data, which may hold anything
that a caller may filter by.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

__all__ = ["waterfall"]

Exchange = Mapping[str, Any]

_ASCII = "".join(map(chr, range(0x20, 0x7F)))
_SID = re.compile(r"([A-Z]{2})[0-9a-f]{28}([0-9a-f]{4})")
_EIGHTHS = " ▏▎▍▌▋▊▉"
_COLOURS = {"per-key": 34, "scan": 36, "planned": 2, "failed": 31}
_LEGEND = "░ wait  █ read  ┄ predicted"


def waterfall(upstream: Mapping[str, Any], width: int = 100, colour: bool = False) -> str:
    """The totals and, where the answer has its exchanges, a line for each; none beyond `width`."""
    exchanges: Sequence[Exchange] = upstream.get("exchanges") or ()
    lines = [_cut(_totals(upstream, exchanges), width)]
    if exchanges:
        cells, end = max(8, width // 4), _end(upstream, exchanges)
        lines.append(_cut(_heading(cells, end), width))
        for exchange in exchanges:
            line = _cut(_line(exchange, cells, end, width), width)
            lines.append(_painted(line, cells, exchange) if colour else line)
    return "\n".join(lines)


def _totals(upstream: Mapping[str, Any], exchanges: Sequence[Exchange]) -> str:
    planned = [_predicted(exchange) for exchange in exchanges if _is_planned(exchange)]
    parts = [
        _count(upstream.get("requests", 0), "request"),
        _count(upstream.get("rows", 0), "row"),
        f"{upstream.get('known', 0)} known",
        *([f"{upstream['cached']} cached"] if upstream.get("cached") else []),
        f"{upstream.get('milliseconds', 0):.1f} ms",
    ]
    if planned:
        parts.append("planned: " + _count(sum(requests for requests, _ in planned), "request"))
    return " · ".join(parts) + (f"    {_LEGEND}" if exchanges else "")


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _heading(cells: int, end: float) -> str:
    axis = f"0 {f'{end:.1f} ms':>{cells - 2}}"
    return f"{axis} {'way':<8} {'used/rows':>11} {'time':>10}  request ← fields"


def _line(exchange: Exchange, cells: int, end: float, width: int) -> str:
    way, time = _safe(exchange.get("way", "")), _time(exchange)
    columns = f"{_bar(exchange, cells, end)} {_cut(way, 8):<8} {_rows(exchange):>11} {time:>10}  "
    text = _text(exchange)
    # A SID says more by its end than a field does by being cut off.
    if len(columns) + len(text) > width:
        text = _SID.sub(r"\1…\2", text)
    return columns + text


def _text(exchange: Exchange) -> str:
    status, retries = exchange.get("status"), exchange.get("retries")
    query = exchange.get("query")
    parts = (
        f"✗ {_safe(status)}" if _is_failed(exchange) else "",
        f"↻{retries}" if retries else "",
        _safe(exchange.get("path", "")) + (f"?{_safe(query)}" if query else ""),
        "← " + ", ".join(_safe(field) for field in exchange.get("fields") or ()),
    )
    return " ".join(part for part in parts if part)


def _rows(exchange: Exchange) -> str:
    """Used of those read; before they are read, how many requests it may take."""
    if _is_planned(exchange):
        return f"~{_predicted(exchange)[0]} req"
    return f"{exchange.get('used') or 0}/{exchange.get('rows') or 0}"


def _time(exchange: Exchange) -> str:
    if _is_planned(exchange):
        return f"~{_predicted(exchange)[1]:.1f} ms"
    return f"{exchange.get('duration') or 0:.1f} ms"


def _bar(exchange: Exchange, cells: int, end: float) -> str:
    """Exactly so many cells: the wait, then the reading to an eighth of a cell, never nothing."""
    scale = cells / end
    if _is_planned(exchange):
        return ("┄" * max(1, round(_predicted(exchange)[1] * scale)))[:cells].ljust(cells)
    start, wait, duration = _times(exchange)
    handed = min(int(start * scale), cells - 1)
    sent = min(int((start + wait) * scale), cells - 1)
    whole, part = divmod(max(1, round(((start + wait + duration) * scale - sent) * 8)), 8)
    read = "█" * whole + (_EIGHTHS[part] if part else "")
    return (" " * handed + "░" * (sent - handed) + read)[:cells].ljust(cells)


def _end(upstream: Mapping[str, Any], exchanges: Sequence[Exchange]) -> float:
    """Where the axis ends; a plan that sent nothing ends with its longest request."""
    ends = [sum(_times(exchange)) for exchange in exchanges]
    predicted = [_predicted(exchange)[1] for exchange in exchanges if _is_planned(exchange)]
    return float(max(1.0, upstream.get("milliseconds") or 0.0, *ends, *predicted))


def _times(exchange: Exchange) -> tuple[float, float, float]:
    return (
        exchange.get("start") or 0.0,
        exchange.get("wait") or 0.0,
        exchange.get("duration") or 0.0,
    )


def _predicted(exchange: Exchange) -> tuple[int, float]:
    predicted = exchange.get("predicted") or {}
    return predicted.get("requests") or 0, predicted.get("milliseconds") or 0.0


def _is_planned(exchange: Exchange) -> bool:
    return exchange.get("status") == "planned"


def _is_failed(exchange: Exchange) -> bool:
    return exchange.get("status") not in {"ok", "planned"}


def _painted(line: str, cells: int, exchange: Exchange) -> str:
    """Only the bar has a colour, which repeats what the line says in words."""
    status = {"ok": exchange.get("way"), "planned": "planned"}.get(
        str(exchange.get("status")), "failed"
    )
    code = _COLOURS.get(str(status), 0)
    return f"\x1b[{code}m{line[:cells]}\x1b[0m{line[cells:]}"


def _safe(text: object) -> str:
    """As it goes over the wire: printable ASCII, so one cell each and no terminal command."""
    return quote(str(text), safe=_ASCII, errors="replace")


def _cut(text: str, width: int) -> str:
    """The text in so many cells, with … where something is missing."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…" * (width > 0)
