"""A response as tables for a terminal: one for each root field.

A row is a node of a list, a column is a field of it; fields of an object have dots in their names,
and a list within a row is the number of its rows. Pure. Texts are made safe for terminals, because
callers choose some of them. This module must not know the schema.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["printable", "tables"]


def tables(data: Mapping[str, Any]) -> str:
    """The root fields as tables, under their names where there are several."""
    parts = []
    for name, value in data.items():
        heading = f"{name}:\n" if len(data) > 1 else ""
        parts.append(heading + _table([_cells(row) for row in _rows(value)]))
    return "\n\n".join(parts)


def _rows(value: Any) -> list[Any]:
    """The rows of a list; anything else is one row, and null none."""
    listed = _listed(value)
    if listed is not None:
        return [row for row in listed if row is not None]
    return [] if value is None else [value]


def _listed(value: Any) -> list[Any] | None:
    """The rows of a connection (its nodes, else its edges) or of a list; None for what is none."""
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("nodes", "edges") if key in value), None)
    return value if isinstance(value, list) else None


def _cells(row: Any) -> dict[str, str]:
    return dict(_flat("", row))


def _flat(name: str, value: Any) -> Iterable[tuple[str, str]]:
    listed = _listed(value)
    if listed is not None:
        yield name, str(len(listed))
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(f"{name}.{key}" if name else key, part)
    else:
        yield name or "value", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else printable(str(value))


def printable(text: str) -> str:
    """The text on one line and without terminal commands: one sign for what is not printable."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    """The rows under their columns, in the order in which the fields first appear."""
    if not rows:
        return "no rows"
    names = [*dict.fromkeys(name for row in rows for name in row)]
    # An object that is null in one row has columns in another.
    names = [name for name in names if not any(other.startswith(f"{name}.") for other in names)]
    tops = [*dict.fromkeys(name.partition(".")[0] for row in rows for name in row)]
    names.sort(key=lambda name: tops.index(name.partition(".")[0]))
    lines = [names, *([row.get(name, "") for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
