"""The GraphiQL page and its assets, served from our own origin."""
