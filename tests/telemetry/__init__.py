"""What happened, as it is told."""
