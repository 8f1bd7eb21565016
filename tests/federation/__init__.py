"""The gateway as a subgraph: composition and a router of other people's."""
