"""Photos in, the nearest photos of an index or a table out."""
