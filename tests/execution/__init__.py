"""Compiled execution: its results are those of graphql-core."""
