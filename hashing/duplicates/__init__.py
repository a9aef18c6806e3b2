"""Photos sorted: duplicates, bursts, places."""
