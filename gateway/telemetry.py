"""What was asked upstream: one record, one hook protocol, log lines, counts."""
