"""Exact and whole, whatever upstream sends: random accounts and queries against an oracle.

`twilio` is an upstream with a switch for everything that Twilio's documentation leaves open,
`accounts` and `queries` make both at random, `oracle` says what the answer has to be.
"""
