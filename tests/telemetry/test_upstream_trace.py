"""The trace's warnings: one for each code, field and reason."""

from gateway.telemetry.upstream_trace import UpstreamTrace, WarningCode


def test_warnings_of_one_kind_at_one_field_are_counted_together() -> None:
    trace = UpstreamTrace(lambda: 0.0)
    trace.warn(WarningCode.ROWS_LEFT_OUT, "calls.nodes.recordings", 2)
    trace.warn(WarningCode.ROWS_LEFT_OUT, "calls.nodes.recordings")
    trace.warn(WarningCode.LIST_CUT_SHORT, "calls", reason="UPSTREAM_TIMEOUT")

    left_out, cut_short = trace.warnings()
    assert (left_out["code"], left_out["count"]) == ("ROWS_LEFT_OUT", 3)
    assert left_out["path"] == ["calls", "nodes", "recordings"]
    assert "reason" not in left_out
    assert (cut_short["path"], cut_short["reason"]) == (["calls"], "UPSTREAM_TIMEOUT")


def test_without_warnings_there_are_none() -> None:
    assert UpstreamTrace(lambda: 0.0).warnings() == []
