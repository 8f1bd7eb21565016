"""The planner, without I/O."""
