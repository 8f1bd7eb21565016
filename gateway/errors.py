"""The exception tree (whose fault, then which phase) and its GraphQL codes."""
