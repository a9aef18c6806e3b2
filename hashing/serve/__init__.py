"""A local HTTP server and a page to search with."""
