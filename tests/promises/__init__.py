"""Black-box tests of the promises of docs/promises.md: the gateway is a process of its own.

Upstream is a Twilio on a real port that misbehaves as a test wants. It counts the requests, and
bounds of time are generous. `python -m tests.promises` prints the table with figures.
"""
