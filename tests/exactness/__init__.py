"""Responses are exact and complete, whatever upstream sends: random queries against an oracle.

`twilio` is an upstream with a switch for everything that Twilio's documentation leaves open,
`accounts` and `queries` draw random ones, `oracle` computes the expected response.
"""
