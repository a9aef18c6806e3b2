"""The console commands: each forwards to one function."""
