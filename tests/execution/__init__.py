"""The room execution: its answers are graphql-core's."""
