"""The wiring: settings, upstream client, context per operation, Starlette app."""
