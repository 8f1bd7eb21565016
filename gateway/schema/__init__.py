"""What a client may ask: Strawberry types, resolvers, cursors. No HTTP here."""
