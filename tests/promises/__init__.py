"""The promises of docs/promises.md, kept by black-box means: a gateway as a process of its own.

Upstream is a Twilio on a real port that misbehaves as a test wants; requests are counted where they
arrive, and time is bounded generously. `python -m tests.promises` prints the table with figures.
"""
