"""The sandbox by itself: over HTTP in process, over sockets, and room by room."""
