"""A GraphQL gateway over Twilio's 2010-04-01 Calls resource."""
