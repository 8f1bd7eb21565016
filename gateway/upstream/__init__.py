"""The Twilio REST client: the only room that speaks HTTP."""
