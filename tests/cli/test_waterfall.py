"""The waterfall on a terminal: it fits the width, is readable, and sends no control characters."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.waterfall import waterfall
from tests.exchanges import CALL, exchange, planned

HOSTILE = "\x1b]0;evil\x07\x1b[2J\r\n\t\u202e\u200b王\x9b31m\ud800"


def upstream(*exchanges: dict[str, Any]) -> dict[str, Any]:
    return {"requests": 2, "rows": 90, "known": 7, "milliseconds": 100.0} | (
        {"exchanges": list(exchanges)} if exchanges else {}
    )


def drawn(*exchanges: dict[str, Any], width: int = 100) -> list[str]:
    """The lines of the requests, under the totals and the heading."""
    return waterfall(upstream(*exchanges), width).splitlines()[2:]


texts = st.text() | st.just(HOSTILE)
times = st.floats(0, 1e5) | st.none()
exchanges: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    path=texts,
    query=texts,
    way=st.sampled_from(["per-key", "scan"]) | texts,
    fields=st.lists(texts, max_size=3),
    status=st.sampled_from(["ok", "planned", "UPSTREAM_TIMEOUT"]) | texts,
    predicted=st.builds(dict, requests=st.integers(0, 999), milliseconds=st.floats(0, 1e5)),
    rows=st.integers(0, 10**6) | st.none(),
    used=st.integers(0, 10**6) | st.none(),
    start=times,
    wait=times,
    duration=times,
    retries=st.integers(0, 9) | st.none(),
)
upstreams: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    requests=st.integers(0, 10**6),
    rows=st.integers(0, 10**6),
    known=st.integers(0, 10**6),
    milliseconds=st.floats(0, 1e5),
    exchanges=st.lists(exchanges, max_size=5),
)


@given(upstream=upstreams, width=st.integers(0, 250))
def test_no_line_is_wider_than_the_terminal(upstream: dict[str, Any], width: int) -> None:
    """The lines are the totals, the heading and one for each request."""
    lines = waterfall(upstream, width).split("\n")
    requests = len(upstream["exchanges"])
    folded = waterfall(upstream, width, fold=True).split("\n")

    assert len(lines) == (2 + requests if requests else 1)
    assert len(folded) <= len(lines)
    assert all(len(line) <= width for line in lines + folded)


@given(upstream=upstreams, width=st.integers(0, 250))
def test_the_data_sends_no_control_characters_to_the_terminal(
    upstream: dict[str, Any], width: int
) -> None:
    """Only printable characters of one cell each, whatever text a caller filtered by."""
    characters = set(waterfall(upstream, width, fold=True)) - {"\n"}
    symbols = set("·…✗↻←×░█┄▏▎▍▌▋▊▉")

    assert {character for character in characters if not " " <= character <= "~"} <= symbols


@given(upstream=upstreams, width=st.integers(0, 250))
def test_colours_only_add_colours(upstream: dict[str, Any], width: int) -> None:
    """Every colour that begins ends on its line, and the text is the same."""
    coloured = waterfall(upstream, width, colour=True)
    codes = re.findall(r"\x1b\[(\d+)m", coloured)

    assert re.sub(r"\x1b\[\d+m", "", coloured) == waterfall(upstream, width)
    assert codes[1::2] == ["0"] * len(upstream["exchanges"])


def test_totals_alone_are_one_line() -> None:
    one = {"requests": 1, "rows": 1, "known": 0, "milliseconds": 0.04}

    assert waterfall(one) == "1 request · 1 row · 0 known · 0.0 ms"
    assert waterfall(upstream()) == "2 requests · 90 rows · 7 known · 100.0 ms"


def test_a_request_is_a_bar_on_the_time_axis_with_its_rows() -> None:
    """It waited from a quarter to half of the time, and read until the end."""
    waiting = exchange(start=25, wait=25, way="scan", used=40, rows=812)
    text = waterfall(upstream(exchange(), waiting))

    assert text.splitlines()[1:] == [
        "0                100.0 ms way        used/rows       time  request ← fields",
        "████████████▌             per-key        40/50    50.0 ms  Calls?PageSize=50 ← calls",
        "      ░░░░░░█████████████ scan          40/812    50.0 ms  Calls?PageSize=50 ← calls",
    ]


def test_a_planned_request_shows_its_prediction() -> None:
    """A dry run has only predicted times; the totals are their sums."""
    plan = planned(predicted={"requests": 3, "milliseconds": 200.0})
    totals, heading, sent, line = waterfall(upstream(exchange(), plan)).splitlines()

    assert "planned: 3 requests" in totals
    assert "200.0 ms" in heading
    assert sent.startswith("██████▎ ")
    assert line.split() == ["┄" * 25, "per-key", "~3", "req", "~200.0", "ms", *sent.split()[-3:]]


def test_a_failed_request_is_marked_without_colour() -> None:
    """Its code and its retries are printed before its path."""
    (line,) = drawn(exchange(status="UPSTREAM_TIMEOUT", retries=2, rows=None, used=None))

    assert "0/0" in line
    assert "✗ UPSTREAM_TIMEOUT ↻2 Calls" in line
    assert "✗" not in drawn(exchange())[0]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"way": "per-key"}, 34),
        ({"way": "scan"}, 36),
        ({"way": "scan", "status": "UPSTREAM_TIMEOUT"}, 31),
        ({"way": "scan", "status": "planned"}, 2),
    ],
)
def test_the_bar_has_the_colour_of_its_strategy(given: dict[str, str], code: int) -> None:
    """A failed or planned request has its own colour, whatever its strategy."""
    line = waterfall(upstream(exchange(**given)), colour=True).splitlines()[2]

    assert re.fullmatch(rf"\x1b\[{code}m.{{25}}\x1b\[0m[^\x1b]+", line)


def test_a_request_that_took_no_time_is_visible() -> None:
    """Even at the very end of the axis."""
    assert drawn(exchange(duration=0.0))[0].startswith("▏ ")
    assert drawn(exchange(start=100.0, duration=0.0))[0][:25].rstrip() == " " * 24 + "█"


def test_a_sid_is_shortened_before_anything_is_cut() -> None:
    """A wide line has the whole SID; a narrow one keeps its end, which differs between SIDs."""
    recordings = exchange(path=f"Calls/{CALL}/Recordings", query="")

    assert f"Calls/{CALL}/Recordings ← calls" in drawn(recordings, width=140)[0]
    assert drawn(recordings)[0].endswith("Calls/CA…cdef/Recordings ← calls")
    assert drawn(recordings, width=80)[0].endswith("Calls/CA…cdef/Recordings ← calls")
    assert drawn(recordings, width=72)[0].endswith("Calls/CA…cdef/Recordings ← c…")


def test_planned_requests_that_differ_only_in_a_sid_are_one_line() -> None:
    """With their number, all their requests and the time of the longest, within 80 columns."""
    calls = [f"CA{number:032x}" for number in range(22)]
    plans = [
        planned(
            path=f"Calls/{sid}/Recordings",
            query="",
            fields=["recordings"],
            predicted={"requests": 2, "milliseconds": 10.0 + number},
        )
        for number, sid in enumerate(calls)
    ]
    other = planned(path=f"Calls/{CALL}/Notifications", query="", fields=["notifications"])
    data = upstream(exchange(), plans[0], other, *plans[1:])
    totals, _, *lines = waterfall(data, 80, fold=True).splitlines()

    assert "planned: 45 requests" in totals
    assert [" ".join(line.split()[1:]) for line in lines] == [
        "per-key 40/50 50.0 ms Calls?PageSize=50 ← calls",
        "per-key ~44 req ~31.0 ms 22 × Calls/{sid}/Recordings ← recor…",
        "per-key ~1 req ~25.0 ms Calls/CA…cdef/Notifications ← notif…",
    ]
    assert len(waterfall(data, 80).splitlines()) == 2 + 24


def test_requests_that_were_sent_or_differ_in_more_than_a_sid_are_not_folded() -> None:
    sent = [exchange(path=f"Calls/{sid}", query="") for sid in (CALL, CALL[:-1] + "0")]
    differing = [
        planned(path="Calls", query="PageSize=50"),
        planned(path="Calls", query="PageSize=51"),
        planned(path="Calls", query="PageSize=50", fields=["childCalls"]),
        planned(path="Calls", query="PageSize=50", way="scan"),
    ]
    data = upstream(*sent, *differing)

    assert waterfall(data, fold=True) == waterfall(data)


def test_the_legend_is_left_out_where_it_does_not_fit() -> None:
    assert waterfall(upstream(exchange()), 80).splitlines()[0].endswith("┄ predicted")
    assert waterfall(upstream(exchange()), 60).splitlines()[0].endswith("100.0 ms")


def test_a_hostile_text_is_printed_as_it_was_sent() -> None:
    (line,) = drawn(exchange(path=HOSTILE, query=""), width=200)

    assert "%1B]0;evil%07%1B[2J%0D%0A%09%E2%80%AE%E2%80%8B%E7%8E%8B%C2%9B31m?" in line


def test_two_hundred_requests_are_two_hundred_lines() -> None:
    """Each later bar begins at the same place or further right, to the last."""
    lines = drawn(*(exchange(start=i / 2, duration=0.5) for i in range(200)))
    begins = [len(line) - len(line.lstrip()) for line in lines]

    assert len(lines) == 200
    assert begins == sorted(begins)
    assert set(begins) == set(range(25))
