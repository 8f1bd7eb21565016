"""The sandbox on its own: over HTTP in process, over sockets, and module by module."""
