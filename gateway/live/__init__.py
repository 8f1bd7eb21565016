"""Live calls: events from webhooks and polls, and the subscribers that get them.

`events` reduces events to a call's state, `store` and `valkey` share them between gateways,
`signature` checks that a webhook is Twilio's, and `idempotency` executes a mutation once. This room
must not know GraphQL, HTTP or how rows are read.
"""
