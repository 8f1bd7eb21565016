"""Pure, no I/O: a batch of keys to the cheapest REST requests, and the rows back to their keys."""
