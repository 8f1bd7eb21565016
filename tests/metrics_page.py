"""`python -m tests.metrics_page` writes the table of docs/metrics.md anew; the rest stays."""

from pathlib import Path

from gateway.telemetry.metrics import TABLE, Metric

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
BEGIN, END = "<!-- table -->\n", "<!-- end -->\n"


def page_of(page: str) -> str:
    """The page with today's table."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + table() + END + tail


def table() -> str:
    """One row for each metric."""
    rows = [f"| `{one.name}` | {one.kind} | {labels(one)} | {one.help} |\n" for one in TABLE]
    return "| metric | type | labels | meaning |\n|---|---|---|---|\n" + "".join(rows)


def labels(metric: Metric) -> str:
    """Each label with its values."""
    shown = (
        f"`{name}`" + (f": {', '.join(map(str, values))}" if 0 < len(values) < 20 else "")
        for name, values in metric.labels.items()
    )
    return "; ".join(shown)


if __name__ == "__main__":
    PAGE.write_text(page_of(PAGE.read_text()))
