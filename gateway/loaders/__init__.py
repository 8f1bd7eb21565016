"""aiodataloader: keys in, one batch out; executes what the planner decides."""
