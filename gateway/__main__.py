"""The command line: serve (default), query, schema, sandbox."""
