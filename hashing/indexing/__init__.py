"""The index of a collection's codes: built, kept, looked into."""
