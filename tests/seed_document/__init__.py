"""The seed document, walked sentence by sentence against the sandbox."""
