"""A local Twilio Calls API for machines with no account. It imports no other room."""
