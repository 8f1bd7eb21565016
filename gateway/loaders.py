"""Keys in, one batch out: one loader per relation, fresh for every operation."""
