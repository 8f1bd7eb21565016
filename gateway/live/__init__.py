"""What happens to calls while the gateway runs: heard by webhook and poll, told to subscribers.

Notices of calls (`events`), where gateways share them (`store`, `valkey`), how a webhook proves
that it is Twilio's (`signature`), and a mutation that happens once (`idempotency`). This room must
not know GraphQL, HTTP or how rows are read.
"""
