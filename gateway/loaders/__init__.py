"""aiodataloader: keys in, one batch out; carries out what the planner decides."""
