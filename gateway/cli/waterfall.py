"""The upstream requests of an operation, drawn for a terminal: one line each on a time axis.

Pure: the data of `extensions.upstream` in, text out. It must not know the caller, the source of the
data, or whether there is a terminal. It escapes every text of the data, because a caller can put
anything into a filter.
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


def waterfall(
    upstream: Mapping[str, Any], width: int = 100, colour: bool = False, *, fold: bool = False
) -> str:
    """The totals and, where the data has its exchanges, a line for each; none beyond `width`.

    `fold` draws planned requests that differ only in a SID as one line.
    """
    exchanges: Sequence[Exchange] = upstream.get("exchanges") or ()
    lines = [_truncate(_totals(upstream, exchanges, width), width)]
    if exchanges:
        # A narrow terminal needs its columns for the requests.
        cells = max(8, width // (4 if width >= 100 else 8))
        axis_end = _axis_end(upstream, exchanges)
        lines.append(_truncate(_heading(cells, axis_end), width))
        for exchange in _folded(exchanges) if fold else exchanges:
            line = _truncate(_line(exchange, cells, axis_end, width), width)
            lines.append(_coloured(line, cells, exchange) if colour else line)
    return "\n".join(lines)


def _folded(exchanges: Sequence[Exchange]) -> list[Exchange]:
    """Planned requests that differ only in a SID become one, at the place of the first.

    Its requests are their sum; its time is the longest, because they are sent together.
    """
    alike: dict[Any, list[Exchange]] = {}
    for number, exchange in enumerate(exchanges):
        kind = (_without_sids(exchange), exchange.get("way"), *(exchange.get("fields") or ()))
        alike.setdefault(kind if _is_planned(exchange) else number, []).append(exchange)
    return [_as_one(group) if len(group) > 1 else group[0] for group in alike.values()]


def _without_sids(exchange: Exchange) -> tuple[str, str]:
    path, query = (str(exchange.get(name) or "") for name in ("path", "query"))
    return _SID.sub("{sid}", path), _SID.sub("{sid}", query)


def _as_one(group: Sequence[Exchange]) -> Exchange:
    path, query = _without_sids(group[0])
    requests, milliseconds = zip(*map(_predicted, group), strict=True)
    predicted = {"requests": sum(requests), "milliseconds": max(milliseconds)}
    return {**group[0], "path": path, "query": query, "count": len(group), "predicted": predicted}


def _totals(upstream: Mapping[str, Any], exchanges: Sequence[Exchange], width: int) -> str:
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
    totals = " · ".join(parts)
    with_legend = f"{totals}    {_LEGEND}"
    return with_legend if exchanges and len(with_legend) <= width else totals


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _heading(cells: int, axis_end: float) -> str:
    axis = f"0 {f'{axis_end:.1f} ms':>{cells - 2}}"
    return f"{axis} {'way':<8} {'used/rows':>11} {'time':>10}  request ← fields"


def _line(exchange: Exchange, cells: int, axis_end: float, width: int) -> str:
    way, time = _escape(exchange.get("way", "")), _time(exchange)
    bar, way = _bar(exchange, cells, axis_end), _truncate(way, 8)
    columns = f"{bar} {way:<8} {_rows(exchange):>11} {time:>10}  "
    text = _text(exchange)
    # Shorten SIDs, whose ends identify them, before the fields are cut off.
    if len(columns) + len(text) > width:
        text = _SID.sub(r"\1…\2", text)
    return columns + text


def _text(exchange: Exchange) -> str:
    status, retries = exchange.get("status"), exchange.get("retries")
    query = exchange.get("query")
    parts = (
        f"✗ {_escape(status)}" if _is_failed(exchange) else "",
        f"↻{retries}" if retries else "",
        f"{exchange['count']} ×" if "count" in exchange else "",
        _escape(exchange.get("path", "")) + (f"?{_escape(query)}" if query else ""),
        "← " + ", ".join(_escape(field) for field in exchange.get("fields") or ()),
    )
    return " ".join(part for part in parts if part)


def _rows(exchange: Exchange) -> str:
    """Rows used of those read; for a planned request, the predicted number of requests."""
    if _is_planned(exchange):
        return f"~{_predicted(exchange)[0]} req"
    return f"{exchange.get('used') or 0}/{exchange.get('rows') or 0}"


def _time(exchange: Exchange) -> str:
    if _is_planned(exchange):
        return f"~{_predicted(exchange)[1]:.1f} ms"
    return f"{exchange.get('duration') or 0:.1f} ms"


def _bar(exchange: Exchange, cells: int, axis_end: float) -> str:
    """Exactly so many cells: the wait, then the read, drawn to an eighth of a cell and visible."""
    scale = cells / axis_end
    if _is_planned(exchange):
        return ("┄" * max(1, round(_predicted(exchange)[1] * scale)))[:cells].ljust(cells)
    start, wait, duration = _times(exchange)
    begin = min(int(start * scale), cells - 1)
    sent = min(int((start + wait) * scale), cells - 1)
    whole, part = divmod(max(1, round(((start + wait + duration) * scale - sent) * 8)), 8)
    read = "█" * whole + (_EIGHTHS[part] if part else "")
    return (" " * begin + "░" * (sent - begin) + read)[:cells].ljust(cells)


def _axis_end(upstream: Mapping[str, Any], exchanges: Sequence[Exchange]) -> float:
    """The end of the time axis in milliseconds; it includes predicted times."""
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


def _coloured(line: str, cells: int, exchange: Exchange) -> str:
    """The line with a coloured bar; the colour repeats what the line says in words."""
    status = {"ok": exchange.get("way"), "planned": "planned"}.get(
        str(exchange.get("status")), "failed"
    )
    code = _COLOURS.get(str(status), 0)
    return f"\x1b[{code}m{line[:cells]}\x1b[0m{line[cells:]}"


def _escape(text: object) -> str:
    """Percent-encoded to printable ASCII: one cell each, and no terminal commands."""
    return quote(str(text), safe=_ASCII, errors="replace")


def _truncate(text: str, width: int) -> str:
    """The text in at most so many cells, with … at the end if it is cut off."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…" * (width > 0)
